//! The socket as hyper sees it: bytes that were sniffed come first, bytes are counted, a peer that takes none is not
//! waited for without end, and its shutdown lingers.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, SystemTime},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tokio_util::{sync::WaitForCancellationFutureOwned, task::task_tracker::TaskTrackerToken};

use crate::{
    http::admission::Stage,
    sabotage::{self, Fault},
    server::{connection::Connection, linger::Linger, stream::Stream},
};

/// Longest time that the last word may take to leave: it is far smaller than any socket's send buffer.
const LAST_WORD: Duration = Duration::from_millis(500);

/// How to close a connection on which nothing is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// With a 408 first: whatever request crosses it was not processed and may be repeated (RFC 9110 §15.5.9).
    RequestTimeout,
    /// Without a word.
    Quietly,
}

/// A connection's socket.
#[derive(Debug)]
pub(crate) struct Io {
    stream: Stream,
    sniffed: Bytes,
    connection: Arc<Connection>,
    linger: Option<Box<Linger>>,
    stall: Option<Stall>,
    /// After an upgrade: whoever has the socket then is cut off here when the server aborts.
    aborted: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Travels with the socket into an upgrade, so that a WebSocket is still waited for.
    _tracked: TaskTrackerToken,
}

/// A write that the socket did not take.
#[derive(Debug)]
struct Stall {
    /// What the peer's kernel had taken when the timer was last set.
    acknowledged: Option<u64>,
    timer: Pin<Box<Sleep>>,
}

impl Io {
    pub(super) fn new(stream: Stream, connection: Arc<Connection>) -> Self {
        let tracked = connection.server().connections.token();
        Self { stream, sniffed: Bytes::new(), connection, linger: None, stall: None, aborted: None, _tracked: tracked }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Puts bytes back in front of what is still to be read.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.sniffed = if self.sniffed.is_empty() { bytes } else { [bytes, self.sniffed.clone()].concat().into() };
    }

    /// Reads past the count of heads, for whoever has yet to find out what is spoken. Cancel safe.
    pub(super) async fn sniff(&mut self, bytes: &mut BytesMut) -> io::Result<usize> {
        self.stream.read_buf(bytes).await
    }

    /// Says the last word and closes.
    pub(super) async fn close(mut self, how: Close) -> io::Result<()> {
        if how == Close::RequestTimeout {
            let date = httpdate::fmt_http_date(SystemTime::now());
            let farewell = format!(
                "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\n\r\n"
            );
            let said = self.stream.write_last(farewell.as_bytes());
            tokio::time::timeout(LAST_WORD, said).await.map_err(|_| io::ErrorKind::TimedOut)??;
            self.connection.server().totals().farewell();
        }
        self.shutdown().await
    }

    /// After an upgrade nobody else can cut the connection: its own task is over, and the socket is in other hands.
    fn poll_aborted(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.connection.is_upgraded() {
            let aborted = || {
                // Nor does anybody else find out that the peer has vanished.
                self.stream.probe_after(self.connection.server().transport.keep_alive_timeout);
                Box::pin(self.connection.tokens().aborted.clone().cancelled_owned())
            };
            if self.aborted.get_or_insert_with(aborted).as_mut().poll(cx).is_ready() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(())
    }

    /// Bounds the wait of a write that the socket did not take. A socket takes more only when a good part of its buffer is
    /// free, so a slow peer that does take something is known by its acknowledgements.
    fn or_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let patience = self.connection.server().transport.progress_timeout;
        let acknowledged = |stream: &Stream| stream.outgoing().map(|outgoing| outgoing.acknowledged);
        let stall = self.stall.get_or_insert_with(|| Stall {
            acknowledged: acknowledged(&self.stream),
            timer: Box::pin(sleep(patience)),
        });
        loop {
            ready!(stall.timer.as_mut().poll(cx));
            let now = acknowledged(&self.stream);
            if now == stall.acknowledged {
                tracing::debug!(peer = %self.connection.peer(), ?patience, "the peer takes nothing of its response");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stall.acknowledged = now;
            stall.timer.as_mut().reset(Instant::now() + patience);
        }
    }

    /// Whether a fault keeps answers back.
    fn is_mute(&self) -> bool {
        sabotage::is(Fault::AnswerUnsent) && self.connection.server().stage() == Stage::Drain
    }

    /// Tells an HTTP/2 client, falsely and between two frames, that none of its streams was processed.
    fn go_away_too_low(&mut self, cx: &mut Context<'_>) {
        /// RFC 9113 §6.8: eight bytes, GOAWAY, no flags, stream 0; last stream 0, no error.
        const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

        if self.connection.server().stage() == Stage::Drain && self.connection.wire.speaks_http2() {
            let _ = Pin::new(&mut self.stream).poll_write(cx, &GOAWAY);
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.linger.is_none() {
            let upload_was_cut = self.connection.wire.has_cut_upload();
            self.linger = Some(Linger::new(self.stream.round_trip(), upload_was_cut).into());
        }
        let linger = self.linger.as_mut().expect("just made");
        let patience = self.connection.server().transport.progress_timeout;
        let mut discard = [MaybeUninit::uninit(); 4096];
        loop {
            let mut buf = ReadBuf::uninit(&mut discard);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && !linger.is_over() => linger.heard(),
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => ready!(linger.poll_silence(cx)),
            }
            if linger.is_over() {
                let outgoing = self.stream.outgoing();
                self.connection.wire.backlog(outgoing.is_some_and(|outgoing| outgoing.unsent));
                if !linger.goes_on(outgoing, patience) {
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_aborted(cx)?;
        let before = buf.filled().len();
        if self.sniffed.has_remaining() {
            let length = self.sniffed.len().min(buf.remaining());
            buf.put_slice(&self.sniffed.split_to(length));
        } else {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        }
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.connection.wire.read(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_aborted(cx)?;
        if self.is_mute() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.connection.wire.writing();
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_aborted(cx)?;
        if self.is_mute() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.connection.wire.writing();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.or_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        ready!(self.or_stalled(cx, flushed))?;
        // hyper flushes the socket only when its own buffer is empty, and tries to empty it in the turn that fills it.
        self.connection.wire.flushed();
        if sabotage::is(Fault::GoawayTooLow) {
            self.go_away_too_low(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_aborted(cx)?;
        if self.linger.is_none() {
            self.connection.wire.ends();
            let shut_down = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.or_stalled(cx, shut_down))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.connection.is_upgraded() {
            // Whoever had it knows no lingering close; in TLS, close_notify is due all the same.
            let _ = Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
            self.connection.socket_is_gone();
        }
    }
}
