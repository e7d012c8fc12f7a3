//! What every part of one process shares: asked to stop here, watched from here, reported from here.

mod account;

use std::{
    fmt,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::AuditLog,
    budget::Budget,
    causes::{Causes, Decision},
    hook::{BoxError, Hooks},
    last_run::LastRun,
    lifecycle::{Cause, Lifecycle},
    metrics,
    report::{PhaseReport, Report},
    running::Running,
    sabotage::{self, Fault},
    scrapes::{LastScrape, Scrapes},
    server::{Server, close::ListenerReport, transport::Transport},
    signal::Signal,
    sync::lock,
    sys,
    tasks::{TaskStatus, Tasks},
    tokens::Tokens,
    totals::Totals,
    watchdog::{self, Alarm, Watchdog},
};

pub(crate) type StartStep = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

pub(crate) struct Inner {
    pub(crate) budget: Budget,
    pub(crate) transport: Transport,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) tokens: Tokens,
    pub(crate) forced: CancellationToken,
    pub(crate) hooks: Hooks,
    pub(crate) tasks: Tasks,
    pub(crate) totals: Arc<Totals>,
    pub(crate) scrapes: Arc<Scrapes>,
    causes: Mutex<Causes>,
    alarm: OnceLock<Alarm>,
    runtime: OnceLock<Handle>,
    forced_by: OnceLock<Signal>,
    /// A cause came that changed nothing.
    repeated: AtomicBool,
    pub(crate) records: Records,
    servers: Mutex<Vec<Running>>,
    found: Mutex<Found>,
    start_up: Mutex<Vec<StartStep>>,
}

/// What the process leaves for others to read, and has found.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) report_file: Option<PathBuf>,
    pub(crate) termination_message: Option<PathBuf>,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) version: Option<String>,
    pub(crate) last_run: LastRun,
}

/// What the phases have found out so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) phases: Vec<PhaseReport>,
    pub(crate) listeners: Vec<ListenerReport>,
    pub(crate) cut_tasks: CutTasks,
    pub(crate) last_scrape: Option<LastScrape>,
}

/// Background tasks that were aborted: how many, and the oldest.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutTasks {
    pub(crate) total: usize,
    pub(crate) oldest: Vec<TaskStatus>,
}

impl Inner {
    pub(crate) fn new(budget: Budget, transport: Transport, causes: Causes, records: Records) -> Self {
        let tokens = Tokens::default();
        Self {
            budget,
            transport,
            lifecycle: Arc::new(Lifecycle::new()),
            tasks: Tasks::new(tokens.child()),
            tokens,
            forced: CancellationToken::new(),
            hooks: Hooks::default(),
            totals: Arc::default(),
            scrapes: Arc::default(),
            causes: Mutex::new(causes),
            alarm: OnceLock::new(),
            runtime: OnceLock::new(),
            forced_by: OnceLock::new(),
            repeated: AtomicBool::new(false),
            records,
            servers: Mutex::default(),
            found: Mutex::default(),
            start_up: Mutex::default(),
        }
    }

    /// Somebody asks for the stop. Runs on any thread, also where the runtime has none left.
    pub(crate) fn ask(self: &Arc<Self>, cause: Cause) {
        let decision = lock(&self.causes).weigh(cause.clone(), Instant::now());
        match decision {
            Decision::Stop(_) if sabotage::is(Fault::ExitOnSignal) => sys::exit_now(0),
            Decision::Stop(cause) => {
                // First: a receiver of `ShutdownHandle::watch` that is borrowed for ever keeps the stop from being noted.
                if let Some(alarm) = self.alarm.get() {
                    alarm.end_at((Instant::now() + self.budget.hard_limit()).into_std());
                }
                self.lifecycle.stop(cause, self.budget.hard_limit());
                // Once more, for a watchdog that was started in between.
                self.arm();
            }
            Decision::Force(signal) => {
                let _ = self.forced_by.set(signal);
                self.forced.cancel();
                self.log(move || tracing::warn!(%signal, "repeated signal: cancelling what is left"));
            }
            Decision::Exit(signal) => {
                let (inner, exit_code) = (self.clone(), 128 + signal.number());
                watchdog::say_and_exit(exit_code, move || {
                    inner.last_words(&format!("signal {signal} came again: exiting at once"), exit_code);
                });
            }
            // Once: whoever signals a thousand times is told as much as is whoever does it twice.
            Decision::Nothing if !self.repeated.swap(true, Relaxed) => {
                let cause = cause.clone();
                self.log(move || tracing::info!(%cause, "already stopping: the deadlines stand"));
            }
            Decision::Nothing => {}
        }
        // Last: it runs the recorder of the program.
        if let Cause::Signal { signal } = cause {
            metrics::signal(signal);
        }
    }

    /// Logs on a thread of the runtime. The one that receives signals must not wait for a log that nobody reads: the next
    /// signal would find nobody.
    fn log(&self, say: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(async { say() });
        }
    }

    /// Starts the watchdog. A stop that was asked for before arms it at once.
    pub(crate) fn guard(self: &Arc<Self>) -> Watchdog {
        let inner = self.clone();
        let last_words =
            move || inner.last_words("the hard deadline has passed: the watchdog ends the process", Report::CUT);
        let watchdog =
            Watchdog::start(Report::CUT, last_words).expect("a process that starts can have one more thread");
        self.alarm.set(watchdog.alarm()).expect("a process runs once");
        self.arm();
        let _ = self.runtime.set(Handle::current());
        watchdog
    }

    fn arm(&self) {
        if let (Some(alarm), Some(stop)) = (self.alarm.get(), &self.lifecycle.status().stop) {
            alarm.end_at(stop.hard_deadline.into_std());
        }
    }

    /// Waits for `time`, or until a repeated signal forces the stop.
    pub(crate) async fn forced_within(&self, time: Duration) {
        let _ = timeout(time, self.forced.cancelled()).await;
    }

    /// Adds a server. One that comes after T0, from a start-up step that was being dropped, stops at once as far as the
    /// others have.
    pub(crate) fn add_server(&self, running: Running) {
        let mut servers = lock(&self.servers);
        if self.totals.has_begun() && !running.server.admin {
            running.server.begin_lame_duck(Duration::ZERO);
        }
        if self.tokens.closing.is_cancelled() && !running.server.admin {
            running.server.begin_drain();
        }
        servers.push(running);
    }

    /// Closes every traffic server, and those that are still to come.
    pub(crate) fn close_servers(&self) -> Vec<Running> {
        let servers = lock(&self.servers);
        let traffic: Vec<_> = servers.iter().filter(|running| !running.server.admin).cloned().collect();
        for running in &traffic {
            running.server.begin_drain();
        }
        // Last: a server must know that it drains before its accept loop and its connections are told.
        self.tokens.close();
        traffic
    }

    pub(crate) fn servers(&self, which: impl Fn(&Server) -> bool) -> Vec<Running> {
        lock(&self.servers).iter().filter(|running| which(&running.server)).cloned().collect()
    }

    pub(crate) fn traffic_servers(&self) -> Vec<Running> {
        self.servers(|server| !server.admin)
    }

    pub(crate) fn found<T>(&self, note: impl FnOnce(&mut Found) -> T) -> T {
        note(&mut lock(&self.found))
    }

    pub(crate) fn start_up<T>(&self, with: impl FnOnce(&mut Vec<StartStep>) -> T) -> T {
        with(&mut lock(&self.start_up))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("lifecycle", &self.lifecycle)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
