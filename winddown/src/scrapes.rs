//! Who scrapes the metrics, and the last scrape that a stop waits for.
//!
//! A counter that nobody scrapes any more before the process exits has never been. So when all else is done, whoever has
//! scraped regularly gets one more chance, if its next turn comes in time: Prometheus keeps to its interval, and so it is
//! known when that will be.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
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

use crate::sync::lock;

/// More scrapers than anybody has; of more, those that came last are known.
const MOST: usize = 32;

/// All that scrape.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    known: Mutex<Vec<Scraper>>,
    next: AtomicU64,
    finished: Notify,
    prometheus: AtomicU64,
    other: AtomicU64,
}

/// Whoever scrapes. Two on one host, each with a kept connection, are two; one that connects anew for each scrape is one.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) host: String,
    /// Lives for as long as its connection is open.
    pub(crate) connection: Arc<dyn Any + Send + Sync>,
}

#[derive(Debug)]
struct Scraper {
    id: u64,
    host: String,
    connection: Weak<dyn Any + Send + Sync>,
    /// When its last scrape began.
    last: Instant,
    /// From the one before to that; unknown after the first.
    interval: Option<Duration>,
    /// When the last one began that had its whole answer.
    answered: Option<Instant>,
}

/// What the report says of the wait for a last scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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
    pub(crate) fn begin(self: &Arc<Self>, who: Option<Who>) -> Scrape {
        let (count, began) = (if who.is_some() { &self.prometheus } else { &self.other }, Instant::now());
        count.fetch_add(1, Relaxed);
        Scrape { scrapes: self.clone(), scraper: who.map(|who| self.note(who, began)), began }
    }

    /// Notes a scrape and returns whose it is.
    fn note(&self, who: Who, now: Instant) -> u64 {
        let mut known = self.known();
        known.retain(|scraper| !scraper.has_left(now));
        let connection = Arc::downgrade(&who.connection);
        let same = known.iter().position(|scraper| scraper.connection.ptr_eq(&connection));
        let heir =
            || known.iter().position(|scraper| scraper.host == who.host && scraper.connection.strong_count() == 0);
        if let Some(index) = same.or_else(heir) {
            let scraper = &mut known[index];
            scraper.interval = Some(now - scraper.last);
            (scraper.last, scraper.connection) = (now, connection);
            return scraper.id;
        }
        // One that came once may never come again, and its place is not kept for ever.
        if known.len() >= MOST
            && let Some((oldest, _)) = known.iter().enumerate().min_by_key(|(_, scraper)| scraper.last)
        {
            known.remove(oldest);
        }
        let id = self.next.fetch_add(1, Relaxed);
        known.push(Scraper { id, host: who.host, connection, last: now, interval: None, answered: None });
        id
    }

    /// How many scrapes there were: by Prometheus, by others.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.prometheus.load(Relaxed), self.other.load(Relaxed))
    }

    /// How many scrapers are known.
    pub(crate) fn len(&self) -> usize {
        let now = Instant::now();
        self.known().iter().filter(|scraper| !scraper.has_left(now)).count()
    }

    /// Waits until each scraper whose turn comes before `deadline` has had one more whole scrape, or until it is late by a
    /// quarter of its interval, or until the stop is `forced`.
    pub(crate) async fn last(&self, deadline: Instant, forced: &CancellationToken) -> LastScrape {
        let frozen = Instant::now();
        let due = |scraper: &Scraper| Some((scraper.id, scraper.next_turn(frozen, deadline)?));
        let waited_for: Vec<_> = self.known().iter().filter_map(due).collect();
        let mut complete = 0;
        for (id, late) in &waited_for {
            let has_all = async {
                loop {
                    let finished = self.finished.notified();
                    if self.known().iter().any(|scraper| scraper.id == *id && scraper.answered > Some(frozen)) {
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

    fn known(&self) -> MutexGuard<'_, Vec<Scraper>> {
        lock(&self.known)
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
    /// None of a person, who is not waited for.
    scraper: Option<u64>,
    began: Instant,
}

impl Scrape {
    /// Its answer was handed to the connection, all of it.
    pub(crate) fn finish(self) {
        let Some(id) = self.scraper else { return };
        if let Some(scraper) = self.scrapes.known().iter_mut().find(|scraper| scraper.id == id) {
            scraper.answered = Some(self.began);
        }
        self.scrapes.finished.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
