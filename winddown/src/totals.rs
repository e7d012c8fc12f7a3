//! What a stop has done so far, counted. Read by the metrics at each scrape and by the report at the end.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;

use crate::http::in_flight::RequestStatus;

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
    /// A stop is under way: what ends now is part of its account. A server that is stopped alone is not.
    stopping: AtomicBool,
    late_in_flight: AtomicU64,
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
    /// T0: from here on requests are counted.
    pub(crate) fn begin(&self) {
        self.forced_before.store(self.forced.load(Relaxed), Relaxed);
        self.stopping.store(true, Relaxed);
    }

    /// A request begins. Returns whether it is late.
    pub(crate) fn entered(&self) -> bool {
        let late = self.goes_on();
        if late {
            self.late.fetch_add(1, Relaxed);
        }
        late
    }

    /// Something goes on behind the answer of a request. Returns whether it began late.
    pub(crate) fn goes_on(&self) -> bool {
        let late = self.stopping.load(Relaxed);
        if late {
            self.late_in_flight.fetch_add(1, Relaxed);
        }
        late
    }

    /// A request is over. Returns whether that is part of a stop's account.
    pub(crate) fn ended(&self, complete: bool, late: bool) -> bool {
        if late {
            self.late_in_flight.fetch_sub(1, Relaxed);
        }
        let stopping = self.stopping.load(Relaxed);
        if stopping && !late {
            let count = if complete { &self.completed } else { &self.aborted };
            count.fetch_add(1, Relaxed);
        }
        stopping
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut(&self, request: RequestStatus) {
        self.cut.fetch_add(1, Relaxed);
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// The counts of requests, when so many are `in_flight` now. Who was in flight at T0 has ended since or is still.
    pub(crate) fn requests(&self, in_flight: usize) -> RequestTotals {
        let (completed, aborted) = (self.completed.load(Relaxed), self.aborted.load(Relaxed));
        let still = (in_flight as u64).saturating_sub(self.late_in_flight.load(Relaxed));
        let stopping = self.stopping.load(Relaxed);
        RequestTotals {
            in_flight_at_start: if stopping { completed + aborted + still } else { 0 },
            completed,
            aborted,
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
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
