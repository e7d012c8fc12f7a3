//! A process that runs a plan on the library's public face, and writes down what it sees.

use std::{
    future::pending,
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use winddown::{
    BoxError, Cause, Hook, HookContext, LifecycleStatus, Phase, Readiness, Report, SecondSignal, Shutdown, Signals,
    Task,
};

use crate::plan::{self, Ask, Fate, Plan};

/// What one run did.
pub(crate) struct Seen {
    pub(crate) report: Report,
    /// The report as it was written to its file; `None` where there was none.
    pub(crate) written: Option<serde_json::Value>,
    pub(crate) hooks: Vec<Ran>,
    /// The phases as a watcher saw them, with the milliseconds at which they began.
    pub(crate) phases: Vec<(Phase, f64)>,
    /// Whether the process was ready when it was asked to stop.
    pub(crate) was_ready: bool,
    /// T0 by the status that everybody sees.
    pub(crate) t0: f64,
    /// Start-up steps whose futures are still there.
    pub(crate) starting: usize,
}

/// A hook that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) name: String,
    pub(crate) phase: Phase,
    pub(crate) began: f64,
    /// What it was told.
    pub(crate) deadline: f64,
    /// When its future was dropped.
    pub(crate) ended: Option<f64>,
}

/// Where the hooks write.
#[derive(Clone)]
struct Log {
    since: Instant,
    hooks: Arc<Mutex<Vec<Ran>>>,
    readiness: Readiness,
}

/// Writes down the end of a hook, whichever it is.
struct Running(Log, usize);

impl Log {
    fn ms(&self, at: Instant) -> f64 {
        (at - self.since).as_secs_f64() * 1e3
    }

    fn begins(&self, name: String, context: &HookContext) -> Running {
        assert!(!self.readiness.is_ready(), "ready behind T0");
        let mut hooks = self.hooks.lock().expect("nobody panics with it");
        let (began, deadline) = (self.ms(Instant::now()), self.ms(context.deadline));
        hooks.push(Ran { name, phase: context.phase, began, deadline, ended: None });
        Running(self.clone(), hooks.len() - 1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.hooks.lock().expect("nobody panics with it")[self.1].ended = Some(self.0.ms(Instant::now()));
    }
}

pub(crate) fn shutdown(plan: &Plan) -> winddown::Builder {
    let second = if plan.forces { SecondSignal::Force } else { SecondSignal::Ignore };
    Shutdown::builder().grace_period(Duration::from_millis(plan.grace)).split(plan.split).second_signal(second)
}

/// Runs `plan`, with these `asks` instead of its own, on a clock of its own.
pub(crate) fn run(plan: &Plan, asks: &[Ask]) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(live(plan, asks))
}

async fn live(plan: &Plan, asks: &[Ask]) -> Seen {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("report.json");
    let stop = shutdown(plan).report_file(&path).build().expect("it fits");
    let log = Log { since: Instant::now(), hooks: Arc::default(), readiness: stop.readiness() };
    for (number, step) in plan.steps.iter().enumerate() {
        let hooks =
            step.hooks.iter().enumerate().map(|(i, hook)| self::hook(format!("{number}.{i}"), hook, log.clone()));
        stop.step(step.phase, hooks.collect::<Vec<_>>());
    }
    for (number, task) in plan.tasks.iter().copied().enumerate() {
        stop.spawn(number.to_string(), move |told| self::task(task, told));
    }
    let starting = Arc::new(());
    for fate in plan.start_up.iter().copied() {
        let (readiness, here) = (log.readiness.clone(), starting.clone());
        stop.start(async move {
            assert!(!readiness.is_ready(), "ready before the start-up is over");
            let ended = ends(fate).await;
            drop(here);
            ended
        });
    }

    let (signals, stream) = mpsc::unbounded_channel();
    let was_ready = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(stop.clone(), log.clone()));
    let asking = tokio::spawn({
        let (handle, asks, log, was_ready) = (stop.handle(), asks.to_vec(), log.clone(), was_ready.clone());
        async move {
            for Ask { at, signal } in asks {
                sleep_until(log.since + Duration::from_millis(at)).await;
                was_ready.fetch_or(log.readiness.is_ready(), Relaxed);
                if let Some(signal) = signal {
                    signals.send(signal).expect("the process listens");
                } else {
                    handle.request(Cause::Requested { reason: "planned".into() });
                    assert!(!log.readiness.is_ready(), "ready behind T0");
                }
            }
            pending::<()>().await; // The channel stays open, as the operating system does.
        }
    });
    let report = stop.clone().run_until(Signals::from_stream(UnboundedReceiverStream::new(stream))).await;
    asking.abort();
    assert!(asking.await.is_err_and(|ended| ended.is_cancelled()), "nobody who asked saw anything wrong");
    let t0 = log.ms(stop.handle().status().stop.expect("it is stopped").at);
    Seen {
        report,
        written: std::fs::read(&path).ok().map(|json| serde_json::from_slice(&json).expect("it is JSON")),
        phases: watching.await.expect("a watcher sees the end"),
        was_ready: was_ready.load(Relaxed),
        t0,
        starting: Arc::strong_count(&starting) - 1,
        hooks: std::mem::take(&mut log.hooks.lock().expect("nobody panics with it")),
    }
}

/// The phases that the process goes through. One that takes no time may not be seen.
async fn watch(stop: Shutdown, log: Log) -> Vec<(Phase, f64)> {
    let mut watch = stop.handle().watch();
    let mut seen = Vec::new();
    loop {
        let LifecycleStatus { phase, since, .. } = watch.borrow_and_update().clone();
        if seen.last().is_none_or(|(last, _)| *last != phase) {
            seen.push((phase, log.ms(since)));
        }
        if phase == Phase::Stopped {
            return seen;
        }
        watch.changed().await.expect("the process lives");
    }
}

fn hook(name: String, plan: &plan::Hook, log: Log) -> Hook {
    let fate = plan.fate;
    let hook = Hook::new(name.clone(), move |context| async move {
        let _running = log.begins(name, &context);
        ends(fate).await
    });
    match plan.timeout {
        Some(timeout) => hook.timeout(Duration::from_millis(timeout)),
        None => hook,
    }
}

async fn task(fate: plan::Task, told: Task) {
    match fate {
        plan::Task::Ends(after) => sleep(Duration::from_millis(after)).await,
        plan::Task::Drains(after) => {
            told.draining().await;
            sleep(Duration::from_millis(after)).await;
        }
        plan::Task::Panics(after) => {
            told.draining().await;
            sleep(Duration::from_millis(after)).await;
            panics();
        }
        plan::Task::Cancels(after) => {
            told.cancelled().await;
            sleep(Duration::from_millis(after)).await;
        }
        plan::Task::Hangs => pending().await,
    }
}

async fn ends(fate: Fate) -> Result<(), BoxError> {
    match fate.after() {
        Some(after) => sleep(Duration::from_millis(after)).await,
        None => pending().await,
    }
    match fate {
        Fate::Fails(_) => Err("planned".into()),
        Fate::Panics(_) => panics(),
        _ => Ok(()),
    }
}

/// A panic that the test's output is silent about.
fn panics() -> ! {
    resume_unwind(Box::new("planned"))
}
