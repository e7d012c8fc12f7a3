//! Hooks: named work with a deadline, done in one phase of the stop.
//!
//! Steps run in the order of their registration, in `release` in the reverse order: what was opened last is closed
//! first. A group is one step whose hooks run side by side.
//!
//! # Invariants
//!
//! 1. An error, a panic or a time-out of one hook is reported and disturbs no other.
//! 2. A hook that hangs takes no time from a later one: the timeouts that later steps set are kept back, and steps
//!    that set none share the rest evenly.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::lifecycle::Phase;

/// Any error that a hook or a start-up step may fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

type BoxFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What a hook is told.
#[derive(Clone, Debug)]
pub struct HookContext {
    /// The phase that runs the hook.
    pub phase: Phase,
    /// When the hook is aborted.
    pub deadline: Instant,
    /// Cancelled when a repeated signal forces the stop: finish early if you can.
    pub forced: CancellationToken,
}

/// A named piece of work. See [`Shutdown::hook`](crate::Shutdown::hook) for the short way.
pub struct Hook {
    name: String,
    timeout: Option<Duration>,
    run: Box<dyn FnOnce(HookContext) -> BoxFuture + Send>,
}

impl Hook {
    /// A hook that does `run`, bounded by its share of the phase.
    pub fn new<F, Fut>(name: impl Into<String>, run: F) -> Self
    where
        F: FnOnce(HookContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self { name: name.into(), timeout: None, run: Box::new(|context| Box::pin(run(context))) }
    }

    /// Bounds the hook by `timeout`, which later hooks cannot take from it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs in a task of its own, so that a panic ends there.
    async fn run(self, context: HookContext) -> HookReport {
        let Self { name, run, .. } = self;
        let (phase, deadline, started) = (context.phase, context.deadline, Instant::now());
        let task = AbortOnDropHandle::new(tokio::spawn(async move { run(context).await }));
        let outcome = match tokio::time::timeout_at(deadline, task).await {
            Ok(Ok(Ok(()))) => HookOutcome::Ok,
            Ok(Ok(Err(error))) => HookOutcome::Error { message: chain(&*error) },
            Ok(Err(panic)) => HookOutcome::Panic { message: panic_message(panic) },
            Err(_) => HookOutcome::Timeout,
        };
        let report = HookReport { phase, hook: name, duration: started.elapsed(), outcome };
        report.publish();
        report
    }
}

/// One step of a phase: a hook, or several side by side.
#[derive(Debug)]
pub struct Step(Vec<Hook>);

impl Step {
    /// The longest of its hooks' timeouts; `None` when one of them set none.
    fn timeout(&self) -> Option<Duration> {
        self.0.iter().map(|hook| hook.timeout).try_fold(Duration::ZERO, |longest, timeout| Some(longest.max(timeout?)))
    }
}

impl From<Hook> for Step {
    fn from(hook: Hook) -> Self {
        Self(vec![hook])
    }
}

/// A group: none of its hooks waits for or disturbs another.
impl<I: IntoIterator<Item = Hook>> From<I> for Step {
    fn from(hooks: I) -> Self {
        Self(hooks.into_iter().collect())
    }
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum HookOutcome {
    /// It did its work.
    Ok,
    /// It returned an error.
    Error {
        /// The error and what caused it.
        message: String,
    },
    /// It panicked.
    Panic {
        /// The panic's message.
        message: String,
    },
    /// It was aborted at its deadline.
    Timeout,
}

/// What the report says of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// The phase that ran it.
    pub phase: Phase,
    /// Its name.
    pub hook: String,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "crate::report::seconds")]
    pub duration: Duration,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: HookOutcome,
}

impl HookReport {
    /// Whether the hook did what it was there for.
    pub fn is_ok(&self) -> bool {
        self.outcome == HookOutcome::Ok
    }

    fn publish(&self) {
        let Self { phase, hook, duration, outcome } = self;
        crate::metrics::hook(*phase, hook, *duration, outcome);
        match outcome {
            HookOutcome::Ok => tracing::debug!(%phase, hook, ?duration, "hook done"),
            HookOutcome::Error { message } => tracing::error!(%phase, hook, ?duration, error = message, "hook failed"),
            HookOutcome::Panic { message } => tracing::error!(%phase, hook, ?duration, message, "hook panicked"),
            HookOutcome::Timeout => tracing::error!(%phase, hook, ?duration, "hook timed out"),
        }
    }
}

/// Every hook that is still to run, and the reports of those that ran.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    steps: Mutex<Vec<(Phase, Step)>>,
    reports: Mutex<Vec<HookReport>>,
}

impl Hooks {
    pub(crate) fn add(&self, phase: Phase, step: Step) {
        assert!(phase.is_of_the_stop(), "a hook belongs to a phase of the stop, and {phase} is none");
        for hook in &step.0 {
            crate::metrics::register_hook(&hook.name);
        }
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push((phase, step));
    }

    /// Runs the steps of one phase. They are over by `deadline`.
    pub(crate) async fn run(&self, phase: Phase, deadline: Instant, forced: &CancellationToken) {
        let mut steps = self.take(phase);
        if phase == Phase::Release {
            steps.reverse();
        }
        let mut steps = steps.into_iter();
        while let Some(step) = steps.next() {
            let bound = bound(&step, steps.as_slice(), deadline.saturating_duration_since(Instant::now()));
            let mut side_by_side = JoinSet::new();
            for hook in step.0 {
                let bound = hook.timeout.map_or(bound, |timeout| timeout.min(bound));
                let context = HookContext { phase, deadline: Instant::now() + bound, forced: forced.clone() };
                side_by_side.spawn(hook.run(context));
            }
            while let Some(report) = side_by_side.join_next().await {
                let report = report.expect("a hook's panic ends in a task of its own, and nobody aborts this one");
                self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            }
        }
    }

    fn take(&self, phase: Phase) -> Vec<Step> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.extract_if(.., |(at, _)| *at == phase).map(|(_, step)| step).collect()
    }

    pub(crate) fn reports(&self) -> Vec<HookReport> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How long `step` may take, when `left` is what it and all `later` steps have together (invariant 2).
fn bound(step: &Step, later: &[Step], left: Duration) -> Duration {
    let kept_back: Duration = later.iter().filter_map(Step::timeout).sum();
    let free = left.saturating_sub(kept_back);
    match step.timeout() {
        Some(timeout) => timeout.min(free),
        None => free / (1 + later.iter().filter(|step| step.timeout().is_none()).count() as u32),
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

pub(crate) fn panic_message(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "cancelled".into() };
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").into()
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("name", &self.name).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
