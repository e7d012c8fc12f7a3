//! The face of the crate: register what runs, then run until asked to stop.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::MethodRouter};
use tokio::{sync::watch, time::sleep};

use crate::{
    budget::{Budget, Part},
    builder::Builder,
    coordinator::Coordinator,
    hook::{BoxError, Hook, HookContext, Step},
    http::{admin, scrape},
    inner::Inner,
    lifecycle::{Cause, Phase, Status as LifecycleStatus},
    readiness::Readiness,
    report::Report,
    running::Running,
    sabotage::{self, Fault},
    server::{Server, accept, address::Address, listener::Listener},
    signal::Signals,
    status::{self, Status},
    tasks::Task,
    tokens::Tokens,
};

/// A process that will stop well. Cheap to clone: every clone is the same process.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use winddown::{Phase, Shutdown};
///
/// #[tokio::main]
/// async fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error + Send + Sync>> {
///     let signals = winddown::signals()?;
///     let stop = Shutdown::builder().build()?;
///     stop.hook(Phase::Release, "database pool", |_| async { Ok(()) });
///     let listener = winddown::bind("127.0.0.1:8080".parse()?)?;
///     stop.serve("public", listener, Router::new().route("/", get(|| async { "hello" })));
///     Ok(stop.run_until(signals).await.into())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown {
    pub(crate) inner: Arc<Inner>,
}

impl Shutdown {
    /// Begins with the defaults: a grace period of 30 s, split as [`Split`](crate::Split) says.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Adds a hook to a phase of the stop, bounded by its share of the phase; [`Shutdown::step`] takes one with a timeout of its
    /// own.
    ///
    /// One that is added when its phase has begun is not run, and reported as failed. A phase that has no time (a lame duck of
    /// 0 s) has none for its hooks either: they time out at once, and the exit code says so.
    ///
    /// # Panics
    ///
    /// When `phase` is none of the five phases of a stop.
    pub fn hook<F, Fut>(&self, phase: Phase, name: impl Into<String>, run: F)
    where
        F: FnOnce(HookContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.step(phase, Hook::new(name, run));
    }

    /// Adds a [`Hook`] with a timeout of its own, or a group of them that run side by side.
    ///
    /// # Panics
    ///
    /// As [`Shutdown::hook`].
    pub fn step(&self, phase: Phase, step: impl Into<Step>) {
        let released_first = phase == Phase::Release && sabotage::is(Fault::ReleasedFirst);
        self.inner.hooks.add(if released_first { Phase::LameDuck } else { phase }, step.into());
    }

    /// Spawns a background task: tracked, named, told at T0, awaited in the background phase. A panic ends the task, is
    /// counted, and is in the log, in the live status and in the report.
    ///
    /// One that is spawned after the background phase, by a release hook for example, is not awaited: if it still runs at the
    /// end, it is cut, and counted as such.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, name: impl Into<String>, run: impl FnOnce(Task) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.tasks.spawn(name.into(), run);
    }

    /// Does `job` at once and then every `period`, until T0: a background task whose turns are separate. The turn that runs at
    /// T0 is finished first, within the background phase. One that takes longer than the period delays the next. One that
    /// panics is counted, and the next comes all the same.
    ///
    /// # Panics
    ///
    /// When `period` is zero. Outside of a tokio runtime.
    pub fn every<F>(&self, name: impl Into<String>, period: Duration, job: impl FnMut(Task) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.tasks.every(name.into(), period, job);
    }

    /// Adds a step of the start-up. Steps run one after the other when [`Shutdown::run_until`] begins; the process is
    /// ready after the last. A stop that comes earlier drops the step under way, and an error stops the process with
    /// exit code 1; both unwind what was started.
    pub fn start(&self, step: impl Future<Output = Result<(), BoxError>> + Send + 'static) {
        self.inner.start_up(|steps| steps.push(Box::pin(step)));
    }

    /// Serves `router` on `listener` until the stop. Any number of servers may run in one process.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn serve(&self, name: impl Into<String>, listener: impl Into<Listener>, router: Router) -> ServerHandle {
        self.run_server(name.into(), listener.into(), router, false)
    }

    /// As [`Shutdown::serve`], for probes and metrics: closes last, is not drained, and is counted nowhere.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn serve_admin(&self, name: impl Into<String>, listener: impl Into<Listener>, router: Router) -> ServerHandle {
        self.run_server(name.into(), listener.into(), router, true)
    }

    fn run_server(&self, name: String, listener: Listener, router: Router, admin: bool) -> ServerHandle {
        let inner = self.inner.clone();
        // An admin server outlives the others: it hangs on no token but its own.
        let tokens = if admin { Tokens::default() } else { inner.tokens.child() };
        let (totals, audit) = (inner.totals.clone(), inner.records.audit.clone());
        #[cfg_attr(not(feature = "tls"), expect(unused_mut))]
        let mut server = Server::new(name.clone(), admin, inner.transport.clone(), tokens, totals, audit);
        #[cfg(feature = "tls")]
        server.tls.clone_from(&listener.tls);
        let server = Arc::new(server);
        let running = Running::new(server.clone());
        inner.add_server(running.clone());
        let address = listener.address();
        match &address {
            Ok(address) => {
                let (tls, shared) = (listener.has_tls(), listener.is_shared());
                tracing::info!(server = name, %address, tls, shared, "listening");
            }
            Err(error) => tracing::warn!(server = name, %error, "listening, and the kernel does not say where"),
        }
        let ended = running.ended.clone().drop_guard();
        let accepting = tokio::spawn(accept::serve(server, listener, accept::prepared(router)));
        let cancel_grace = inner.budget.part(Part::CancelGrace);
        tokio::spawn(async move {
            let _ended = ended;
            let error = match accepting.await {
                Ok(Ok(report)) => return inner.found(|found| found.listeners.push(report)),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            inner.ask(Cause::ServerFailed { server: name, error });
        });
        ServerHandle { running, address, cancel_grace }
    }

    /// A handle that asks for the stop and watches it.
    pub fn handle(&self) -> ShutdownHandle {
        ShutdownHandle { inner: self.inner.clone() }
    }

    /// What probes are to be told.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(self.inner.lifecycle.clone())
    }

    /// Who is in flight, what is done, how much of the budget is left: the live answer to "what holds the stop?"
    pub fn status(&self) -> Status {
        status::live(&self.inner)
    }

    /// The routes of an admin server; add your own, [`Shutdown::metrics`] among them, and give it to [`Shutdown::serve_admin`].
    ///
    /// - `/`: a page that shows a stop while it is under way; it polls `/shutdown`, and needs nothing from elsewhere
    /// - `/livez`: 200 for as long as the process answers, through a stop, too
    /// - `/startupz`: 200 once start-up is over
    /// - `/readyz`: 200 while new traffic is wanted, 503 from the stop signal on
    /// - `/shutdown`: [`Status`] as JSON
    ///
    /// It tells whoever asks the paths, peers and ids of requests in flight: an admin server is not for the public.
    pub fn admin(&self) -> Router {
        admin::router(self.inner.clone())
    }

    /// A route for scrapers, on an admin server: sets every metric to its present value, then answers with what `render`
    /// makes of the recorder, in Prometheus' text format.
    ///
    /// A stop waits for one more scrape of whoever has scraped here regularly, when all hooks are done: within the flush, and
    /// only if its next turn comes in time. With a [`Split::flush`](crate::Split::flush) that has the scrape interval, a quarter of
    /// it and what the hooks take, a scraper that keeps to its interval sees the final values.
    pub fn metrics<S>(&self, render: impl Fn() -> String + Clone + Send + Sync + 'static) -> MethodRouter<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        scrape::route(self.inner.clone(), render)
    }

    /// Sets every metric to its present value. Call it before each scrape is rendered; [`Shutdown::metrics`] does.
    pub fn publish_metrics(&self) {
        status::publish(&self.inner);
    }

    /// How the grace period is split.
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// Runs the start-up, then serves until a signal or a [`ShutdownHandle`] asks for the stop, then stops.
    ///
    /// From T0 on a watchdog thread ends the process at the hard deadline, whatever happens; it is disarmed when the
    /// report is dropped, and kept when the report becomes an [`ExitCode`](std::process::ExitCode).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe. Dropped half-way, it leaves a process that serves, takes the signals and does not stop for them: poll it
    /// to its end, and never as a branch of a `select!`. To stop for a reason of your own, use [`ShutdownHandle::request`].
    ///
    /// # Panics
    ///
    /// When it is called twice, or no thread can be started.
    pub async fn run_until(self, signals: Signals) -> Report {
        let start_up = self.inner.start_up(std::mem::take);
        Coordinator::new(self.inner).run(signals, start_up).await
    }

    pub(crate) fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

/// Asks for the stop from anywhere in the program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    inner: Arc<Inner>,
}

impl ShutdownHandle {
    /// Asks for the stop. Only the first cause counts; later ones are ignored, but for a [`Cause::Signal`]: that is weighed as if
    /// the operating system had sent it, and may force the stop.
    pub fn request(&self, cause: Cause) {
        self.inner.ask(cause);
    }

    /// The present state.
    pub fn status(&self) -> LifecycleStatus {
        self.inner.lifecycle.status().clone()
    }

    /// A receiver that wakes at every change of phase.
    ///
    /// Let go of what it borrows before you call anything else here: while one is borrowed, no phase can begin, and the process
    /// ends at its hard deadline.
    pub fn watch(&self) -> watch::Receiver<LifecycleStatus> {
        self.inner.lifecycle.watch()
    }
}

/// One server that runs.
#[derive(Debug)]
pub struct ServerHandle {
    running: Running,
    address: io::Result<Address>,
    cancel_grace: Duration,
}

impl ServerHandle {
    /// Where it listens.
    pub fn address(&self) -> io::Result<Address> {
        match &self.address {
            Ok(address) => Ok(address.clone()),
            Err(error) => Err(error.kind().into()),
        }
    }

    /// Where it listens, for a server on TCP.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address()?.tcp()
    }

    /// Stops this server alone: closes its listener without loss, lets its requests finish, cancels what is left after
    /// `timeout`, and aborts it within the cancel grace. Returns whether it ended within `timeout`.
    ///
    /// Not cancel safe: dropped half-way, the server goes on draining, and nobody cuts what is left.
    pub async fn stop(&self, timeout: Duration) -> bool {
        self.running.server.begin_drain();
        self.running.drained(sleep(timeout), self.cancel_grace).await
    }
}
