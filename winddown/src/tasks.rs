//! Background tasks: spawned with a name, told at T0, awaited in the `background` phase.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{
    task::{AbortHandle, JoinError},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{
    sync::WaitForCancellationFutureOwned,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{hook::panic_message, sync::lock, tokens::Tokens};

/// How many tasks and panics are named; the rest is a number.
pub(crate) const NAMED: usize = 20;

/// What a background task is told.
#[derive(Clone, Debug)]
pub struct Task {
    tokens: Tokens,
}

impl Task {
    /// Resolves at T0, in the lame duck and not only in the phase `drain`: take no new work, finish or hand back what you hold. Cancel safe.
    pub fn draining(&self) -> WaitForCancellationFutureOwned {
        self.tokens.draining.clone().cancelled_owned()
    }

    /// Whether the stop was asked for.
    pub fn is_draining(&self) -> bool {
        self.tokens.draining.is_cancelled()
    }

    /// Resolves a cancel grace (a quarter of the phase at the most) before the deadline of the background phase, or when the
    /// stop is forced: hand back and return now. What still runs is aborted, so that it is gone by the deadline. Cancel safe.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.tokens.cancelled.clone().cancelled_owned()
    }
}

/// A background task that runs, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// How long ago it was spawned.
    #[serde(rename = "age_seconds", serialize_with = "crate::report::seconds")]
    pub age: Duration,
}

/// A background task, or one turn of a periodic one, that panicked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskPanic {
    /// Its name.
    pub name: String,
    /// The panic's message.
    pub message: String,
}

/// All background tasks of a process.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) tokens: Tokens,
    tracker: TaskTracker,
    running: Arc<Mutex<BTreeMap<u64, Entry>>>,
    next: AtomicU64,
    panics: Arc<Panics>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    since: Instant,
    abort: AbortHandle,
}

/// The panics so far: a count, and the first of them by name.
#[derive(Debug, Default)]
struct Panics {
    count: AtomicU64,
    named: Mutex<Vec<TaskPanic>>,
}

impl Tasks {
    pub(crate) fn new(tokens: Tokens) -> Self {
        Self {
            tokens,
            tracker: TaskTracker::new(),
            running: Arc::default(),
            next: AtomicU64::new(0),
            panics: Arc::default(),
        }
    }

    pub(crate) fn spawn<F>(&self, name: String, run: impl FnOnce(Task) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.next.fetch_add(1, Relaxed);
        let task = tokio::spawn(run(Task { tokens: self.tokens.clone() }));
        let entry = Entry { name: name.clone(), since: Instant::now(), abort: task.abort_handle() };
        lock(&self.running).insert(id, entry);
        let (running, panics) = (self.running.clone(), self.panics.clone());
        self.tracker.spawn(async move {
            let ended = task.await;
            lock(&running).remove(&id);
            if let Err(error) = ended {
                panics.note(name, error);
            }
        });
    }

    /// Each turn runs in a task of its own, so that a panic ends there and the next turn comes all the same.
    pub(crate) fn every<F>(&self, name: String, period: Duration, job: impl FnMut(Task) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Shared with each turn, for a job may do its work, and panic, before it returns a future.
        let job = Arc::new(Mutex::new(job));
        let (panics, mut ticks) = (self.panics.clone(), interval(period));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.spawn(name.clone(), move |task| async move {
            loop {
                tokio::select! {
                    biased;
                    () = task.draining() => return,
                    _ = ticks.tick() => {}
                }
                let (job, task) = (job.clone(), task.clone());
                let begin = move || (*lock(&job))(task);
                let turn = AbortOnDropHandle::new(tokio::spawn(async move { begin().await }));
                if let Err(error) = turn.await {
                    panics.note(name.clone(), error);
                }
            }
        });
    }

    /// How many tasks run.
    pub(crate) fn len(&self) -> usize {
        lock(&self.running).len()
    }

    /// The oldest tasks that run, [`NAMED`] at the most.
    pub(crate) fn oldest(&self) -> Vec<TaskStatus> {
        let status = |task: &Entry| TaskStatus { name: task.name.clone(), age: task.since.elapsed() };
        lock(&self.running).values().take(NAMED).map(status).collect()
    }

    /// How many panicked, and the first of them, [`NAMED`] at the most.
    pub(crate) fn panics(&self) -> (u64, Vec<TaskPanic>) {
        (self.panics.count.load(Relaxed), lock(&self.panics.named).clone())
    }

    /// Waits until no task is left. One that is spawned meanwhile is waited for, too.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Aborts what still runs.
    pub(crate) fn abort(&self) {
        for task in lock(&self.running).values() {
            task.abort.abort();
        }
    }
}

impl Panics {
    fn note(&self, name: String, error: JoinError) {
        if !error.is_panic() {
            return;
        }
        let message = panic_message(error);
        tracing::error!(task = name, message, "background task panicked");
        self.count.fetch_add(1, Relaxed);
        let mut named = lock(&self.named);
        if named.len() < NAMED {
            named.push(TaskPanic { name, message });
        }
    }
}

#[cfg(test)]
mod tests;
