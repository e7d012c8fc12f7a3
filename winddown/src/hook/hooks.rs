//! All hooks of a process, run phase by phase.

use std::{
    future::pending,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Hook, HookContext, HookOutcome, HookReport, HookStatus, Step};
use crate::{lifecycle::Phase, sync::lock};

/// Every hook that is still to run, those at work, and the reports of those that ran.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    steps: Mutex<Steps>,
    working: Arc<Mutex<Vec<Arc<Work>>>>,
    reports: Mutex<Vec<HookReport>>,
    /// When the stop was asked for.
    t0: OnceLock<Instant>,
}

#[derive(Debug, Default)]
struct Steps {
    waiting: Vec<(Phase, Step)>,
    /// The last phase whose hooks were taken.
    begun: Option<Phase>,
}

/// One hook at work.
#[derive(Debug)]
struct Work {
    phase: Phase,
    hook: String,
    since: Instant,
    deadline: Instant,
}

/// What a phase grants to its hooks.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) phase: Phase,
    /// All of them are over by then.
    pub(crate) deadline: Instant,
    /// The stop is forced.
    pub(crate) forced: CancellationToken,
    /// How long a hook may go on after it was told so.
    pub(crate) cancel_grace: Duration,
}

impl Terms {
    /// A forced stop cancels what serves, and still releases what was opened.
    fn can_be_given_up(&self) -> bool {
        !matches!(self.phase, Phase::Release | Phase::Flush)
    }

    /// Resolves when a hook is to be given up because the stop is forced.
    async fn given_up(self) {
        if !self.can_be_given_up() {
            pending::<()>().await;
        }
        self.forced.cancelled().await;
        sleep(self.cancel_grace).await;
    }
}

impl Hooks {
    pub(crate) fn add(&self, phase: Phase, step: Step) {
        assert!(phase.is_of_the_stop(), "a hook belongs to a phase of the stop, and {phase} is none");
        for hook in &step.0 {
            crate::metrics::register_hook(&hook.name);
        }
        let mut steps = lock(&self.steps);
        if steps.begun < Some(phase) {
            return steps.waiting.push((phase, step));
        }
        drop(steps);
        let too_late = HookOutcome::Error { message: "added when its phase had begun, and not run".into() };
        self.not_run(phase, step, &too_late);
    }

    /// The stop was asked for at `t0`, from which every hook is timed.
    pub(crate) fn begin(&self, t0: Instant) {
        let _ = self.t0.set(t0); // a process stops once
    }

    /// Runs the steps of one phase.
    pub(crate) async fn run(&self, terms: Terms) {
        let mut steps = self.take(terms.phase);
        if terms.phase == Phase::Release {
            steps.reverse();
        }
        let mut steps = steps.into_iter();
        while let Some(step) = steps.next() {
            if terms.can_be_given_up() && terms.forced.is_cancelled() {
                self.not_run(terms.phase, step, &HookOutcome::Forced);
                continue;
            }
            let bound = bound(&step, steps.as_slice(), terms.deadline.saturating_duration_since(Instant::now()));
            let mut side_by_side = JoinSet::new();
            for hook in step.0 {
                let bound = hook.timeout.map_or(bound, |timeout| timeout.min(bound));
                side_by_side.spawn(self.work(hook, bound, terms.clone()));
            }
            while let Some(report) = side_by_side.join_next().await {
                let report = report.expect("a hook's panic ends in a task of its own, and nobody aborts this one");
                lock(&self.reports).push(report);
            }
        }
    }

    /// Runs one hook, which is listed meanwhile.
    fn work(&self, hook: Hook, bound: Duration, terms: Terms) -> impl Future<Output = HookReport> + use<> {
        let now = Instant::now();
        let work = Work { phase: terms.phase, hook: hook.name.clone(), since: now, deadline: now + bound };
        let at = self.since_t0(now);
        let context = HookContext { phase: work.phase, deadline: work.deadline, forced: terms.forced.clone() };
        let (work, working) = (Arc::new(work), self.working.clone());
        lock(&working).push(work.clone());
        async move {
            let report = hook.run(context, at, terms.given_up()).await;
            lock(&working).retain(|other| !Arc::ptr_eq(other, &work));
            report
        }
    }

    fn not_run(&self, phase: Phase, step: Step, outcome: &HookOutcome) {
        for Hook { name: hook, .. } in step.0 {
            let at = self.since_t0(Instant::now());
            let report = HookReport { phase, hook, at, duration: Duration::ZERO, outcome: outcome.clone() };
            report.publish();
            lock(&self.reports).push(report);
        }
    }

    fn since_t0(&self, moment: Instant) -> Duration {
        self.t0.get().map_or(Duration::ZERO, |t0| moment.saturating_duration_since(*t0))
    }

    fn take(&self, phase: Phase) -> Vec<Step> {
        let mut steps = lock(&self.steps);
        steps.begun = Some(phase);
        steps.waiting.extract_if(.., |(at, _)| *at == phase).map(|(_, step)| step).collect()
    }

    /// The hooks that are at work, the oldest first.
    pub(crate) fn working(&self) -> Vec<HookStatus> {
        let status = |work: &Arc<Work>| HookStatus {
            phase: work.phase,
            hook: work.hook.clone(),
            at: self.since_t0(work.since),
            age: work.since.elapsed(),
            left: work.deadline.saturating_duration_since(Instant::now()),
        };
        lock(&self.working).iter().map(status).collect()
    }

    pub(crate) fn reports(&self) -> Vec<HookReport> {
        lock(&self.reports).clone()
    }
}

/// How long `step` may take, when `left` is what it and all `later` steps have together (invariant 2 of [`super`]).
fn bound(step: &Step, later: &[Step], left: Duration) -> Duration {
    let free = left.saturating_sub(later.iter().map(Step::timeout).sum());
    let own = step.timeout().min(free);
    if !step.shares() {
        return own;
    }
    own + free.saturating_sub(own) / (1 + later.iter().filter(|step| step.shares()).count() as u32)
}
