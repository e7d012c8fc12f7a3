//! The stop itself, from T0 to the report: one method a phase, in order.
//!
//! # Invariants
//!
//! 1. Every phase is over by its own deadline, counted from its own beginning; the budgets add up to less than the hard
//!    limit ([`crate::budget`]). So a phase that overruns takes nothing from a later one.
//! 2. A repeated signal only ever makes it shorter.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    audit::Event,
    budget::Part,
    hook::{Terms, chain, panic_message},
    inner::{Inner, StartStep},
    lifecycle::{Cause, Phase},
    metrics,
    report::{PhaseReport, Report},
    running::{ABORT, halves},
    sabotage::{self, Fault},
    signal::Signals,
    waits,
};

/// How much of the flush is kept for the close of the admin servers, at the most: whoever scrapes or probes is not worth
/// more.
const ADMIN_CLOSE: Duration = Duration::from_millis(200);

pub(crate) struct Coordinator {
    inner: Arc<Inner>,
}

impl Coordinator {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The whole life of the process: start-up, service, stop.
    pub(crate) async fn run(self, signals: Signals, start_up: Vec<StartStep>) -> Report {
        let inner = &self.inner;
        let watchdog = inner.guard();
        let receive = {
            let inner = inner.clone();
            move |signal| inner.ask(Cause::Signal { signal })
        };
        let forwarding = signals.forward(receive).expect("a process that starts can have one more thread");

        let (dropped, drop) = oneshot::channel();
        let mut starting = tokio::spawn(run_steps(start_up, drop));
        tokio::select! {
            biased;
            () = inner.lifecycle.asked_to_stop() => {
                // Until the step is gone, it may still start something; one that blocks its worker is not waited for.
                let _ = dropped.send(());
                let _ = timeout(ABORT, &mut starting).await;
            }
            started = &mut starting => match started.unwrap_or_else(|panic| Err(panicked(panic))) {
                Ok(()) => {
                    self.enter(Phase::Running, None);
                    tracing::info!("ready");
                }
                Err(error) => inner.ask(Cause::StartFailed { error }),
            },
        }
        inner.lifecycle.asked_to_stop().await;
        self.stop().await;

        let mut report = inner.report().expect("the stop is over");
        report.guards = Some((watchdog, forwarding));
        report
    }

    async fn stop(&self) {
        let inner = &self.inner;
        let was_ready = inner.lifecycle.status().phase == Phase::Running;
        inner.totals.begin();
        inner.hooks.begin(self.t0());
        self.lame_duck(was_ready).await;
        self.drain().await;
        self.background().await;
        self.release().await;
        self.flush().await;
        self.enter(Phase::Stopped, None);
        if let Some(report) = inner.report().filter(|_| was_ready) {
            report.log();
        }
    }

    /// Everything is still served, while balancers look away. A process that was never ready has nobody to wait for.
    async fn lame_duck(&self, was_ready: bool) {
        let inner = &self.inner;
        let length = if was_ready { inner.budget.part(Part::LameDuck) } else { Duration::ZERO };
        for running in inner.traffic_servers() {
            running.server.begin_lame_duck(length);
        }
        inner.tokens.draining.cancel();
        // Said when it is done: a log that nobody reads blocks whoever writes to it.
        match inner.lifecycle.cause() {
            Some(cause) if cause.is_failure() => tracing::error!("{cause}"),
            Some(cause) => tracing::info!(%cause, grace_period = ?inner.budget.grace_period(), "stopping"),
            None => unreachable!("a stop has a cause"),
        }
        self.phase(Phase::LameDuck, inner.budget.part(Part::LameDuck), async {
            inner.forced_within(length).await;
            true
        })
        .await;
    }

    /// The listeners close, and what is in flight finishes, is cancelled, is aborted.
    async fn drain(&self) {
        if sabotage::is(Fault::DrainIsOpen) {
            return self.phase(Phase::Drain, Duration::ZERO, async { true }).await;
        }
        let (inner, servers) = (&self.inner, self.inner.close_servers());
        let (budget, cancel_grace) = (inner.budget.part(Part::Drain), inner.budget.part(Part::CancelGrace));
        let given_up = if sabotage::is(Fault::NoDeadline) { Duration::MAX } else { budget };
        self.phase(Phase::Drain, budget, async {
            let side_by_side = servers.into_iter().map(|running| {
                let inner = inner.clone();
                async move { running.drained(inner.forced_within(given_up), cancel_grace).await }
            });
            let drained = side_by_side.collect::<JoinSet<bool>>().join_all().await;
            drained.into_iter().all(|in_time| in_time)
        })
        .await;
        // A worker that is blocked cannot drop what it was told to drop; what hangs there is named all the same.
        inner.cut_requests();
    }

    /// Background tasks finish, are cancelled, are aborted, all within one budget.
    async fn background(&self) {
        let (tasks, budget) = (&self.inner.tasks, self.inner.budget.part(Part::Background));
        let cancel_grace = self.inner.budget.part(Part::CancelGrace).min(budget / 4);
        let given_up = budget.saturating_sub(cancel_grace);
        let (cancel_grace, abort) = halves(cancel_grace);
        self.phase(Phase::Background, budget, async {
            tokio::select! {
                () = tasks.finished() => return true,
                () = self.inner.forced_within(given_up) => tasks.tokens.cancel(),
            }
            if timeout(cancel_grace, tasks.finished()).await.is_ok() {
                return true;
            }
            self.inner.cut_tasks();
            tasks.abort();
            let _ = timeout(abort, tasks.finished()).await;
            false
        })
        .await;
    }

    /// What was opened is closed, the last first. All of it is the hooks' work.
    async fn release(&self) {
        self.phase(Phase::Release, self.inner.budget.part(Part::Release), async { true }).await;
    }

    /// Telemetry leaves, the report is written, and the admin servers close last.
    async fn flush(&self) {
        self.phase(Phase::Flush, self.inner.budget.part(Part::Flush), async { true }).await;
        // One that was spawned when the background phase was over has nobody who waits for it: it ends with the process.
        if self.inner.tasks.len() > 0 {
            self.inner.cut_tasks();
        }
        if let Some(report) = self.inner.report()
            && let Err(error) = self.inner.leave(&report)
        {
            tracing::error!(%error, "the report cannot be written");
        }
        let (admin_servers, each) = (self.inner.servers(|server| server.admin), self.admin_close() / 2);
        for running in &admin_servers {
            running.server.begin_drain();
        }
        let side_by_side =
            admin_servers.into_iter().map(|running| async move { running.drained(sleep(each), each).await });
        side_by_side.collect::<JoinSet<bool>>().join_all().await;
    }

    /// When the stop was asked for.
    fn t0(&self) -> Instant {
        self.inner.lifecycle.status().stop.as_ref().expect("it was asked for").at
    }

    /// How long the admin servers may take to close.
    fn admin_close(&self) -> Duration {
        ADMIN_CLOSE.min(self.inner.budget.part(Part::Flush) / 4)
    }

    /// Runs one phase: its hooks beside its own `work`, which says whether it was done in time.
    async fn phase(&self, phase: Phase, budget: Duration, work: impl Future<Output = bool>) {
        self.enter(phase, Some(budget));
        let (inner, began) = (&self.inner, Instant::now());
        let kept_back = if phase == Phase::Flush { self.admin_close() } else { Duration::ZERO };
        let terms = Terms {
            phase,
            deadline: began + budget - kept_back,
            forced: inner.forced.clone(),
            cancel_grace: inner.budget.part(Part::CancelGrace),
        };
        // On a task of its own: a log that nobody reads blocks whoever writes to it.
        let saying = AbortOnDropHandle::new(tokio::spawn(waits::keep_saying(inner.clone())));
        let (in_time, ()) = tokio::join!(work, self.hooks(terms));
        drop(saying);
        let duration = began.elapsed();
        // Forced is not overrun; and the lame duck takes all its time, by design.
        let overran = (!in_time && !inner.forced.is_cancelled()) || (phase != Phase::LameDuck && duration > budget);
        if overran {
            tracing::warn!(%phase, ?duration, ?budget, "the phase overran its budget");
            metrics::phase_timeout(phase);
        }
        inner.found(|found| found.phases.push(PhaseReport { phase, at: began - self.t0(), duration, budget, overran }));
    }

    /// The hooks of a phase, and behind the last ones the last scrape: everything that it could show has happened.
    async fn hooks(&self, terms: Terms) {
        let Terms { phase, deadline, .. } = terms;
        self.inner.hooks.run(terms).await;
        if phase == Phase::Flush {
            let last = self.inner.scrapes.last(deadline, &self.inner.forced).await;
            self.inner.found(|found| found.last_scrape = Some(last));
        }
    }

    fn enter(&self, phase: Phase, budget: Option<Duration>) {
        if phase == Phase::Running {
            self.inner.records.last_run.begin();
        }
        // A process that never got so far leaves no log of nothing.
        if let Some(audit) =
            self.inner.records.audit.as_ref().filter(|audit| phase == Phase::Running || audit.has_begun())
        {
            audit.write(Event::Phase(phase.as_str()));
        }
        tracing::debug!(%phase, ?budget, "phase");
        self.inner.lifecycle.enter(phase, budget);
    }
}

/// Runs the start-up, one step after the other, until it is told to drop the one under way.
async fn run_steps(steps: Vec<StartStep>, mut drop: oneshot::Receiver<()>) -> Result<(), String> {
    for step in steps {
        tokio::select! {
            biased;
            _ = &mut drop => return Ok(()),
            done = step => done.map_err(|error| chain(&*error))?,
        }
    }
    Ok(())
}

fn panicked(panic: JoinError) -> String {
    format!("panicked: {}", panic_message(panic))
}
