//! Background tasks: spawned with a name, told at T0, awaited in the `background` phase.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{task::AbortHandle, time::Instant};
use tokio_util::{sync::WaitForCancellationFutureOwned, task::TaskTracker};

use crate::{hook::panic_message, tokens::Tokens};

/// What a background task is told.
#[derive(Clone, Debug)]
pub struct Task {
    tokens: Tokens,
}

impl Task {
    /// Resolves at T0: take no new work, finish or hand back what you hold. Cancel safe.
    pub fn draining(&self) -> WaitForCancellationFutureOwned {
        self.tokens.draining.clone().cancelled_owned()
    }

    /// Whether the stop was asked for.
    pub fn is_draining(&self) -> bool {
        self.tokens.draining.is_cancelled()
    }

    /// Resolves at the deadline of the background phase: return now, or be aborted a little later. Cancel safe.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.tokens.cancelled.clone().cancelled_owned()
    }
}

/// A background task that runs, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// How long ago it was spawned.
    #[serde(rename = "age_seconds", serialize_with = "crate::report::seconds")]
    pub age: Duration,
}

/// All background tasks of a process.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) tokens: Tokens,
    tracker: TaskTracker,
    running: Arc<Mutex<BTreeMap<u64, Running>>>,
    next: AtomicU64,
    panicked: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Running {
    name: String,
    since: Instant,
    abort: AbortHandle,
}

impl Tasks {
    pub(crate) fn new(tokens: Tokens) -> Self {
        Self {
            tokens,
            tracker: TaskTracker::new(),
            running: Arc::default(),
            next: AtomicU64::new(0),
            panicked: Arc::default(),
        }
    }

    pub(crate) fn spawn<F>(&self, name: String, run: impl FnOnce(Task) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.next.fetch_add(1, Relaxed);
        let task = tokio::spawn(run(Task { tokens: self.tokens.clone() }));
        let entry = Running { name: name.clone(), since: Instant::now(), abort: task.abort_handle() };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        let (running, panicked) = (self.running.clone(), self.panicked.clone());
        self.tracker.spawn(async move {
            let ended = task.await;
            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Err(error) = ended
                && error.is_panic()
            {
                panicked.fetch_add(1, Relaxed);
                tracing::error!(task = name, message = panic_message(error), "background task panicked");
            }
        });
    }

    /// The tasks that run, the oldest first.
    pub(crate) fn running(&self) -> Vec<TaskStatus> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().map(|task| TaskStatus { name: task.name.clone(), age: task.since.elapsed() }).collect()
    }

    pub(crate) fn panicked(&self) -> u64 {
        self.panicked.load(Relaxed)
    }

    /// Waits until no task is left. One that is spawned meanwhile is waited for, too.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Aborts what still runs, and says what that was.
    pub(crate) fn abort(&self) -> Vec<TaskStatus> {
        let cut = self.running();
        for task in self.running.lock().unwrap_or_else(PoisonError::into_inner).values() {
            task.abort.abort();
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn c33_task_is_told_at_t0_and_awaited() {
        let tasks = Tasks::new(Tokens::default());
        tasks.spawn("settle orders".into(), |task| async move { task.draining().await });
        assert_eq!(tasks.running()[0].name, "settle orders");
        assert!(tokio::time::timeout(Duration::from_mins(1), tasks.finished()).await.is_err());
        tasks.tokens.draining.cancel();
        tasks.finished().await;
        assert!(tasks.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_counted_and_gone() {
        let tasks = Tasks::new(Tokens::default());
        tasks.spawn("bad".into(), |_| async { panic!("no such row") });
        tasks.finished().await;
        assert_eq!(tasks.panicked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_task_is_aborted_and_named() {
        let tasks = Tasks::new(Tokens::default());
        tasks.spawn("stuck".into(), |_| std::future::pending());
        assert_eq!(tasks.abort().into_iter().map(|task| task.name).collect::<Vec<_>>(), ["stuck"]);
        tasks.finished().await;
    }
}
