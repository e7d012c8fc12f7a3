//! What happens to one process: everything is random, and all of it is known beforehand.
//!
//! Times are milliseconds of a paused clock. Grace periods are long all the same: the watchdog counts real ones.

use proptest::{collection::vec, option, prelude::*, sample::select};
use winddown::{Phase, Signal, Split};

use std::time::Duration;

/// The phases of a stop, in order.
pub(crate) const PHASES: [Phase; 5] = [Phase::LameDuck, Phase::Drain, Phase::Background, Phase::Release, Phase::Flush];

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) grace: u64,
    pub(crate) split: Split,
    /// What a second signal does.
    pub(crate) forces: bool,
    pub(crate) start_up: Vec<Fate>,
    pub(crate) steps: Vec<Step>,
    pub(crate) tasks: Vec<Task>,
    /// In order of their times; there is at least one.
    pub(crate) asks: Vec<Ask>,
}

/// How a hook or a start-up step ends, and after how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ok(u64),
    Fails(u64),
    Panics(u64),
    Hangs,
}

/// One hook, or a group.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) phase: Phase,
    pub(crate) hooks: Vec<Hook>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook {
    pub(crate) fate: Fate,
    pub(crate) timeout: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Ends so long after it was spawned, whatever happens.
    Ends(u64),
    /// Ends so long after it was told that the process stops.
    Drains(u64),
    /// The same, by a panic.
    Panics(u64),
    /// Ends so long after it was cancelled.
    Cancels(u64),
    Hangs,
}

/// Somebody asks for the stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) at: u64,
    /// `None`: by `ShutdownHandle::request`.
    pub(crate) signal: Option<Signal>,
}

impl Fate {
    /// When it is over, by itself.
    pub(crate) fn after(self) -> Option<u64> {
        match self {
            Self::Ok(after) | Self::Fails(after) | Self::Panics(after) => Some(after),
            Self::Hangs => None,
        }
    }
}

/// Half of the times are short.
fn time(longest: u64) -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0..longest / 10, 0..longest]
}

fn fate(longest: u64) -> impl Strategy<Value = Fate> + Clone {
    prop_oneof![
        4 => time(longest).prop_map(Fate::Ok),
        1 => time(longest).prop_map(Fate::Fails),
        1 => time(longest).prop_map(Fate::Panics),
        1 => Just(Fate::Hangs),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let hook = (fate(10_000), option::weighted(0.4, time(8_000)));
    let hook = hook.prop_map(|(fate, timeout)| Hook { fate, timeout });
    let hooks = prop_oneof![3 => vec(hook.clone(), 1), 1 => vec(hook, 2..4)];
    (select(PHASES.as_slice()), hooks).prop_map(|(phase, hooks)| Step { phase, hooks })
}

fn task() -> impl Strategy<Value = Task> {
    prop_oneof![
        time(60_000).prop_map(Task::Ends),
        time(60_000).prop_map(Task::Drains),
        time(60_000).prop_map(Task::Panics),
        time(2_000).prop_map(Task::Cancels),
        Just(Task::Hangs),
    ]
}

/// Parts that always fit: none is longer than an eighth.
fn split(grace: u64) -> impl Strategy<Value = Split> {
    let part = || option::of(time(grace / 8).prop_map(Duration::from_millis));
    let drain = option::of((1..grace / 8).prop_map(Duration::from_millis));
    (part(), drain, part(), part(), part(), part(), part()).prop_map(
        |(lame_duck, drain, cancel_grace, background, release, flush, exit_margin)| Split {
            lame_duck,
            drain,
            cancel_grace,
            background,
            release,
            flush,
            exit_margin,
        },
    )
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let signal = option::weighted(0.8, select(Signal::ALL.as_slice()));
    vec((time(20_000), signal), 1..5).prop_map(|asks| {
        let mut at = 0;
        let ask = |(gap, signal)| {
            at += gap;
            Ask { at, signal }
        };
        asks.into_iter().map(ask).collect()
    })
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    (60_000..180_000_u64).prop_flat_map(|grace| {
        let parts = (split(grace), any::<bool>(), vec(fate(5_000), 0..3), vec(step(), 0..9), vec(task(), 0..5), asks());
        parts.prop_map(move |(split, forces, start_up, steps, tasks, asks)| Plan {
            grace,
            split,
            forces,
            start_up,
            steps,
            tasks,
            asks,
        })
    })
}
