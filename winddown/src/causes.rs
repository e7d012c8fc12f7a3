//! What a stop signal or a request means, given what came before it.
//!
//! No clock and no runtime: signals are weighed on the thread that receives them.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    lifecycle::Cause,
    sabotage::{self, Fault},
    signal::Signal,
};

/// What a repeated signal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondSignal {
    /// The second cancels what is left at once, the third ends the process at once. The default.
    #[default]
    Force,
    /// Nothing: the deadlines of the first one stand.
    Ignore,
}

/// A signal that repeats within this time of the first is taken for the same: a terminal or a supervisor that
/// addresses both the process and its group delivers it twice.
pub const DEBOUNCE: Duration = Duration::from_secs(1);

/// The same for the signal that forces. Shorter, because whoever forced and then asks again means it.
const DEBOUNCE_FORCED: Duration = Duration::from_millis(100);

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Stop(Cause),
    /// Cancel what is left, now.
    Force(Signal),
    /// End the process, now.
    Exit(Signal),
    /// The deadlines stand.
    Nothing,
}

/// Weighs causes: the first one stops, a later signal may force.
#[derive(Debug)]
pub(crate) struct Causes {
    second: SecondSignal,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Running,
    /// With the first signal, if one has come: who asks a program to stop and then signals it repeats nothing.
    Stopping {
        signalled: Option<Instant>,
    },
    Forced {
        since: Instant,
    },
}

impl Causes {
    pub(crate) fn new(second: SecondSignal) -> Self {
        Self { second, stage: Stage::Running }
    }

    pub(crate) fn weigh(&mut self, cause: Cause, now: Instant) -> Decision {
        let (stage, decision) = match (self.stage, cause) {
            (Stage::Running, cause) => {
                let signalled = matches!(cause, Cause::Signal { .. }).then_some(now);
                (Stage::Stopping { signalled }, Decision::Stop(cause))
            }
            (Stage::Stopping { signalled: None }, Cause::Signal { .. }) => {
                (Stage::Stopping { signalled: Some(now) }, Decision::Nothing)
            }
            (Stage::Stopping { signalled: Some(first) }, Cause::Signal { signal })
                if self.second == SecondSignal::Force
                    && now >= first + DEBOUNCE
                    && !sabotage::is(Fault::SecondSignalIgnored) =>
            {
                (Stage::Forced { since: now }, Decision::Force(signal))
            }
            (stage @ Stage::Forced { since }, Cause::Signal { signal }) if now >= since + DEBOUNCE_FORCED => {
                (stage, Decision::Exit(signal))
            }
            (stage, _) => (stage, Decision::Nothing),
        };
        self.stage = stage;
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(signal: Signal) -> Cause {
        Cause::Signal { signal }
    }

    #[test]
    fn c37_second_signal_forces_and_third_exits_but_not_within_the_debounce() {
        let (mut causes, t0) = (Causes::new(SecondSignal::Force), Instant::now());
        assert_eq!(causes.weigh(signal(Signal::Term), t0), Decision::Stop(signal(Signal::Term)));
        let repeat = causes.weigh(signal(Signal::Term), t0 + DEBOUNCE / 2);
        assert_eq!(repeat, Decision::Nothing, "a process group delivers twice");
        let second = t0 + DEBOUNCE;
        assert_eq!(causes.weigh(signal(Signal::Int), second), Decision::Force(Signal::Int));
        let repeat = causes.weigh(signal(Signal::Int), second + DEBOUNCE_FORCED / 2);
        assert_eq!(repeat, Decision::Nothing, "a process group delivers the second twice, too");
        assert_eq!(causes.weigh(signal(Signal::Term), second + DEBOUNCE_FORCED), Decision::Exit(Signal::Term));
    }

    #[test]
    fn c37_second_signal_can_be_ignored() {
        let (mut causes, t0) = (Causes::new(SecondSignal::Ignore), Instant::now());
        causes.weigh(signal(Signal::Hup), t0);
        assert_eq!(causes.weigh(signal(Signal::Term), t0 + DEBOUNCE * 5), Decision::Nothing);
    }

    #[test]
    fn c39_first_cause_counts_and_the_first_signal_after_it_repeats_nothing() {
        for first in [Cause::StartFailed { error: "no database".into() }, Cause::Requested { reason: "preStop".into() }]
        {
            let (mut causes, t0) = (Causes::new(SecondSignal::Force), Instant::now());
            assert_eq!(causes.weigh(first.clone(), t0), Decision::Stop(first));
            let later = Cause::Requested { reason: "too late".into() };
            assert_eq!(causes.weigh(later, t0 + DEBOUNCE), Decision::Nothing);
            let supervisor = t0 + DEBOUNCE * 2;
            assert_eq!(causes.weigh(signal(Signal::Term), supervisor), Decision::Nothing);
            assert_eq!(causes.weigh(signal(Signal::Term), supervisor + DEBOUNCE / 2), Decision::Nothing);
            assert_eq!(causes.weigh(signal(Signal::Term), supervisor + DEBOUNCE), Decision::Force(Signal::Term));
        }
    }
}
