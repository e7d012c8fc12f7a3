//! The filter that refuses while closing and counts while open.
//!
//! A server has a [`Gate`], which counts, and knows how far the stop has come. Each connection has a [`Door`], which
//! decides about the requests that come when the gate is closed. The drain waits for connections, and so for every
//! request on them.
//!
//! # Invariants
//!
//! 1. A request counts itself first and looks second, by one operation on one atomic. So it has an order with T0 and with
//!    [`Gate::close`] as they come to its count: who was in flight at T0 is known exactly, and whoever saw the gate open is counted.
//! 2. Whoever counts behind [`Door::close`] sees every request that the door let in without a pass.
//! 3. A pass lets one request in, and none is lost.
//! 4. The stage never goes back, and whoever found the gate closed sees that the server drains.
//! 5. Whoever was counted leaves once, at the end of the response body and not of the handler: `InFlight` does when it is dropped.
//!
//! `tests/models` proves 1 to 4, with this file as it is. Hence [`crate::sync`].

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::sync::{AtomicU8, AtomicU32, AtomicUsize};

/// How far the stop of one server has come; an atomic's worth of [`crate::Phase`], because requests ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    Running,
    LameDuck,
    Drain,
}

/// Counts requests in flight, and can be closed.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Each connection counts at one of these. All requests at one count would meet there, which takes ten times as long as the rest.
    counts: Box<[Count]>,
    /// Beside the count, which every request writes: this one is read by every response and written twice.
    stage: AtomicU8,
}

/// [`Count::T0`], [`Count::CLOSED`], and how many [`Count::ONE`] there are. In a cache line of its own, and the one that is fetched with it.
#[derive(Debug)]
#[repr(align(128))]
struct Count(AtomicUsize);

impl Count {
    const T0: usize = 1;
    const CLOSED: usize = 2;
    const ONE: usize = 4;
}

impl Gate {
    /// A gate of so many counts, a power of two: a division at each request would take longer than the count.
    pub(crate) fn new(counts: usize) -> Self {
        assert!(counts.is_power_of_two(), "{counts} counts");
        Self { counts: (0..counts).map(|_| Count(AtomicUsize::new(0))).collect(), stage: AtomicU8::new(0) }
    }

    fn count(&self, connection: u64) -> &AtomicUsize {
        &self.counts[connection as usize & (self.counts.len() - 1)].0
    }

    /// Counts one request of a connection (invariant 1).
    ///
    /// `Acquire`, with the `Release` of whoever closes: invariants 2 and 4.
    pub(crate) fn enter(&self, connection: u64) -> Token {
        let found = self.count(connection).fetch_add(Count::ONE, Acquire);
        Token { late: found & Count::T0 != 0, closed: found & Count::CLOSED != 0 }
    }

    /// One request that was counted for this connection is over. Returns whether T0 had come.
    pub(crate) fn leave(&self, connection: u64) -> bool {
        let found = self.count(connection).fetch_sub(Count::ONE, Relaxed);
        debug_assert!(found >= Count::ONE, "a request ends once");
        found & Count::T0 != 0
    }

    /// T0, at one count after the other. Returns how many requests are in flight at that moment of theirs; those of a count
    /// to which it had come before are not among them.
    pub(crate) fn begin_lame_duck(&self) -> usize {
        self.stage.fetch_max(Stage::LameDuck as u8, Relaxed);
        let found = self.counts.iter().map(|count| count.0.fetch_or(Count::T0, Relaxed));
        found.filter(|found| found & Count::T0 == 0).map(|found| found / Count::ONE).sum()
    }

    pub(crate) fn close(&self) {
        self.stage.fetch_max(Stage::Drain as u8, Relaxed);
        for count in &self.counts {
            count.0.fetch_or(Count::CLOSED, Release);
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Running,
            1 => Stage::LameDuck,
            _ => Stage::Drain,
        }
    }

    /// How many requests are in flight. It orders nothing else: the drain waits for connections.
    pub(crate) fn len(&self) -> usize {
        self.counts.iter().map(|count| count.0.load(Relaxed) / Count::ONE).sum()
    }
}

/// What a request found when it was counted. Whoever has it owes a [`Gate::leave`].
#[derive(Debug)]
#[must_use = "the request stays counted"]
pub(crate) struct Token {
    late: bool,
    closed: bool,
}

impl Token {
    /// Whether the request came after T0.
    pub(crate) fn is_late(&self) -> bool {
        self.late
    }
}

/// Whom one connection lets in when the gate of its server is closed.
#[derive(Debug)]
pub(crate) struct Door {
    /// [`Door::CLOSED`], and how many more requests are let in although it is: their bytes had come in time.
    passes: AtomicU32,
}

impl Door {
    const CLOSED: u32 = 1 << 31;

    /// An open door. `passes` are kept for the time when it is closed.
    pub(crate) fn new(passes: u32) -> Self {
        Self { passes: AtomicU32::new(passes) }
    }

    /// Admission of one request.
    pub(crate) fn admit(&self, gate: &Gate, connection: u64) -> Option<Token> {
        let token = gate.enter(connection);
        if token.closed && !self.lets_in() {
            gate.leave(connection);
            return None;
        }
        Some(token)
    }

    fn lets_in(&self) -> bool {
        let with_a_pass = |passes| match passes {
            Self::CLOSED => None,
            open if open & Self::CLOSED == 0 => Some(open),
            closed => Some(closed - 1),
        };
        self.passes.fetch_update(Relaxed, Relaxed, with_a_pass).is_ok()
    }

    /// Closes behind whoever was let in, and behind `in_time` more.
    pub(crate) fn close(&self, gate: &Gate, connection: u64, in_time: u32) {
        let closed = |passes: u32| Some(Self::CLOSED | (passes & !Self::CLOSED).max(in_time & !Self::CLOSED));
        let _ = self.passes.fetch_update(Relaxed, Relaxed, closed);
        debug_assert_eq!(gate.stage(), Stage::Drain, "a connection closes behind its server");
        // It is closed already. Once more, so that who counts now has an order with who comes now (invariant 2).
        gate.count(connection).fetch_or(Count::CLOSED, Release);
    }

    /// Everybody is let in until [`Door::close`] comes again.
    pub(crate) fn open(&self) {
        self.passes.fetch_and(!Self::CLOSED, Relaxed);
    }
}
