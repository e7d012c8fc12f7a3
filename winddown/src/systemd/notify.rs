//! What the supervisor is told, by `sd_notify(3)`.
//!
//! `sd-notify` reads the environment for us. Sending is our own: the crate's `notify` blocks when the supervisor does not
//! read, takes `@name` for a path, and cannot extend a time-out by more than 71 minutes.
//!
//! # Invariants
//!
//! 1. Nothing here blocks or logs but [`accompany`]: T0 is told by the thread that receives signals.
//! 2. What could not be sent is sent with the next change or refresh: [`Said`] is what has been sent.
//! 3. Nothing is sent after the last status.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::{
        ffi::OsStrExt,
        net::{SocketAddr, UnixDatagram},
    },
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::{
    Shutdown,
    budget::Part,
    inner::Inner,
    lifecycle::{Phase, Status, Stop},
    status::{self, Traffic},
    sync::lock,
    waits::plural,
};

/// How often a stop says how far it has come.
const REFRESH: Duration = Duration::from_secs(1);

/// Longest status. A cause is any text.
const LONGEST_STATUS: usize = 200;

/// Tells the supervisor how the process is, from now to its end. Call it once, before [`Shutdown::run_until`]. Does nothing
/// where `NOTIFY_SOCKET` is not set.
///
/// | when | what |
/// |---|---|
/// | running | `READY=1`; not if a stop was asked for before |
/// | T0 | `STOPPING=1`, and `EXTEND_TIMEOUT_USEC=` once: what is left of the grace period, so that a `TimeoutStopSec` that is shorter does not kill in the middle |
/// | each phase | `STATUS=drain: 12 requests on 40 connections, 3 tasks; 9.4 s left`, and again every second of a stop |
/// | the end | `STATUS=stopped in 1.630s by signal TERM: clean, exit code 0` |
/// | every half of `WATCHDOG_USEC` | `WATCHDOG=1`, through the stop as well |
///
/// T0 is told by the thread that receives signals, also where the runtime is blocked. Pings come from a task on the runtime,
/// so that a runtime whose workers are all blocked misses them: that is what they are for. It holds for a stop, too: systemd
/// drops its timer when a unit begins to stop, and takes it up with the next ping (`service.c`). A handler that blocks all
/// workers then is met by systemd's SIGABRT after `WatchdogSec`, or by our own watchdog at the hard deadline, whichever comes
/// first; only the latter leaves a report. A `WatchdogSec` that is longer than the grace period lets ours be the first in a
/// stop.
///
/// A path and an abstract socket (`@name`) are understood, `vsock:` is not. A supervisor that cannot be told disturbs
/// nothing: that is logged once, and tried again with whatever there is to say next.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn notify(stop: &Shutdown) {
    let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else { return };
    let told = Supervisor::at(&address, &stop.inner).map(Arc::new);
    let supervisor = match told {
        Ok(supervisor) => supervisor,
        Err(error) => return tracing::warn!(%error, ?address, "NOTIFY_SOCKET is no address that can be told"),
    };
    let observer = supervisor.clone();
    if stop.inner.lifecycle.observe(move || observer.tell(false)) {
        supervisor.tell(false);
        tokio::spawn(accompany(supervisor, sd_notify::watchdog_enabled()));
    }
}

/// Sends what comes by the clock, and says what went wrong, until the end.
async fn accompany(supervisor: Arc<Supervisor>, watchdog: Option<Duration>) {
    let watchdog = watchdog.filter(|limit| !limit.is_zero());
    let mut refresh = every(REFRESH);
    let mut ping = every(watchdog.map_or(REFRESH, |limit| limit / 2));
    while !supervisor.is_done() {
        tokio::select! {
            _ = ping.tick(), if watchdog.is_some() => supervisor.ping(),
            _ = refresh.tick() => supervisor.tell(true),
        }
        if let Some(error) = supervisor.complaint() {
            tracing::warn!(%error, "the supervisor cannot be told; going on all the same");
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[derive(Debug)]
struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    inner: Weak<Inner>,
    said: Mutex<Said>,
}

/// What has been sent so far.
#[derive(Debug, Default)]
struct Said {
    ready: bool,
    stopping: bool,
    phase: Option<Phase>,
    /// The first thing that went wrong.
    failure: Option<io::Error>,
    complained: bool,
}

impl Supervisor {
    fn at(address: &OsStr, inner: &Arc<Inner>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address: parse(address)?, inner: Arc::downgrade(inner), said: Mutex::default() })
    }

    /// Says what is new; with `refresh`, also how far a stop has come. Whoever calls, and how often: each thing is said once.
    fn tell(&self, refresh: bool) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut said = self.said();
        if said.is_over() {
            return;
        }
        let status = inner.lifecycle.status().clone();
        if let Some(stop) = status.stop.as_ref().filter(|_| !said.stopping) {
            said.stopping = self.send(&mut said, &beginning(&inner, stop));
        }
        let is_ready = status.phase == Phase::Running && status.stop.is_none() && !said.ready;
        let goes_on = refresh && status.phase.is_of_the_stop();
        if is_ready || goes_on || said.phase != Some(status.phase) {
            let ready = if is_ready { "READY=1\n" } else { "" };
            if self.send(&mut said, &format!("{ready}STATUS={}", one_line(&describe(&inner, &status)))) {
                said.ready |= is_ready;
                said.phase = Some(status.phase);
            }
        }
    }

    fn ping(&self) {
        let mut said = self.said();
        if !said.is_over() {
            self.send(&mut said, "WATCHDOG=1");
        }
    }

    fn send(&self, said: &mut Said, message: &str) -> bool {
        // Looked up anew each time: a supervisor may have bound its socket again.
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.address);
        sent.map_err(|error| said.failure.get_or_insert(error)).is_ok()
    }

    /// What went wrong, once.
    fn complaint(&self) -> Option<io::Error> {
        let mut said = self.said();
        let first = said.failure.take().filter(|_| !said.complained);
        said.complained |= first.is_some();
        first
    }

    fn is_done(&self) -> bool {
        self.inner.strong_count() == 0 || self.said().is_over()
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        // A panic of another thread leaves at worst something that is said twice.
        lock(&self.said)
    }
}

impl Said {
    fn is_over(&self) -> bool {
        self.phase == Some(Phase::Stopped)
    }
}

/// `sd_notify(3)`: a path, or `@` and the name of an abstract socket.
fn parse(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)
        }
        [b'/', ..] => SocketAddr::from_pathname(address),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor @ and a name")),
    }
}

/// T0. The time until the supervisor may kill is never more than the grace period, whoever asks again.
fn beginning(inner: &Inner, stop: &Stop) -> String {
    let left = left(stop.hard_deadline + inner.budget.part(Part::ExitMargin));
    let status = one_line(&format!("stopping: {}; {:.1} s left", stop.cause, left.as_secs_f64()));
    format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS={status}", left.as_micros())
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn describe(inner: &Inner, status: &Status) -> String {
    let phase = status.phase;
    match status.deadline {
        Some(deadline) => how_far(inner, phase, left(deadline)),
        None if phase == Phase::Stopped => inner.report().map_or(phase.to_string(), |report| report.to_string()),
        None => phase.to_string(),
    }
}

fn how_far(inner: &Inner, phase: Phase, left: Duration) -> String {
    let Traffic { connections, requests } = status::traffic(inner);
    let (requests, connections) = (plural(requests, "request"), plural(connections, "connection"));
    let tasks = plural(inner.tasks.len(), "task");
    format!("{phase}: {requests} on {connections}, {tasks}; {:.1} s left", left.as_secs_f64())
}

/// The protocol has one assignment a line: a second line could say anything.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(LONGEST_STATUS).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
