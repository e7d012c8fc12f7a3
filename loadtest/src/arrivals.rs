//! Requests that are due at times of their own: the open model.
//!
//! In the closed model a user sends when it has its answer, so a server that stalls is asked less, and what it would
//! have kept waiting is never seen (coordinated omission). Here times are drawn from the seed before anything is sent. A
//! user that is free takes the next one; if none is free the request is begun late, and its time counts from when it
//! was due.

use std::{
    iter,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::{
    config::{Arrivals, Config},
    ledger::now,
    request::Choices,
};

/// A request that is begun later than this was late: timers and threads are not more punctual on a busy machine.
pub const LATE: Duration = Duration::from_millis(10);

/// No user draws from these choices.
const ARRIVALS: u64 = u64::MAX - 1;

/// A request whose time has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Its place among all, from 0.
    pub(crate) number: u64,
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub(crate) at: u64,
}

/// What became of the times at which requests were due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punctuality {
    /// Requests that were due within the run.
    pub due: u64,
    /// Those that were begun more than [`LATE`] after that.
    pub late: u64,
    /// How late the latest of them was.
    pub latest: Duration,
    /// Those that were never begun, because no user was free until the end of the run.
    pub never: u64,
}

/// The times, and the users that wait for them.
#[derive(Debug)]
pub(crate) struct Timetable {
    begun: u64,
    times: Times,
    /// As many as are due and not taken. Closed at the end of the run.
    due: Semaphore,
    released: AtomicU64,
    taken: Mutex<(u64, Times)>,
    late: AtomicU64,
    latest: AtomicU64,
}

impl Timetable {
    /// The times that `config` asks for, from now on; `None` in the closed model.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let rate = config.rate?.0;
        let choices = Choices::new(config.seed, ARRIVALS);
        let times = Times { rate, arrivals: config.arrivals, choices, at: 0.0, end: config.run_time.as_secs_f64() };
        Some(Self {
            begun: now(),
            taken: Mutex::new((0, times.clone())),
            times,
            due: Semaphore::new(0),
            released: AtomicU64::new(0),
            late: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        })
    }

    /// Lets a user go for each request that is due, until the run is over or `stop` is dropped. It needs a thread of its
    /// own: tokio's timers count milliseconds, and its workers may be busy.
    pub(crate) fn release(&self, run: Duration, stop: &Receiver<()>) {
        let instants = self.times.clone().chain(iter::once(run));
        for at in instants {
            loop {
                let left = (self.begun + at.as_nanos() as u64).saturating_sub(now());
                if left == 0 {
                    break;
                }
                let pause = Duration::from_nanos(left).min(LOOK_UP);
                if stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) || goose::is_killswitch_triggered() {
                    self.due.close();
                    return;
                }
            }
            if at < run {
                self.released.fetch_add(1, Ordering::Relaxed);
                self.due.add_permits(1);
            }
        }
        self.due.close();
    }

    /// Waits for the next request that nobody has taken; `None` when the run is over.
    pub(crate) async fn next(&self) -> Option<Due> {
        self.due.acquire().await.ok()?.forget();
        let (number, at) = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let number = taken.0;
            taken.0 += 1;
            (number, taken.1.next().expect("as many are let go as there are times"))
        };
        let at = self.begun + at.as_nanos() as u64;
        let wait = now().saturating_sub(at);
        if u128::from(wait) > LATE.as_nanos() {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        self.latest.fetch_max(wait, Ordering::Relaxed);
        Some(Due { number, at })
    }

    pub(crate) fn punctuality(&self) -> Punctuality {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).0;
        let due = self.released.load(Ordering::Relaxed);
        Punctuality {
            due,
            late: self.late.load(Ordering::Relaxed),
            latest: Duration::from_nanos(self.latest.load(Ordering::Relaxed)),
            never: due - taken,
        }
    }
}

/// How often the thread looks whether it is wanted still.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Due times from the begin of the run on, the same for the same seed.
#[derive(Clone, Debug)]
struct Times {
    rate: f64,
    arrivals: Arrivals,
    choices: Choices,
    /// In seconds, as is `end`.
    at: f64,
    end: f64,
}

impl Iterator for Times {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.at += match self.arrivals {
            Arrivals::Constant => 1.0,
            // The distance of independent arrivals is exponential; 53 bits are what a float holds.
            Arrivals::Poisson => -(1.0 - (self.choices.next() >> 11) as f64 / (1_u64 << 53) as f64).ln(),
        } / self.rate;
        (self.at < self.end).then(|| Duration::from_secs_f64(self.at))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use clap::Parser;

    use super::*;

    fn timetable(flags: &[&str]) -> Timetable {
        let config = Config::try_parse_from(["loadtest"].iter().chain(flags)).expect("the flags fit");
        Timetable::new(&config).expect("there is a rate")
    }

    fn times(flags: &[&str]) -> Vec<Duration> {
        timetable(flags).times.collect()
    }

    #[test]
    fn constant_times_are_equally_far_apart_and_within_the_run() {
        let times = times(&["--rate=100/s", "--arrivals=constant", "--run-time=1s"]);
        assert!((99..=100).contains(&times.len()), "{}", times.len());
        for pair in times.windows(2) {
            let distance = pair[1].abs_diff(pair[0]);
            assert!(distance.abs_diff(Duration::from_millis(10)) < Duration::from_micros(1), "{distance:?}");
        }
    }

    #[test]
    fn poisson_times_have_the_rate_vary_as_they_should_and_repeat_with_the_seed() {
        let flags = ["--rate=1000/s", "--run-time=20s", "--seed=1"];
        let drawn = times(&flags);
        // Both lie within five standard deviations.
        assert!((drawn.len() as f64 - 20_000.0).abs() < 5.0 * 20_000_f64.sqrt(), "{}", drawn.len());
        let short = drawn.windows(2).filter(|pair| pair[1].abs_diff(pair[0]) < Duration::from_millis(1)).count();
        let share = short as f64 / drawn.len() as f64;
        assert!((share - (1.0 - (-1_f64).exp())).abs() < 0.02, "{share}");
        assert_eq!(drawn, times(&flags));
        assert_ne!(drawn, times(&["--rate=1000/s", "--run-time=20s", "--seed=2"]));
    }

    #[tokio::test]
    async fn what_nobody_was_free_for_is_told() {
        let timetable = timetable(&["--rate=100/s", "--arrivals=constant", "--run-time=300ms"]);
        let (_running, stop) = mpsc::channel();
        thread::scope(|scope| {
            let timetable = &timetable;
            scope.spawn(move || timetable.release(Duration::from_millis(300), &stop));
        });
        // The run is over, and nobody has taken any of them.
        assert!(timetable.next().await.is_none());
        let Punctuality { due, late, never, .. } = timetable.punctuality();
        assert_eq!((due, late, never), (timetable.times.clone().count() as u64, 0, due));
    }

    #[tokio::test]
    async fn a_request_that_is_begun_late_still_has_the_time_at_which_it_was_due() {
        let timetable = timetable(&["--rate=1000/s", "--arrivals=constant", "--run-time=10s"]);
        let (running, stop) = mpsc::channel();
        thread::scope(|scope| {
            let timetable = &timetable;
            scope.spawn(move || timetable.release(Duration::from_secs(10), &stop));
            while timetable.released.load(Ordering::Relaxed) < 50 {
                thread::yield_now();
            }
            let first = futures_util::future::FutureExt::now_or_never(timetable.next()).flatten().expect("it is due");
            assert_eq!((first.number, first.at), (0, timetable.begun + 1_000_000));
            drop(running);
        });
        let Punctuality { late, latest, .. } = timetable.punctuality();
        assert_eq!(late, 1);
        assert!(latest >= Duration::from_millis(49), "{latest:?}");
    }
}
