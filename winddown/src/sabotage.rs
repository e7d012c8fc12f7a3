//! Deliberate faults, one at a time: what a harness must be able to see before its silence proves anything.
//!
//! They are in the program only with feature `sabotage`, which is for such a harness and for nobody else. Without it [`is`] is a
//! constant `false`, and the compiler leaves out what stands behind it.

/// One way in which a stop loses requests, or lies about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "sabotage"),
    allow(
        dead_code,
        unreachable_pub,
        reason = "with the feature the module is public, and the service has uses of its own"
    )
)]
pub enum Fault {
    /// The process ends at the first signal, whatever is in flight.
    ExitOnSignal,
    /// The listener is closed behind the drain, with all that waits in its accept queue.
    PlainClose,
    /// Idle HTTP/1 connections are closed at once and without a word, whatever is on its way.
    NoFarewell,
    /// A request is over with its handler: nobody waits for its body.
    HandlerOnly,
    /// In the drain, answers that are ready are not sent.
    AnswerUnsent,
    /// In the drain, streamed bodies break off.
    BodyBroken,
    /// In the drain, streamed bodies end, as if they were whole.
    BodyEndsEarly,
    /// In the drain, a GOAWAY says of streams that are served that they are not.
    GoawayTooLow,
    /// In the drain, what a handler has answered is sent as a 503.
    RejectedAfterwards,
    /// In the drain, what a handler has answered is sent as a 500.
    FailedAfterwards,
    /// In the drain, all requests are refused, and no 503 says when to return.
    RejectedBare,
    /// The drain neither closes nor waits.
    DrainIsOpen,
    /// Readiness stays.
    StaysReady,
    /// Nothing is cut at the deadline, and no watchdog ends the process.
    NoDeadline,
    /// A repeated signal does nothing.
    SecondSignalIgnored,
    /// What is to be released last is released first.
    ReleasedFirst,
    /// An order is acknowledged and not kept.
    OrderForgotten,
    /// The audit log does not say that a request began.
    EnterOmitted,
    /// The audit log says so twice.
    EnterTwice,
    /// A clean stop ends with the exit code of a failed one.
    WrongExitCode,
}

/// Whether this fault was chosen.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub(crate) const fn is(_: Fault) -> bool {
    false
}

#[cfg(feature = "sabotage")]
pub use self::chosen::{UnknownFault, choose, is};

#[cfg(feature = "sabotage")]
mod chosen {
    use std::{fmt, str::FromStr, sync::OnceLock};

    use super::Fault;

    static CHOSEN: OnceLock<Fault> = OnceLock::new();

    /// From now on the process has this fault. The first choice stands.
    pub fn choose(fault: Fault) {
        let _ = CHOSEN.set(fault);
    }

    /// Whether this fault was chosen.
    pub fn is(fault: Fault) -> bool {
        CHOSEN.get() == Some(&fault)
    }

    impl Fault {
        /// All of them.
        pub const ALL: [Self; 20] = [
            Self::ExitOnSignal,
            Self::PlainClose,
            Self::NoFarewell,
            Self::HandlerOnly,
            Self::AnswerUnsent,
            Self::BodyBroken,
            Self::BodyEndsEarly,
            Self::GoawayTooLow,
            Self::RejectedAfterwards,
            Self::FailedAfterwards,
            Self::RejectedBare,
            Self::DrainIsOpen,
            Self::StaysReady,
            Self::NoDeadline,
            Self::SecondSignalIgnored,
            Self::ReleasedFirst,
            Self::OrderForgotten,
            Self::EnterOmitted,
            Self::EnterTwice,
            Self::WrongExitCode,
        ];

        /// The name by which it is chosen.
        pub const fn as_str(self) -> &'static str {
            match self {
                Self::ExitOnSignal => "exit-on-signal",
                Self::PlainClose => "plain-close",
                Self::NoFarewell => "no-farewell",
                Self::HandlerOnly => "handler-only",
                Self::AnswerUnsent => "answer-unsent",
                Self::BodyBroken => "body-broken",
                Self::BodyEndsEarly => "body-ends-early",
                Self::GoawayTooLow => "goaway-too-low",
                Self::RejectedAfterwards => "rejected-afterwards",
                Self::FailedAfterwards => "failed-afterwards",
                Self::RejectedBare => "rejected-bare",
                Self::DrainIsOpen => "drain-is-open",
                Self::StaysReady => "stays-ready",
                Self::NoDeadline => "no-deadline",
                Self::SecondSignalIgnored => "second-signal-ignored",
                Self::ReleasedFirst => "released-first",
                Self::OrderForgotten => "order-forgotten",
                Self::EnterOmitted => "enter-omitted",
                Self::EnterTwice => "enter-twice",
                Self::WrongExitCode => "wrong-exit-code",
            }
        }
    }

    /// There is no fault of this name.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("{0:?} is no fault: use one of {known}", known = Fault::ALL.map(Fault::as_str).join(", "))]
    pub struct UnknownFault(String);

    impl FromStr for Fault {
        type Err = UnknownFault;

        fn from_str(name: &str) -> Result<Self, UnknownFault> {
            let named = Self::ALL.into_iter().find(|fault| fault.as_str() == name);
            named.ok_or_else(|| UnknownFault(name.to_owned()))
        }
    }

    impl fmt::Display for Fault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(self.as_str())
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_fault_is_chosen_by_a_name_of_its_own() {
            for fault in Fault::ALL {
                assert_eq!(fault.as_str().parse(), Ok(fault));
            }
        }

        #[test]
        fn an_unknown_name_is_refused_with_those_that_there_are() {
            let error = "exit".parse::<Fault>().expect_err("there is none of this name").to_string();
            assert!(error.starts_with("\"exit\" is no fault: use one of exit-on-signal, plain-close, "), "{error}");
            assert!(error.ends_with(", wrong-exit-code"), "{error}");
        }

        #[test]
        fn a_process_has_no_fault_until_one_is_chosen_and_then_that_one_alone() {
            // One that no other test of this process could meet.
            assert!(Fault::ALL.into_iter().all(|fault| !is(fault)));
            choose(Fault::GoawayTooLow);
            choose(Fault::ExitOnSignal);
            assert!(Fault::ALL.into_iter().all(|fault| is(fault) == (fault == Fault::GoawayTooLow)));
        }
    }
}
