//! What the bytes of an HTTP/1 connection tell about it, counted as they pass.
//!
//! hyper keeps to itself what it has buffered. Two questions about that matter to a stop: is a request head under way
//! (then the connection is not idle), and has the client written another request behind the present one (then this
//! response must not say `close`, or the next one would go without an answer)? The counts here answer both well
//! enough to choose the polite way; behind a request with a body [`super::behind`] does. They are never the proof that
//! a connection may be closed: that is hyper's own buffer, taken back and found empty (see [`super::h1`]).

use std::{
    sync::{
        LazyLock, Mutex, MutexGuard, OnceLock,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{AcqRel, Relaxed},
        },
    },
    task::Waker,
};

use memchr::memmem::Finder;

use crate::{
    server::{
        behind::{Behind, each_end, keep_tail},
        frames::Frames,
    },
    sync::lock,
};

/// The end of a request head.
const END: &[u8; 4] = b"\r\n\r\n";

/// Prepared once: preparing takes longer than a search.
static ENDS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(END));

/// Counters of one connection. Written by the one task that owns the connection, `uploads` apart; hence `Relaxed`.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Reads that brought bytes. A change means that the peer has spoken.
    reads: AtomicU32,
    /// Ends of request heads seen in what was read.
    heads: AtomicU32,
    /// Requests that hyper has parsed.
    requests: AtomicU32,
    /// Bytes were read that belong to no parsed request.
    unclaimed: AtomicBool,
    /// A TLS record has been begun and not ended.
    within_record: AtomicBool,
    /// The last read ended with the end of a head.
    clean: AtomicBool,
    /// The last four bytes read.
    last: AtomicU32,
    /// Request bodies that somebody still holds.
    uploads: AtomicU32,
    /// hyper has bytes that the socket has not taken.
    unflushed: AtomicBool,
    /// A request body was given up before its end: the peer is still sending it.
    upload_cut: AtomicBool,
    /// hyper is done, and the socket lingers.
    ending: AtomicBool,
    /// It lingers with something that the peer has not taken.
    backlog: AtomicBool,
    /// HTTP/2 is spoken: there are frames to follow, and no heads to count.
    frames: OnceLock<Mutex<Frames>>,
    /// What is known of bytes behind a body. Locked by the connection's task, and by whoever answers for it.
    behind: Mutex<Behind>,
    /// The connection's task, when what it waits for may end on another one.
    waiting: Mutex<Option<Waker>>,
}

impl Wire {
    /// The peer has spoken.
    fn heard(&self) {
        add(&self.reads, 1);
    }

    /// The peer has spoken in TLS records, and is or is not within one.
    #[cfg(feature = "tls")]
    pub(super) fn heard_records(&self, within: bool) {
        self.heard();
        self.within_record.store(within, Relaxed);
    }

    /// `bytes` are on their way to hyper.
    pub(super) fn read(&self, bytes: &[u8]) {
        self.heard();
        if let Some(frames) = self.frames.get() {
            return lock(frames).read(bytes);
        }
        let mut behind = self.behind();
        if self.has_uploads() {
            return behind.read(bytes, None, false); // The request's own body.
        }
        let mut tail = self.last.load(Relaxed).to_be_bytes();
        let (mut first, mut heads) = (None, 0);
        each_end(&tail, bytes, &ENDS, |end| {
            first.get_or_insert(end);
            heads += 1;
        });
        behind.read(bytes, first, !self.unclaimed.load(Relaxed));
        add(&self.heads, heads);
        keep_tail(&mut tail, bytes);
        self.last.store(u32::from_be_bytes(tail), Relaxed);
        // hyper takes a bare line feed for the end of a line, too.
        self.clean.store(tail == *END || tail.ends_with(b"\n\n"), Relaxed);
        self.unclaimed.store(true, Relaxed);
    }

    /// From now on HTTP/2 is read, from its preface on.
    pub(super) fn is_http2(&self) {
        let _ = self.frames.set(Mutex::default());
    }

    pub(super) fn speaks_http2(&self) -> bool {
        self.frames.get().is_some()
    }

    /// How many PINGs the peer has answered.
    pub(super) fn pongs(&self) -> u32 {
        let pongs = |frames: &Mutex<Frames>| lock(frames).pongs();
        self.frames.get().map_or(0, pongs)
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        lock(&self.behind)
    }

    /// hyper has parsed a request whose body has `length` bytes; `None` means that only the body itself knows.
    pub(super) fn request(&self, length: Option<u64>) {
        if self.frames.get().is_some() {
            return; // Streams are not pipelined.
        }
        self.behind().request(length);
        let requests = add(&self.requests, 1);
        // What follows a head with a body is taken for the body: the ends of its chunks and parts look like heads.
        let alone = length != Some(0);
        let more_heads = !alone && self.heads.load(Relaxed) > requests;
        let tail = !alone && !self.clean.load(Relaxed);
        self.unclaimed.store(more_heads || tail, Relaxed);
        if !more_heads {
            // A head that came in pieces must not count for the next request.
            self.heads.store(requests, Relaxed);
        }
    }

    /// hyper has bytes for the peer, which may or may not fit into the socket.
    pub(super) fn writing(&self) {
        self.unflushed.store(true, Relaxed);
    }

    /// hyper has nothing left for the peer.
    pub(super) fn flushed(&self) {
        self.unflushed.store(false, Relaxed);
    }

    pub(super) fn has_unflushed(&self) -> bool {
        self.unflushed.load(Relaxed)
    }

    pub(super) fn upload_begins(&self) {
        self.uploads.fetch_add(1, Relaxed);
    }

    pub(super) fn upload_ends(&self) {
        if self.uploads.fetch_sub(1, AcqRel) == 1
            && let Some(waker) = lock(&self.waiting).take()
        {
            waker.wake();
        }
    }

    pub(super) fn cut_upload(&self) {
        self.upload_cut.store(true, Relaxed);
    }

    pub(super) fn has_cut_upload(&self) -> bool {
        self.upload_cut.load(Relaxed)
    }

    pub(super) fn has_uploads(&self) -> bool {
        self.uploads.load(Relaxed) > 0
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Relaxed)
    }

    /// Whether there are bytes that no request has claimed: the beginning of a head, or a pipelined request.
    pub(super) fn has_unclaimed(&self) -> bool {
        self.unclaimed.load(Relaxed) || self.within_record.load(Relaxed)
    }

    /// Whether an answer that says `close` might leave a request unanswered.
    pub(super) fn may_have_more(&self) -> bool {
        self.has_unclaimed() || self.behind().may_be()
    }

    /// Whether bytes were read behind a body, so that only hyper knows what of them is left.
    pub(super) fn has_lost_count(&self) -> bool {
        self.behind().may_be()
    }

    /// hyper's own buffer was looked at: what it holds is read once more, and nothing else is unclaimed.
    pub(super) fn taken_back(&self) {
        *self.behind() = Behind::default();
        self.heads.store(self.requests.load(Relaxed), Relaxed);
        self.unclaimed.store(false, Relaxed);
    }

    /// hyper is done with the connection, which lingers.
    pub(super) fn ends(&self) {
        self.ending.store(true, Relaxed);
    }

    pub(super) fn backlog(&self, is_there: bool) {
        self.backlog.store(is_there, Relaxed);
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Relaxed)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// `waker` is woken when the last holder of a request body lets it go.
    pub(super) fn wait_for_uploads(&self, waker: &Waker) {
        *lock(&self.waiting) = Some(waker.clone());
    }

    /// How many requests are under way in what was read: whole heads, and a last one of which some is there. Any number of
    /// them where the count is lost.
    pub(super) fn waiting(&self) -> u32 {
        if self.has_lost_count() {
            return u32::MAX;
        }
        let heads = self.heads.load(Relaxed).saturating_sub(self.requests.load(Relaxed));
        let part = self.has_unclaimed() && (heads == 0 || !self.clean.load(Relaxed));
        heads + u32::from(part)
    }

    pub(super) fn has_carried_a_request(&self) -> bool {
        self.requests.load(Relaxed) > 0
    }
}

/// Adds to a count that one task writes: a load and a store, where an atomic addition takes as long as ten of both.
fn add(count: &AtomicU32, more: u32) -> u32 {
    let sum = count.load(Relaxed).wrapping_add(more);
    count.store(sum, Relaxed);
    sum
}

#[cfg(test)]
mod tests;
