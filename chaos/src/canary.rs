//! A thread that only sleeps, and notes when the machine let it sleep too long: then its other numbers are worth nothing.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use winddown::audit;

const SLEEP: Duration = Duration::from_millis(5);

/// Less is not worth remembering.
const NOTED: Duration = Duration::from_millis(20);

/// Watches the machine until it is dropped.
#[derive(Debug)]
pub struct Canary {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    enough: AtomicBool,
    lags: Mutex<Vec<Lag>>,
}

#[derive(Clone, Copy, Debug)]
struct Lag {
    from: u64,
    to: u64,
}

impl Canary {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        thread::Builder::new().name("canary".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.enough.load(Ordering::Relaxed) {
                    let from = audit::now();
                    thread::sleep(SLEEP);
                    shared.note(Lag { from, to: audit::now() });
                }
            }
        })?;
        Ok(Self { shared })
    }

    /// The longest time that the thread overslept between two moments of `CLOCK_MONOTONIC`.
    pub fn longest_lag(&self, from: u64, to: u64) -> Duration {
        let lags = self.shared.lags.lock().unwrap_or_else(PoisonError::into_inner);
        let overlapping = lags.iter().filter(|lag| lag.from < to && lag.to > from);
        overlapping.map(Lag::length).max().unwrap_or_default()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.shared.enough.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn note(&self, lag: Lag) {
        if lag.length() >= NOTED {
            self.lags.lock().unwrap_or_else(PoisonError::into_inner).push(lag);
        }
    }
}

impl Lag {
    fn length(&self) -> Duration {
        Duration::from_nanos(self.to - self.from).saturating_sub(SLEEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lag_that_overlaps_the_window_counts() {
        let ms = |ms: u64| ms * 1_000_000;
        let canary = Canary { shared: Arc::default() };
        canary.shared.note(Lag { from: ms(100), to: ms(405) });
        canary.shared.note(Lag { from: ms(500), to: ms(510) });
        assert_eq!(canary.longest_lag(ms(400), ms(600)), Duration::from_millis(300));
        assert_eq!(canary.longest_lag(ms(405), ms(600)), Duration::ZERO);
    }
}
