//! One line on the terminal: how the run goes.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::ledger::{Class, Progress};

/// Between two lines: what is told of the last second is of the last second.
const REFRESH: Duration = Duration::from_secs(1);

/// Buckets for each doubling: a percentile is exact to an eighth.
const STEPS: u64 = 8;
/// From below 8 µs to above an hour.
const BUCKETS: usize = 30 * STEPS as usize;

/// How long requests took, since this was last asked.
#[derive(Debug)]
pub(crate) struct Times(Vec<AtomicU64>);

impl Times {
    /// `None` if nobody would see them.
    pub(crate) fn for_terminal() -> Option<Self> {
        io::stderr().is_terminal().then(Self::new)
    }

    fn new() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect())
    }

    pub(crate) fn add(&self, took: Duration) {
        let micros = (took.as_micros() as u64).max(STEPS);
        let doublings = u64::from(micros.ilog2() - STEPS.ilog2());
        let bucket = doublings * STEPS + (micros >> doublings) - STEPS;
        self.0[(bucket as usize).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// The times below which these shares lie; what was added before is forgotten.
    fn take<const N: usize>(&self, shares: [f64; N]) -> [Duration; N] {
        let counts: Vec<_> = self.0.iter().map(|bucket| bucket.swap(0, Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        shares.map(|share| {
            let mut left = (total as f64 * share).ceil() as u64;
            let bucket = counts.iter().position(|count| {
                left = left.saturating_sub(*count);
                left == 0
            });
            let bucket = bucket.unwrap_or(0) as u64;
            Duration::from_micros((STEPS + bucket % STEPS) << (bucket / STEPS))
        })
    }
}

/// The line.
#[derive(Debug)]
pub(crate) struct Line {
    begun: Instant,
    shown: Instant,
    done: u64,
}

impl Line {
    pub(crate) fn new() -> Self {
        let begun = Instant::now();
        Self { begun, shown: begun, done: 0 }
    }

    /// Shows how far the load has come, if it is time.
    pub(crate) fn show(&mut self, users: u32, progress: Progress, times: &Times, outcomes: &[(Class, u64)]) {
        let since = self.shown.elapsed();
        if since < REFRESH {
            return;
        }
        let rate = (progress.done - self.done) as f64 / since.as_secs_f64();
        let line = line(self.begun.elapsed(), users, rate, progress.in_flight, times.take([0.5, 0.95]), outcomes);
        // A terminal that has gone away wants no more lines; the run goes on.
        let _ = write!(io::stderr(), "\r\x1b[2K{line}");
        self.shown = Instant::now();
        self.done = progress.done;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "\r\x1b[2K");
    }
}

fn line(
    elapsed: Duration,
    users: u32,
    rate: f64,
    in_flight: u64,
    [p50, p95]: [Duration; 2],
    outcomes: &[(Class, u64)],
) -> String {
    let mut line = format!(
        "{} s · {users} users · {rate:.0} requests/s · {in_flight} in flight · p50 {} · p95 {}",
        elapsed.as_secs(),
        short(p50),
        short(p95),
    );
    for (class, count) in outcomes.iter().filter(|(class, _)| *class != Class::Ok) {
        write!(line, " · {class} {count}").expect("writing to memory does not fail");
    }
    line
}

fn short(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        ..10.0 => format!("{millis:.2} ms"),
        ..1000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_exact_to_an_eighth_and_each_second_has_its_own() {
        let times = Times::new();
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        let [p50, p95, all] = times.take([0.5, 0.95, 1.0]).map(|time| time.as_secs_f64() * 1000.0);
        for (seen, true_one) in [(p50, 50.0), (p95, 95.0), (all, 100.0)] {
            assert!((true_one * 7.0 / 8.0..=true_one).contains(&seen), "{seen} for {true_one}");
        }
        times.add(Duration::from_hours(30));
        times.add(Duration::ZERO);
        assert!(times.take([1.0])[0] > Duration::from_hours(1));
    }

    #[test]
    fn a_line_has_what_fails_by_its_class_and_no_more() {
        let outcomes = [(Class::Ok, 900), (Class::Refused, 3), (Class::Timeout, 1)];
        let line =
            line(Duration::from_secs(12), 64, 71_234.4, 32, [400, 1_200_000].map(Duration::from_micros), &outcomes);
        let expected =
            "12 s · 64 users · 71234 requests/s · 32 in flight · p50 0.40 ms · p95 1.2 s · refused 3 · timeout 1";
        assert_eq!(line, expected);
    }
}
