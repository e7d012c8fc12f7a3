//! HTTP/1 on one connection: hyper serves it, and gives it back when it is to end.
//!
//! hyper's own graceful shutdown closes an idle connection at once: bytes in the kernel, or half a head in hyper's
//! buffer, go unanswered. Here hyper is never told to shut down. Responses say `Connection: close` and end the
//! connection by themselves; one that stays idle is *taken back* from hyper, which shows what it had buffered. Only
//! when that is nothing, and the kernel holds nothing either, is the connection closed, with a farewell.
//!
//! # Invariants
//!
//! 1. A connection is taken back only when it is at rest: no request, no holder of a request body, nothing unflushed,
//!    and not lingering, at the end of two turns in a row. The second turn lets hyper see what another task dropped
//!    during the first.
//! 2. What hyper had buffered is served: it goes in front of the socket, and hyper gets the connection anew.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use hyper::server::conn::http1::{self, Parts, UpgradeableConnection};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::WaitForCancellationFuture;

use crate::{
    http::service::RequestService,
    sabotage::{self, Fault},
    server::{
        called::WhenCalled,
        connection::Connection,
        io::{Close, Io},
    },
};

type Http1 = UpgradeableConnection<TokioIo<Io>, RequestService>;

/// Serves requests until the peer leaves or an answer says `close`. A connection that is to be closed otherwise is handed
/// back, with how: closing takes the room that serving has left, and hyper's buffers are free by then.
///
/// An `async fn` would keep room for its arguments, beside what became of them, in every idle connection.
pub(super) fn serve(
    io: Io,
    connection: &Arc<Connection>,
    service: RequestService,
) -> impl Future<Output = Option<(Io, Close)>> {
    let mut rest = Rest::new(connection, connection.idle_grace(io.stream().round_trip()));
    let mut conn = http1(io, service);
    async move {
        loop {
            let Turn::AtRest(why) = poll_fn(|cx| rest.poll(cx, &mut conn)).await else {
                drop(conn);
                decline_offer(connection).await;
                return None;
            };
            // `None` after an upgrade, and then the turn has ended, not rested.
            let Parts { mut io, mut read_buf, service, .. } = conn.into_parts()?;
            // Empty lines before a request are no request (RFC 9112 §2.2).
            let blank = read_buf.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            read_buf.advance(blank);
            // The first one, at the start, may have been a slow one.
            rest.idle_grace = connection.idle_grace(io.inner().stream().round_trip());
            let heard = !read_buf.is_empty() || io.inner().stream().has_bytes();
            let begun = !read_buf.is_empty() || io.inner().stream().has_part_of_a_record();
            let waiting = connection.wire.waiting();
            connection.wire.taken_back();
            match why {
                Why::Closing if sabotage::is(Fault::NoFarewell) => return Some((io.into_inner(), Close::Quietly)),
                Why::Closing => connection.close(if read_buf.is_empty() { heard.into() } else { waiting.max(1) }),
                Why::SlowHead if begun => return Some((io.into_inner(), Close::RequestTimeout)),
                Why::Idle if !heard => {
                    let used = connection.wire.has_carried_a_request() && connection.server().transport.farewell;
                    return Some((io.into_inner(), if used { Close::RequestTimeout } else { Close::Quietly }));
                }
                Why::SlowHead | Why::Idle => {}
            }
            io.inner_mut().unread(read_buf);
            conn = http1(io.into_inner(), service);
        }
    }
}

/// hyper hands the socket of a request that offered another protocol to whoever took the offer, and drops it when nobody
/// did, with no linger: whatever the client still writes would reset the answer.
async fn decline_offer(connection: &Connection) {
    if let Some(offer) = connection.take_offer()
        && let Ok(socket) = offer.await
        && let Ok(socket) = socket.downcast::<TokioIo<Io>>()
        && let Err(error) = socket.io.into_inner().shutdown().await
    {
        tracing::debug!(%error, "the peer was gone before the end");
    }
}

fn http1(io: Io, service: RequestService) -> Http1 {
    // The bound on a slow head is `Rest`'s: hyper would close without the 408.
    http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(io), service).with_upgrades()
}

/// What came of driving hyper for a while.
enum Turn {
    /// hyper is done with the connection.
    Ended,
    AtRest(Why),
}

/// Why a connection at rest is taken back.
#[derive(Clone, Copy)]
enum Why {
    /// The server closes: time for a look at what is under way.
    Closing,
    /// Silent for too long.
    Idle,
    /// A head was begun and not ended in time.
    SlowHead,
}

/// Watches a connection that hyper drives: how long it has rested, and in which way.
struct Rest<'a> {
    connection: &'a Connection,
    idle_grace: Duration,
    /// `None` once the server closes.
    closing: Option<Pin<Box<WhenCalled<WaitForCancellationFuture<'a>>>>>,
    looked: bool,
    /// The peer's reads when it last spoke, and when that was noticed.
    reads: u32,
    silent_since: Instant,
    /// Since when a head is under way, and behind how many requests.
    head_since: Option<(Instant, u32)>,
    /// Set by the first turn. In peace it is left alone while requests come and go; when it fires, it is set anew.
    timer: Pin<Box<Sleep>>,
    armed: bool,
}

impl<'a> Rest<'a> {
    fn new(connection: &'a Connection, idle_grace: Duration) -> Self {
        let now = Instant::now();
        Self {
            connection,
            idle_grace,
            closing: Some(Box::pin(WhenCalled::new(connection.tokens().closing.cancelled()))),
            looked: false,
            reads: 0,
            silent_since: now,
            head_since: None,
            timer: Box::pin(sleep_until(now)),
            armed: false,
        }
    }

    /// One turn: hyper first, so that what is seen then is what is left when it can do no more.
    fn poll(&mut self, cx: &mut Context<'_>, conn: &mut Http1) -> Poll<Turn> {
        let mut at_rest_before = None;
        loop {
            let closing = || self.connection.tokens().closing.is_cancelled();
            if sabotage::is(Fault::NoFarewell) && closing() && !self.connection.is_busy() {
                return Poll::Ready(Turn::AtRest(Why::Closing));
            }
            if Pin::new(&mut *conn).poll(cx).is_ready() {
                return Poll::Ready(Turn::Ended);
            }
            let wire = &self.connection.wire;
            if wire.is_ending() {
                return Poll::Pending; // hyper shuts the socket down, and it lingers; the rest is its own.
            }
            if wire.has_uploads() {
                wire.wait_for_uploads(cx.waker());
            }
            self.poll_closing(cx);
            if self.connection.is_busy() {
                self.head_since = None;
                return Poll::Pending;
            }
            let Some(why) = self.poll_why(cx) else { return Poll::Pending };
            // Invariant 1. What was read or parsed between the two turns begins the count anew.
            let seen = (self.connection.wire.reads(), self.connection.wire.requests());
            if at_rest_before.replace(seen) == Some(seen) {
                self.looked |= matches!(why, Why::Closing);
                return Poll::Ready(Turn::AtRest(why));
            }
        }
    }

    fn closes(&self) -> bool {
        self.closing.is_none()
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) {
        if self.closing.as_mut().is_some_and(|closing| closing.as_mut().poll(cx).is_ready()) {
            self.closing = None;
            // An earlier silence does not count: what the peer wrote before this moment has yet to arrive.
            self.silent_since = Instant::now();
            if self.connection.is_busy() {
                // Nothing to look at: the next request comes too late, unless it is pipelined already.
                self.connection.close(self.connection.wire.waiting());
                self.looked = true;
            }
        }
    }

    /// Why a connection at rest should be taken back now, if it should.
    fn poll_why(&mut self, cx: &mut Context<'_>) -> Option<Why> {
        if self.closes() && (!self.looked || self.connection.wire.has_lost_count()) {
            return Some(Why::Closing);
        }
        let head = self.connection.wire.has_unclaimed();
        // hyper rests after some pipelined requests, too: a head behind another request is another head.
        self.head_since = self.head_since.filter(|(_, requests)| *requests == self.connection.wire.requests());
        if !head && !self.closes() && self.armed && !self.timer.is_elapsed() {
            self.head_since = None;
            return None;
        }
        let (due, why) = if head { self.slow_head() } else { self.idle() };
        if self.timer.deadline() != due || !self.armed {
            self.timer.as_mut().reset(due);
            self.armed = true;
        }
        self.timer.as_mut().poll(cx).is_ready().then_some(why)
    }

    fn slow_head(&mut self) -> (Instant, Why) {
        let requests = self.connection.wire.requests();
        let (since, _) = *self.head_since.get_or_insert_with(|| (Instant::now(), requests));
        (since + self.connection.server().transport.header_timeout(), Why::SlowHead)
    }

    fn idle(&mut self) -> (Instant, Why) {
        self.head_since = None;
        let reads = self.connection.wire.reads();
        if self.reads != reads {
            (self.reads, self.silent_since) = (reads, Instant::now());
        }
        let patience =
            if self.closes() { self.idle_grace } else { self.connection.server().transport.keep_alive_timeout };
        (self.silent_since + patience, Why::Idle)
    }
}
