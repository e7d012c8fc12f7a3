//! What a stop has done so far, counted. Read by the metrics at each scrape and by the report at the end.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use crate::{
    http::{admission::Token, in_flight::RequestStatus},
    sync::{AtomicBool, AtomicU64, Mutex, lock},
};

/// How many cut requests the report names; the rest is a number.
const NAMED: usize = 20;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The peer left, or it was told to in an answer or by GOAWAY.
    Graceful,
    /// It was idle for too long.
    Idle,
    /// A deadline of the stop cut it.
    Forced,
}

/// The counts. All of them only grow, and none orders anything else: hence `Relaxed`.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    stopping: AtomicBool,
    in_flight_at_start: AtomicU64,
    completed: AtomicU64,
    aborted: AtomicU64,
    late: AtomicU64,
    rejected: AtomicU64,
    cut: AtomicU64,
    graceful: AtomicU64,
    idle: AtomicU64,
    forced: AtomicU64,
    forced_before: AtomicU64,
    farewells: AtomicU64,
    named: Mutex<Vec<RequestStatus>>,
}

/// The counts of requests at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestTotals {
    /// In flight at T0.
    pub in_flight_at_start: u64,
    /// Of those: answered in full.
    pub completed: u64,
    /// Of those: not.
    pub aborted: u64,
    /// Admitted after T0.
    pub late: u64,
    /// Answered 503 after the lame duck.
    pub rejected: u64,
    /// Cut at a deadline, whenever they began.
    pub cut: u64,
}

/// The counts of connections at one moment, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionTotals {
    /// Ended by the peer, or after it had been told to leave.
    pub graceful: u64,
    /// Closed because they were idle.
    pub idle: u64,
    /// Cut at a deadline.
    pub forced: u64,
    /// Told 408 before they were closed.
    pub farewells: u64,
    /// Those of the forced ones that the stop forced.
    #[serde(skip)]
    pub(crate) forced_by_the_stop: u64,
}

impl Totals {
    /// T0 of the whole stop. Every server has one of its own, a moment later.
    pub(crate) fn begin(&self) {
        self.forced_before.store(self.forced.load(Relaxed), Relaxed);
        self.stopping.store(true, Relaxed);
    }

    /// Whether T0 has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// So many requests were in flight at the T0 of one server.
    pub(crate) fn in_flight_at_start(&self, requests: usize) {
        self.in_flight_at_start.fetch_add(requests as u64, Relaxed);
    }

    /// A request was admitted.
    pub(crate) fn entered(&self, token: &Token) {
        if token.is_late() {
            self.late.fetch_add(1, Relaxed);
        }
    }

    /// A request is over, after T0.
    pub(crate) fn ended(&self, token: &Token, complete: bool) {
        if !token.is_late() {
            let count = if complete { &self.completed } else { &self.aborted };
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut(&self, request: RequestStatus) {
        self.cut.fetch_add(1, Relaxed);
        let mut named = lock(&self.named);
        if named.len() < NAMED {
            named.push(request);
        }
    }

    pub(crate) fn closed(&self, how: Closed) {
        let count = match how {
            Closed::Graceful => &self.graceful,
            Closed::Idle => &self.idle,
            Closed::Forced => &self.forced,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn farewell(&self) {
        self.farewells.fetch_add(1, Relaxed);
    }

    /// The counts of requests. Who was in flight at T0 and is in none of them yet is still in flight.
    pub(crate) fn requests(&self) -> RequestTotals {
        RequestTotals {
            in_flight_at_start: self.in_flight_at_start.load(Relaxed),
            completed: self.completed.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            late: self.late.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            cut: self.cut.load(Relaxed),
        }
    }

    pub(crate) fn connections(&self) -> ConnectionTotals {
        ConnectionTotals {
            graceful: self.graceful.load(Relaxed),
            idle: self.idle.load(Relaxed),
            forced: self.forced.load(Relaxed),
            forced_by_the_stop: self.forced.load(Relaxed).saturating_sub(self.forced_before.load(Relaxed)),
            farewells: self.farewells.load(Relaxed),
        }
    }

    /// The cut requests by name, 20 at the most.
    pub(crate) fn cut_requests(&self) -> Vec<RequestStatus> {
        lock(&self.named).clone()
    }
}
