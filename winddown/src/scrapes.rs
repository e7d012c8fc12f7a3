//! Who scrapes the metrics, and the last scrape that a stop waits for.
//!
//! A counter that nobody scrapes any more before the process exits has never been. So when all else is done, whoever has
//! scraped regularly gets one more chance, if its next turn comes in time: Prometheus keeps to its interval, and so it is
//! known when that will be.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// More scrapers than anybody has; of more, those that came last are known.
const MOST: usize = 32;

/// All that scrape.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    known: Mutex<HashMap<String, Scraper>>,
    finished: Notify,
    prometheus: AtomicU64,
    other: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Scraper {
    /// When its last scrape began.
    last: Instant,
    /// From the one before to that; unknown after the first.
    interval: Option<Duration>,
    /// When the last one began that had its whole answer.
    answered: Option<Instant>,
}

/// What the report says of the wait for a last scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LastScrape {
    /// Scrapers whose turn came in time.
    pub scrapers: usize,
    /// Those of them that had the final values.
    pub complete: usize,
    /// How long was waited for them.
    #[serde(rename = "seconds", serialize_with = "crate::report::seconds")]
    pub waited: Duration,
}

impl Scrapes {
    /// A scrape begins; by whom, if it is Prometheus.
    pub(crate) fn begin(self: &Arc<Self>, who: Option<String>) -> Scrape {
        let (count, now) =
            if who.is_some() { (&self.prometheus, Instant::now()) } else { (&self.other, Instant::now()) };
        count.fetch_add(1, Relaxed);
        if let Some(who) = &who {
            let mut known = self.known();
            known.retain(|_, scraper| !scraper.has_left(now));
            // One that came once may never come again, and its place is not kept for ever.
            if known.len() >= MOST && !known.contains_key(who) {
                let oldest = known.iter().min_by_key(|(_, scraper)| scraper.last).map(|(who, _)| who.clone());
                oldest.map(|oldest| known.remove(&oldest));
            }
            let before = known.get(who).copied();
            let interval = before.map(|before| now - before.last);
            let answered = before.and_then(|before| before.answered);
            known.insert(who.clone(), Scraper { last: now, interval, answered });
        }
        Scrape { scrapes: self.clone(), who, began: now }
    }

    /// How many scrapes there were: by Prometheus, by others.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.prometheus.load(Relaxed), self.other.load(Relaxed))
    }

    /// How many scrapers are known.
    pub(crate) fn len(&self) -> usize {
        let now = Instant::now();
        self.known().values().filter(|scraper| !scraper.has_left(now)).count()
    }

    /// Waits until each scraper whose turn comes before `deadline` has had one more whole scrape, or until it is late by a
    /// quarter of its interval, or until the stop is `forced`.
    pub(crate) async fn last(&self, deadline: Instant, forced: &CancellationToken) -> LastScrape {
        let frozen = Instant::now();
        let waited_for: Vec<_> = {
            let known = self.known();
            let due =
                known.iter().filter_map(|(who, scraper)| Some((who.clone(), scraper.next_turn(frozen, deadline)?)));
            due.collect()
        };
        let mut complete = 0;
        for (who, late) in &waited_for {
            let has_all = async {
                loop {
                    let finished = self.finished.notified();
                    if self.known().get(who).is_some_and(|scraper| scraper.answered > Some(frozen)) {
                        return;
                    }
                    finished.await;
                }
            };
            match forced.run_until_cancelled(timeout_at((*late).min(deadline), has_all)).await {
                Some(Ok(())) => complete += 1,
                Some(Err(_)) => {}
                None => break,
            }
        }
        LastScrape { scrapers: waited_for.len(), complete, waited: frozen.elapsed() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Scraper>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scraper {
    /// Late by a quarter of its interval, and more than that.
    fn late(&self) -> Option<Instant> {
        self.interval.map(|interval| self.last + interval + interval / 4)
    }

    /// It should have come again, twice.
    fn has_left(&self, now: Instant) -> bool {
        self.interval.is_some_and(|interval| now > self.last + interval * 3)
    }

    /// Until when its next scrape is waited for, if that is due from `now` to `deadline`.
    fn next_turn(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let late = self.late()?;
        (late > now && self.last + self.interval? <= deadline).then_some(late)
    }
}

/// A scrape under way.
#[derive(Debug)]
pub(crate) struct Scrape {
    scrapes: Arc<Scrapes>,
    who: Option<String>,
    began: Instant,
}

impl Scrape {
    /// Its answer was handed to the connection, all of it.
    pub(crate) fn finish(self) {
        let Some(who) = self.who else { return };
        if let Some(scraper) = self.scrapes.known().get_mut(&who) {
            scraper.answered = Some(self.began);
        }
        self.scrapes.finished.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
