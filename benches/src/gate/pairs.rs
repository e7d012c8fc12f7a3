//! Whether one program is slower than another, by the wall clock of a machine that does other things, too.
//!
//! Both run again and again in turn, base head, head base, so that what becomes slower by and by meets both alike, and only the
//! ratios within the pairs count. Slower is said when the whole interval of their median, which holds the true one in 95 of 100
//! comparisons, lies beyond [`BOUND`]: of two programs that are equally fast, fewer than 1 in 40 comparisons say so by chance.

use std::fmt;

use crate::median::Median;

/// Pairs of a comparison.
pub const PAIRS: usize = 24;

/// As much slower or quicker the same source may be by where the compiler and the linker have put it.
const BOUND: f64 = 0.02;

/// How long head takes, in the times of base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    ratio: Median,
    pairs: usize,
}

impl Comparison {
    /// Runs both in [`PAIRS`] pairs. Each returns how long it took.
    pub fn run(
        mut base: impl FnMut() -> anyhow::Result<f64>,
        mut head: impl FnMut() -> anyhow::Result<f64>,
    ) -> anyhow::Result<Self> {
        let pair = |pair: usize| {
            let (base, head) = if pair.is_multiple_of(2) {
                let base = base()?;
                (base, head()?)
            } else {
                let head = head()?;
                (base()?, head)
            };
            Ok(head / base)
        };
        (0..PAIRS).map(pair).collect::<anyhow::Result<Vec<_>>>().map(|ratios| Self::of(&ratios))
    }

    /// Of the pairs' ratios.
    pub fn of(ratios: &[f64]) -> Self {
        Self { ratio: Median::of(ratios), pairs: ratios.len() }
    }

    /// Whether head is slower, beyond doubt and by more than 2 %.
    pub fn is_slower(&self) -> bool {
        self.ratio.interval.0 > 1.0 + BOUND
    }

    fn is_quicker(&self) -> bool {
        self.ratio.interval.1 < 1.0 - BOUND
    }

    /// For a summary on GitHub.
    pub fn markdown(&self) -> String {
        format!("Wall clock of a request, advisory: {self}\n")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = |ratio: f64| (ratio - 1.0) * 100.0;
        let (low, high) = self.ratio.interval;
        match self {
            _ if self.is_slower() => write!(f, "slower by {:.1} %", change(self.ratio.value)),
            _ if self.is_quicker() => write!(f, "quicker by {:.1} %", -change(self.ratio.value)),
            _ => write!(f, "no difference beyond {:.0} %: {:+.1} %", BOUND * 100.0, change(self.ratio.value)),
        }?;
        write!(f, " (95 %: {:+.1} to {:+.1} %, {} pairs)", change(low), change(high), self.pairs)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const COMPARISONS: usize = 2_000;

    /// How many comparisons say that a head which takes `factor` as long is slower by more than `bound`, on a machine whose speed
    /// drifts, and where one run in ten meets another program that takes up to half of it.
    fn slower(factor: f64, bound: f64) -> usize {
        fastrand::seed(42);
        let speed = Cell::new(1.0);
        let run = |factor: f64| {
            speed.set(speed.get() * (0.99 + fastrand::f64() * 0.02));
            let met = if fastrand::u8(..10) == 0 { 1.0 + fastrand::f64() } else { 1.0 };
            Ok(speed.get() * factor * met * (0.97 + fastrand::f64() * 0.06))
        };
        let is_slower = |_: &usize| {
            let comparison = Comparison::run(|| run(1.0), || run(factor)).expect("nothing fails here");
            comparison.ratio.interval.0 > 1.0 + bound
        };
        (0..COMPARISONS).filter(is_slower).count()
    }

    #[test]
    fn of_equal_programs_fewer_than_one_comparison_in_forty_cries() {
        let cries = slower(1.0, 0.0);
        assert!((1..COMPARISONS / 40).contains(&cries), "{cries}");
        assert_eq!(slower(1.0, BOUND), 0);
    }

    #[test]
    fn what_is_three_times_as_much_slower_as_the_bound_is_seen() {
        let seen = slower(1.0 + 3.0 * BOUND, BOUND);
        assert!(seen > COMPARISONS * 95 / 100, "{seen}");
    }

    #[test]
    fn what_is_said_is_the_median_and_its_interval() {
        let of = |ratio: f64| Comparison::of(&[ratio; PAIRS]).to_string();
        assert_eq!(of(1.05), "slower by 5.0 % (95 %: +5.0 to +5.0 %, 24 pairs)");
        assert_eq!(of(0.9), "quicker by 10.0 % (95 %: -10.0 to -10.0 %, 24 pairs)");
        assert_eq!(of(1.01), "no difference beyond 2 %: +1.0 % (95 %: +1.0 to +1.0 %, 24 pairs)");
        let doubtful: Vec<_> = [1.0, 1.2].repeat(PAIRS / 2);
        assert!(!Comparison::of(&doubtful).is_slower());
    }
}
