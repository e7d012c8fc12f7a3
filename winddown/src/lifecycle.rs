//! The one-way machine: which phase the process is in, and who asked it to stop.
//!
//! Knows neither HTTP nor the operating system. Everybody may watch it; only the coordinator in [`crate::Shutdown`]
//! moves it.
//!
//! # Invariant
//!
//! 1. The phase only ever moves forward; skipping is allowed, going back is not.

use std::{fmt, sync::OnceLock, time::Duration};

use serde::Serialize;
use tokio::{sync::watch, time::Instant};

use crate::signal::Signal;

/// Where a process is in its life. The names are metric labels, log fields and JSON keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Start-up steps run; not ready yet.
    Starting,
    /// Ready, and serving.
    Running,
    /// Asked to stop: not ready any more, yet everything is still accepted and served.
    LameDuck,
    /// The listeners are closed; requests in flight finish.
    Drain,
    /// Background tasks finish.
    Background,
    /// Pools, files and locks are released.
    Release,
    /// Telemetry leaves the process.
    Flush,
    /// Nothing is left to do.
    Stopped,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Running,
        Self::LameDuck,
        Self::Drain,
        Self::Background,
        Self::Release,
        Self::Flush,
        Self::Stopped,
    ];

    /// Whether it is one of those that a stop goes through and that have a budget.
    pub const fn is_of_the_stop(&self) -> bool {
        matches!(self, Self::LameDuck | Self::Drain | Self::Background | Self::Release | Self::Flush)
    }

    /// The name that labels, fields and keys carry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::LameDuck => "lame_duck",
            Self::Drain => "drain",
            Self::Background => "background",
            Self::Release => "release",
            Self::Flush => "flush",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a process stops. The first cause is the one that counts and that is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Cause {
    /// The operating system asked.
    Signal {
        /// Which one.
        signal: Signal,
    },
    /// The program asked, through [`ShutdownHandle::request`](crate::ShutdownHandle::request).
    Requested {
        /// For the log and the report.
        reason: String,
    },
    /// A start-up step failed; the process never became ready.
    StartFailed {
        /// What went wrong.
        error: String,
    },
    /// A server ended by itself.
    ServerFailed {
        /// Its name.
        server: String,
        /// What went wrong.
        error: String,
    },
}

impl Cause {
    /// Whether the process has failed, rather than been asked to stop.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::StartFailed { .. } | Self::ServerFailed { .. })
    }

    /// The signal, or what kind of cause it is: one of a few words.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Signal { signal } => signal.as_str(),
            Self::Requested { .. } => "requested",
            Self::StartFailed { .. } => "start_failed",
            Self::ServerFailed { .. } => "server_failed",
        }
    }
}

/// What can be seen of the machine at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The present phase.
    pub phase: Phase,
    /// When the present phase began.
    pub since: Instant,
    /// When the present phase must be over; `None` before a stop.
    pub deadline: Option<Instant>,
    /// The stop that is under way.
    pub stop: Option<Stop>,
    /// The start-up is over. Stays so through a stop.
    pub(crate) started: bool,
}

/// A stop that is under way.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Who asked.
    pub cause: Cause,
    /// T0: when the stop was asked for.
    pub at: Instant,
    /// When the watchdog ends the process.
    pub hard_deadline: Instant,
}

/// The machine itself.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    status: watch::Sender<Status>,
    observer: OnceLock<Observer>,
}

/// Runs after every change, on the thread that made it: a watcher may come too late to see a phase that is short, or the
/// last one before the process is gone.
struct Observer(Box<dyn Fn() + Send + Sync>);

impl Lifecycle {
    pub(crate) fn new() -> Self {
        let status =
            Status { phase: Phase::Starting, since: Instant::now(), deadline: None, stop: None, started: false };
        Self { status: watch::Sender::new(status), observer: OnceLock::new() }
    }

    /// Adds the one observer. It must neither block nor log: T0 is told on the thread that receives signals. Returns
    /// whether it is the first.
    #[cfg_attr(not(feature = "systemd"), expect(dead_code))]
    pub(crate) fn observe(&self, observer: impl Fn() + Send + Sync + 'static) -> bool {
        self.observer.set(Observer(Box::new(observer))).is_ok()
    }

    fn tell_observer(&self) {
        if let Some(Observer(tell)) = self.observer.get() {
            tell();
        }
    }

    /// Moves on to `phase`. Panics where that would be a step back (invariant 1).
    pub(crate) fn enter(&self, phase: Phase, budget: Option<Duration>) {
        self.status.send_modify(|status| {
            assert!(status.phase < phase, "the life of a process moves forward: {} → {phase}", status.phase);
            status.since = Instant::now();
            status.phase = phase;
            status.started |= phase == Phase::Running;
            status.deadline = budget.map(|budget| status.since + budget);
        });
        self.tell_observer();
    }

    /// Notes T0. The phase follows by [`Self::enter`].
    pub(crate) fn stop(&self, cause: Cause, hard_limit: Duration) -> Stop {
        let at = Instant::now();
        let stop = Stop { cause, at, hard_deadline: at + hard_limit };
        self.status.send_modify(|status| {
            assert!(status.stop.is_none(), "a process stops once");
            status.stop = Some(stop.clone());
        });
        self.tell_observer();
        stop
    }

    /// Resolves once the stop was asked for. Cancel safe.
    pub(crate) async fn asked_to_stop(&self) {
        let mut status = self.status.subscribe();
        status.wait_for(|status| status.stop.is_some()).await.expect("the sender is borrowed, and so alive");
    }

    /// Who asked for the stop.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.status.borrow().stop.as_ref().map(|stop| stop.cause.clone())
    }

    pub(crate) fn status(&self) -> watch::Ref<'_, Status> {
        self.status.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { signal } => write!(f, "signal {signal}"),
            Self::Requested { reason } => write!(f, "requested: {reason}"),
            Self::StartFailed { error } => write!(f, "start-up failed: {error}"),
            Self::ServerFailed { server, error } => write!(f, "server {server} failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_a_phase_counts_from_its_own_beginning() {
        let life = Lifecycle::new();
        life.enter(Phase::Running, None);
        tokio::time::advance(Duration::from_secs(7)).await;
        let stop = life.stop(Cause::Requested { reason: "test".into() }, Duration::from_secs(29));
        life.enter(Phase::LameDuck, Some(Duration::from_secs(5)));
        let status = life.status();
        assert_eq!(status.deadline, Some(stop.at + Duration::from_secs(5)));
        assert_eq!(stop.hard_deadline - stop.at, Duration::from_secs(29));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_sees_the_last_phase_however_late_it_looks() {
        let life = Lifecycle::new();
        let mut watcher = life.watch();
        for phase in [Phase::Running, Phase::Drain, Phase::Flush] {
            life.enter(phase, None);
        }
        watcher.changed().await.expect("the machine is alive");
        assert_eq!(watcher.borrow().phase, Phase::Flush);
    }

    #[test]
    #[should_panic(expected = "moves forward")]
    fn a_phase_never_comes_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _context = runtime.enter();
        let life = Lifecycle::new();
        life.enter(Phase::Drain, None);
        life.enter(Phase::Running, None);
    }
}
