//! Hooks: named work with a deadline, done in one phase of the stop.
//!
//! Steps run in the order of their registration, in `release` in the reverse order: what was opened last is closed
//! first. A group is one step whose hooks run side by side.
//!
//! # Invariants
//!
//! 1. An error, a panic or a time-out of one hook is reported and disturbs no other.
//! 2. A hook that hangs takes no time from a later one: the timeouts that later hooks set are kept back, and steps with
//!    a hook that sets none share the rest evenly.
//! 3. Every hook that was added has a report in the end, also one that a forced stop gave up or never began.

mod hooks;
mod report;

use std::{error::Error, fmt, future::Future, pin::Pin, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub(crate) use self::hooks::{Hooks, Terms};
pub use self::report::{HookOutcome, HookReport, HookStatus};
use crate::lifecycle::Phase;

/// Any error that a hook or a start-up step may fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

type BoxFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What a hook is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookContext {
    /// The phase that runs the hook.
    pub phase: Phase,
    /// When the hook is aborted.
    pub deadline: Instant,
    /// Cancelled when a repeated signal forces the stop: finish now. Before the release, a hook that has not after the
    /// cancel grace is aborted.
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

    /// Runs in a task of its own, so that a panic ends there. Aborted when it is `given_up`.
    async fn run(self, context: HookContext, at: Duration, given_up: impl Future<Output = ()>) -> HookReport {
        let Self { name, run, .. } = self;
        let (phase, deadline, started) = (context.phase, context.deadline, Instant::now());
        let task = AbortOnDropHandle::new(tokio::spawn(async move { run(context).await }));
        let outcome = tokio::select! {
            biased;
            ended = timeout_at(deadline, task) => match ended {
                Ok(Ok(Ok(()))) => HookOutcome::Ok,
                Ok(Ok(Err(error))) => HookOutcome::Error { message: chain(&*error) },
                Ok(Err(panic)) => HookOutcome::Panic { message: panic_message(panic) },
                Err(_) => HookOutcome::Timeout,
            },
            () = given_up => HookOutcome::Forced,
        };
        let report = HookReport { phase, hook: name, at, duration: started.elapsed(), outcome };
        report.publish();
        report
    }
}

/// One step of a phase: a hook, or several side by side.
#[derive(Debug)]
pub struct Step(Vec<Hook>);

impl Step {
    /// The longest of the timeouts that its hooks set.
    fn timeout(&self) -> Duration {
        self.0.iter().filter_map(|hook| hook.timeout).max().unwrap_or_default()
    }

    /// Whether one of its hooks sets no timeout, and takes what it can get.
    fn shares(&self) -> bool {
        self.0.iter().any(|hook| hook.timeout.is_none())
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
