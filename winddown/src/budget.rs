//! One number that everybody has, the grace period, and how a stop spends it.
//!
//! The supervisor kills the process when the grace period is over (`terminationGracePeriodSeconds` in Kubernetes,
//! `TimeoutStopSec` in systemd). [`Budget::derive`] splits it over the phases and refuses a split that does not fit,
//! before anything is bound.
//!
//! # Invariant
//!
//! 1. The parts of a [`Budget`] never add up to more than its grace period, and the drain has a share of it.

use std::{fmt, time::Duration};

/// The grace period that the default shares are meant for.
const REFERENCE: Duration = Duration::from_secs(30);

const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// How long each part of a stop may take. Made by [`Budget::derive`] alone, so that it always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    grace_period: Duration,
    parts: [Duration; Part::ALL.len()],
}

/// The shares that are set by hand; every `None` is derived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Time in which everything is still served while balancers look away. Defaults to 5 s of 30 s.
    pub lame_duck: Option<Duration>,
    /// Time for the requests in flight. Defaults to whatever the other parts leave: 11 s of 30 s.
    pub drain: Option<Duration>,
    /// Time between cancelling a request and aborting it. Defaults to 1 s of 30 s.
    pub cancel_grace: Option<Duration>,
    /// Time for background tasks. Defaults to 5 s of 30 s.
    pub background: Option<Duration>,
    /// Time for release hooks. Defaults to 5 s of 30 s.
    pub release: Option<Duration>,
    /// Time for telemetry and the report. Defaults to 2 s of 30 s.
    pub flush: Option<Duration>,
    /// Time kept back before the supervisor's SIGKILL: the watchdog ends the process this much earlier.
    /// Defaults to 1 s of 30 s.
    pub exit_margin: Option<Duration>,
}

/// One share of the grace period, in the order in which they are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// See [`Split::lame_duck`].
    LameDuck,
    /// See [`Split::drain`].
    Drain,
    /// See [`Split::cancel_grace`].
    CancelGrace,
    /// See [`Split::background`].
    Background,
    /// See [`Split::release`].
    Release,
    /// See [`Split::flush`].
    Flush,
    /// See [`Split::exit_margin`].
    ExitMargin,
}

/// The parts do not fit into the grace period. Its text writes out the sum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BudgetError {
    /// What is available.
    pub grace_period: Duration,
    /// Every part with its length, and whether it was set by hand.
    pub parts: Vec<(Part, Duration, bool)>,
}

impl Budget {
    /// Splits `grace_period`: the parts that `split` sets are taken as they are, the others get their share.
    ///
    /// Shares shrink with a grace period under 30 s and do not grow with a longer one: what is left goes to the
    /// drain, because that is where the users are.
    ///
    /// A grace period of more than ten years is taken for ten: no clock counts further in safety.
    pub fn derive(grace_period: Duration, split: Split) -> Result<Self, BudgetError> {
        let grace_period = grace_period.min(LONGEST);
        // Twice the longest grace period is too long in any case, and can be added up.
        let set = |part| split.get(part).map(|length| length.min(LONGEST * 2));
        let mut parts = Part::ALL.map(|part| set(part).unwrap_or_else(|| part.share_of(grace_period)));
        if split.drain.is_none() {
            // The share of the drain is zero so far.
            parts[Part::Drain as usize] = grace_period.saturating_sub(parts.iter().sum());
        }
        if parts.iter().sum::<Duration>() > grace_period || parts[Part::Drain as usize].is_zero() {
            let parts = Part::ALL.map(|part| (part, parts[part as usize], split.get(part).is_some())).to_vec();
            return Err(BudgetError { grace_period, parts });
        }
        Ok(Self { grace_period, parts })
    }

    /// From the stop signal to the supervisor's SIGKILL.
    pub fn grace_period(&self) -> Duration {
        self.grace_period
    }

    /// The length of one part.
    pub fn part(&self, part: Part) -> Duration {
        self.parts[part as usize]
    }

    /// From the stop signal to the moment at which the watchdog ends the process.
    pub fn hard_limit(&self) -> Duration {
        self.grace_period.saturating_sub(self.part(Part::ExitMargin))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::derive(REFERENCE, Split::default()).expect("the default shares add up to the reference grace period")
    }
}

impl Split {
    fn get(&self, part: Part) -> Option<Duration> {
        match part {
            Part::LameDuck => self.lame_duck,
            Part::Drain => self.drain,
            Part::CancelGrace => self.cancel_grace,
            Part::Background => self.background,
            Part::Release => self.release,
            Part::Flush => self.flush,
            Part::ExitMargin => self.exit_margin,
        }
    }
}

impl Part {
    /// Every part, in the order in which they are spent.
    pub const ALL: [Self; 7] = [
        Self::LameDuck,
        Self::Drain,
        Self::CancelGrace,
        Self::Background,
        Self::Release,
        Self::Flush,
        Self::ExitMargin,
    ];

    /// The name of the setting, as [`Split`] spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LameDuck => "lame_duck",
            Self::Drain => "drain",
            Self::CancelGrace => "cancel_grace",
            Self::Background => "background",
            Self::Release => "release",
            Self::Flush => "flush",
            Self::ExitMargin => "exit_margin",
        }
    }

    fn share_of(self, grace_period: Duration) -> Duration {
        let seconds = match self {
            Self::Drain => 0,
            Self::CancelGrace | Self::ExitMargin => 1,
            Self::Flush => 2,
            Self::LameDuck | Self::Background | Self::Release => 5,
        };
        let scale = (grace_period.as_secs_f64() / REFERENCE.as_secs_f64()).min(1.0);
        Duration::from_secs(seconds).mul_f64(scale)
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum: Duration = self.parts.iter().map(|(_, length, _)| length).sum();
        write!(f, "the parts of the stop do not fit into the grace period of {:?}: ", self.grace_period)?;
        for (i, (part, length, _)) in self.parts.iter().enumerate() {
            write!(f, "{}{} {length:?}", if i == 0 { "" } else { " + " }, part.as_str())?;
        }
        write!(f, " = {sum:?}; ")?;
        if self.parts.iter().any(|(part, length, _)| *part == Part::Drain && length.is_zero()) {
            write!(f, "nothing is left for the drain; ")?;
        }
        write!(f, "raise the grace period, or shorten ")?;
        let longest = self.parts.iter().max_by_key(|(_, length, set)| (*set, *length));
        write!(f, "{}", longest.map_or("a part", |(part, ..)| part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn thirty_seconds_are_split_as_the_documentation_says() {
        let budget = Budget::default();
        let seconds = Part::ALL.map(|part| budget.part(part).as_secs());
        assert_eq!(seconds, [5, 11, 1, 5, 5, 2, 1]);
        assert_eq!(budget.hard_limit(), secs(29));
    }

    #[test]
    fn the_parts_fit_into_every_grace_period_and_the_drain_gains_from_a_long_one() {
        for millis in (50..200_000).step_by(137) {
            let grace_period = Duration::from_millis(millis);
            let budget = Budget::derive(grace_period, Split::default()).expect("derived shares always fit");
            assert_eq!(Part::ALL.map(|part| budget.part(part)).iter().sum::<Duration>(), grace_period);
            assert!(budget.part(Part::Drain) >= grace_period.mul_f64(0.3));
        }
        let long = Budget::derive(secs(3600), Split::default()).expect("derived shares always fit");
        assert_eq!(long.part(Part::LameDuck), secs(5));
        assert_eq!(long.part(Part::Drain), secs(3581));
    }

    #[test]
    fn what_a_part_set_by_hand_saves_goes_to_the_drain() {
        let split = Split { lame_duck: Some(Duration::ZERO), ..Split::default() };
        let budget = Budget::derive(secs(30), split).expect("less than the default fits");
        assert_eq!(budget.part(Part::Drain), secs(16));
    }

    #[test]
    fn parts_too_long_to_be_added_up_are_refused_all_the_same() {
        let split = Split { lame_duck: Some(Duration::MAX), drain: Some(Duration::MAX), ..Split::default() };
        Budget::derive(REFERENCE, split).expect_err("it does not fit").to_string();
    }

    #[test]
    fn a_split_that_does_not_fit_is_refused_with_its_sum() {
        let split = Split { lame_duck: Some(secs(8)), drain: Some(secs(20)), ..Split::default() };
        let error = Budget::derive(secs(30), split).expect_err("42 s do not fit into 30 s");
        assert_eq!(
            error.to_string(),
            "the parts of the stop do not fit into the grace period of 30s: lame_duck 8s + drain 20s + cancel_grace 1s \
             + background 5s + release 5s + flush 2s + exit_margin 1s = 42s; raise the grace period, or shorten drain"
        );
    }

    #[test]
    fn a_drain_without_time_is_refused() {
        let split = Split { lame_duck: Some(secs(16)), ..Split::default() };
        let error = Budget::derive(secs(30), split).expect_err("nothing is left for the drain");
        assert!(error.to_string().contains("nothing is left for the drain"), "{error}");
        assert!(error.to_string().ends_with("shorten lame_duck"), "{error}");
    }
}
