//! Medians, and how far they can be trusted.

/// The middle of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The median of what was measured.
    pub value: f64,
    /// Between these two of the values the true median lies in 95 of 100 runs, whatever their distribution is. Of fewer
    /// than [`FEWEST`] values no two are that certain, and these are the least and the most.
    pub interval: (f64, f64),
}

/// As many values does an interval of 95 % take.
pub const FEWEST: usize = 6;

impl Median {
    /// That of `values`, of which there is one at least.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (last, outer) = (sorted.len() - 1, outer(sorted.len()));
        Self {
            value: f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2]),
            interval: (sorted[outer], sorted[last - outer]),
        }
    }
}

/// The median alone.
pub fn median(values: &[f64]) -> f64 {
    Median::of(values).value
}

/// How many of `count` sorted values can be left out at each end. Each value is on either side of the true median with
/// equal chance; so it is outside of what is left with that of `count` coins of which at most so many show heads.
fn outer(count: usize) -> usize {
    let mut exactly = 0.5_f64.powf(count as f64);
    let mut at_most = exactly;
    let mut outer = 0;
    while at_most <= 0.025 {
        outer += 1;
        exactly *= (count + 1 - outer) as f64 / outer as f64;
        at_most += exactly;
    }
    // The last one was too many.
    outer.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert!(Median::of(&[3.0, 1.0, 2.0]) == Median { value: 2.0, interval: (1.0, 3.0) });
        assert!(Median::of(&[4.0, 1.0, 2.0, 3.0]) == Median { value: 2.5, interval: (1.0, 4.0) });
    }

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        // Ranks as in tables of the sign test: the first of 6, the second of 9, the sixth of 20, the fortieth of 100.
        for (count, rank) in [(FEWEST, 1), (9, 2), (20, 6), (100, 40)] {
            let values: Vec<_> = (1..=count).rev().map(|value| value as f64).collect();
            assert!(Median::of(&values).interval == (rank as f64, (count + 1 - rank) as f64), "of {count}");
        }
    }

    #[test]
    fn of_few_values_the_interval_is_all_of_them() {
        assert!(Median::of(&[7.0]) == Median { value: 7.0, interval: (7.0, 7.0) });
        assert!(Median::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).interval == (1.0, 5.0));
    }
}
