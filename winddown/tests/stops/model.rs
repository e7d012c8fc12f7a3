//! What must come of a plan, by arithmetic alone.
//!
//! Milliseconds are `f64`, and what never happens is infinitely late. Timers of the runtime go off up to a millisecond
//! late, so whatever happens within [`CLOSE`] of a limit may fall on either side of it.

use std::collections::BTreeMap;

use winddown::{Budget, DEBOUNCE, Part, Phase, Signal};

use crate::plan::{Ask, Fate, PHASES, Plan, Step, Task};

pub(crate) const CLOSE: f64 = 30.0;

/// A signal that comes so soon after the one that forced means the same; one that comes later ends the process, and so
/// the test.
const AGAIN: f64 = 70.0;

const NEVER: f64 = f64::INFINITY;

/// What will be seen of one run.
#[derive(Debug)]
pub(crate) struct Foretold {
    pub(crate) cause: Why,
    pub(crate) t0: f64,
    pub(crate) was_ready: bool,
    /// The signal that forces, and when.
    pub(crate) forced: Option<(Signal, f64)>,
    /// The asks that leave the process alive.
    pub(crate) asks: Vec<Ask>,
    /// When each phase begins, and at last when the last one is over.
    pub(crate) phases: [f64; 6],
    pub(crate) hooks: BTreeMap<String, FutureHook>,
    /// Whether each task is cut.
    pub(crate) tasks: Vec<Maybe>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    StartUp,
    Asked(Option<Signal>),
}

/// True, false, or too close to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maybe {
    Yes,
    No,
    Either,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FutureHook {
    pub(crate) phase: Phase,
    pub(crate) fate: Fate,
    pub(crate) began: f64,
    pub(crate) deadline: f64,
    pub(crate) ended: f64,
    /// Whether its own end comes before its deadline.
    pub(crate) in_time: Maybe,
    /// Whether a forced stop gives it up before, or never begins it.
    pub(crate) given_up: Maybe,
}

/// Whether `time` comes before `limit`.
fn before(time: f64, limit: f64) -> Maybe {
    match time {
        _ if (time - limit).abs() < CLOSE => Maybe::Either,
        _ if time < limit => Maybe::Yes,
        _ => Maybe::No,
    }
}

fn ms(budget: &Budget, part: Part) -> f64 {
    budget.part(part).as_secs_f64() * 1e3
}

fn after(fate: Fate) -> f64 {
    fate.after().map_or(NEVER, |after| after as f64)
}

/// `None` when two events that decide about everything else are too close to each other.
pub(crate) fn foretell(plan: &Plan, budget: &Budget) -> Option<Foretold> {
    let mut foretold = beginning(plan)?;
    let mut now = foretold.t0;
    for (i, phase) in PHASES.into_iter().enumerate() {
        foretold.phases[i] = now;
        let hooks = run_hooks(plan, budget, phase, now, &mut foretold)?;
        let forced = foretold.forced.map_or(NEVER, |(_, at)| at).max(now);
        let work = match phase {
            Phase::LameDuck if foretold.was_ready => (now + ms(budget, Part::LameDuck)).min(forced),
            Phase::Background => run_tasks(plan, budget, now, forced, &mut foretold),
            _ => now,
        };
        now = work.max(hooks);
    }
    foretold.phases[5] = now;
    match foretold.forced.map(|(_, at)| before(at, now)) {
        Some(Maybe::Either) => return None,
        Some(Maybe::No) => foretold.forced = None,
        _ => {}
    }
    Some(foretold)
}

/// Who asks first, and what the others achieve.
fn beginning(plan: &Plan) -> Option<Foretold> {
    let first = plan.asks[0].at as f64;
    let (mut started, mut fails) = (0.0, NEVER);
    for step in &plan.start_up {
        started += after(*step);
        if matches!(step, Fate::Fails(_) | Fate::Panics(_)) {
            (started, fails) = (NEVER, started);
            break;
        }
    }
    let of_start_up = before(fails, first);
    let was_ready = before(started, first);
    if of_start_up == Maybe::Either || was_ready == Maybe::Either {
        return None;
    }
    let of_start_up = of_start_up == Maybe::Yes;
    let t0 = fails.min(first);
    let (mut asks, mut signalled, mut forced) = (Vec::new(), None, None);
    for ask in &plan.asks {
        let at = ask.at as f64;
        match (signalled, forced, ask.signal) {
            (_, Some((_, since)), Some(_)) if at > since + AGAIN => continue,
            (None, _, Some(_)) => signalled = Some(at),
            (Some(first), None, Some(signal)) if plan.forces => {
                match before(first + DEBOUNCE.as_secs_f64() * 1e3, at) {
                    Maybe::Yes => forced = Some((signal, at)),
                    Maybe::No => {}
                    Maybe::Either => return None,
                }
            }
            _ => {}
        }
        asks.push(*ask);
    }
    Some(Foretold {
        cause: if of_start_up { Why::StartUp } else { Why::Asked(plan.asks[0].signal) },
        t0,
        was_ready: was_ready == Maybe::Yes,
        forced,
        asks,
        phases: [t0; 6],
        hooks: BTreeMap::new(),
        tasks: Vec::new(),
    })
}

/// How long the hooks of a phase may take together. The flush keeps some of its time for the admin servers.
pub(crate) fn for_hooks(budget: &Budget, phase: Phase) -> f64 {
    match phase {
        Phase::LameDuck => ms(budget, Part::LameDuck),
        Phase::Drain => ms(budget, Part::Drain),
        Phase::Background => ms(budget, Part::Background),
        Phase::Release => ms(budget, Part::Release),
        _ => ms(budget, Part::Flush) - (ms(budget, Part::Flush) / 4.0).min(200.0),
    }
}

/// The hooks of one phase. Returns when the last one is over.
fn run_hooks(plan: &Plan, budget: &Budget, phase: Phase, began: f64, foretold: &mut Foretold) -> Option<f64> {
    let length = for_hooks(budget, phase);
    // What was opened is released, forced or not.
    let forced = match foretold.forced {
        Some((_, at)) if !matches!(phase, Phase::Release | Phase::Flush) => at,
        _ => NEVER,
    };
    let given_up = forced + ms(budget, Part::CancelGrace);
    let mut steps: Vec<_> = plan.steps.iter().enumerate().filter(|(_, step)| step.phase == phase).collect();
    if phase == Phase::Release {
        steps.reverse();
    }
    // What each step asks for, and whether one of its hooks takes what it can get.
    let asked = |step: &Step| step.hooks.iter().filter_map(|hook| hook.timeout).max().unwrap_or(0) as f64;
    let shares = |step: &Step| step.hooks.iter().any(|hook| hook.timeout.is_none());
    let mut now = began;
    for (i, (number, step)) in steps.iter().enumerate() {
        let later = &steps[i + 1..];
        let free = (began + length - now - later.iter().map(|(_, step)| asked(step)).sum::<f64>()).max(0.0);
        let sharing = 1 + later.iter().filter(|(_, step)| shares(step)).count();
        let sure = asked(step).min(free);
        let share = if shares(step) { sure + (free - sure) / sharing as f64 } else { sure };
        let mut over = now;
        if now < forced + CLOSE && now > forced - CLOSE && now > began {
            return None;
        }
        let begins = now < forced;
        for (j, hook) in step.hooks.iter().enumerate() {
            let bound = hook.timeout.map_or(share, |timeout| share.min(timeout as f64));
            let ends = after(hook.fate);
            // One that has no time at all has not even begun.
            let in_time = if bound < 1.0 && ends < 1.0 { Maybe::Either } else { before(ends, bound) };
            let (deadline, by_itself) = (now + bound, now + ends.min(bound));
            let ended = if begins { by_itself.min(given_up) } else { now };
            let given_up = if begins { before(given_up, by_itself) } else { Maybe::Yes };
            let hook = FutureHook { phase, fate: hook.fate, began: now, deadline, ended, in_time, given_up };
            foretold.hooks.insert(format!("{number}.{j}"), hook);
            over = over.max(ended);
        }
        now = over;
    }
    Some(now)
}

/// The background tasks. Returns when the last one is over.
fn run_tasks(plan: &Plan, budget: &Budget, began: f64, forced: f64, foretold: &mut Foretold) -> f64 {
    let length = ms(budget, Part::Background);
    let grace = ms(budget, Part::CancelGrace).min(length / 4.0);
    let cancelled = (began + length - grace).min(forced);
    let by_itself = |task: &Task| match *task {
        Task::Ends(after) => after as f64,
        Task::Drains(after) | Task::Panics(after) => foretold.t0 + after as f64,
        Task::Cancels(_) | Task::Hangs => NEVER,
    };
    let in_peace = plan.tasks.iter().map(by_itself).fold(began, f64::max);
    if in_peace <= cancelled {
        foretold.tasks = vec![not(before(in_peace, cancelled + grace)); plan.tasks.len()];
        return in_peace;
    }
    let aborted = cancelled + grace - (grace / 2.0).min(100.0);
    let told = |task: &Task| match *task {
        Task::Cancels(after) => cancelled + after as f64,
        _ => by_itself(task),
    };
    let ends: Vec<_> = plan.tasks.iter().map(told).collect();
    foretold.tasks = ends.iter().map(|end| not(before(*end, aborted))).collect();
    ends.into_iter().fold(began, f64::max).min(aborted)
}

fn not(maybe: Maybe) -> Maybe {
    match maybe {
        Maybe::Yes => Maybe::No,
        Maybe::No => Maybe::Yes,
        Maybe::Either => Maybe::Either,
    }
}
