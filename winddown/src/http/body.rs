//! Bodies that hold a request in flight for as long as they live.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::{
    http::{admission::Stage, in_flight::InFlight},
    sabotage::{self, Fault},
    server::connection::Connection,
};

/// HTTP/2 is given no more at a time. It takes a frame when the client has room for a byte of it, and keeps the rest to itself:
/// with large frames a request would be over long before its answer has left.
const PIECE: usize = 16 << 10;

/// A response body and the guard of its request. hyper drops it when the body's last frame is on its way.
#[derive(Debug)]
pub(crate) struct TrackedBody {
    body: Body,
    /// What is left of a frame that is handed over in pieces.
    rest: Bytes,
    in_pieces: bool,
    guard: Option<InFlight>,
    /// What a `Content-Length` leaves; hyper asks for nothing behind it.
    left: Option<u64>,
}

impl TrackedBody {
    pub(crate) fn guarded(body: Body, length: Option<u64>, in_pieces: bool, guard: InFlight) -> Self {
        let left = length.or_else(|| body.size_hint().exact());
        Self { body, rest: Bytes::new(), in_pieces, guard: Some(guard), left }
    }

    /// The body of an answer that nobody has to wait for.
    pub(crate) fn free(body: Body) -> Self {
        Self { body, rest: Bytes::new(), in_pieces: false, guard: None, left: None }
    }
}

impl TrackedBody {
    fn is_streamed_into_the_drain(&self) -> bool {
        let drains = |guard: &InFlight| guard.connection().server().stage() == Stage::Drain;
        self.left.is_none() && self.guard.as_ref().is_some_and(drains)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let most = if self.in_pieces { PIECE } else { usize::MAX };
        let piece = self.rest.split_to(self.rest.len().min(most));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if sabotage::is(Fault::BodyBroken) && self.is_streamed_into_the_drain() {
            return Poll::Ready(Some(Err(axum::Error::new("sabotage"))));
        }
        if sabotage::is(Fault::BodyEndsEarly) && self.is_streamed_into_the_drain() {
            return Poll::Ready(None);
        }
        let frame = ready!(self.poll_piece(cx));
        // hyper asks `is_end_stream` after each frame and does not poll again when it is true, so that `None` may
        // never be seen.
        let over = match &frame {
            // A body that ends before its length is cut short, and hyper ends its connection for it.
            None => self.left.is_none_or(|left| left == 0),
            Some(Err(_)) => false,
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(data));
                self.left == Some(0) || frame.is_trailers() || self.is_end_stream()
            }
        };
        if let (true, Some(guard)) = (over, &mut self.guard) {
            guard.completed();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// A request body that keeps its connection busy: while somebody may still read it, the bytes on the wire are its
/// own, and the connection must not be taken for an idle one.
#[derive(Debug)]
pub(crate) struct Upload<B: HttpBody> {
    body: B,
    /// It was read to its end.
    whole: bool,
    connection: Arc<Connection>,
    /// Somebody waits for more; fires when that has gone on for too long.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What whoever reads a request body is told when nothing more of it comes.
#[derive(Debug, thiserror::Error)]
#[error("no byte of the request body came for {0:?}")]
struct Stalled(Duration);

impl<B: HttpBody> Upload<B> {
    pub(crate) fn new(body: B, connection: Arc<Connection>) -> Self {
        connection.upload_begins();
        Self { body, whole: false, connection, stalled: None }
    }
}

impl<B> HttpBody for Upload<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let patience = self.connection.server().transport.progress_timeout;
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
            return stalled.as_mut().poll(cx).map(|()| Some(Err(Stalled(patience).into())));
        };
        self.stalled = None;
        self.whole |= frame.is_none();
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: HttpBody> Drop for Upload<B> {
    fn drop(&mut self) {
        if !self.whole && !self.body.is_end_stream() {
            self.connection.cut_upload();
        }
        self.connection.upload_ends();
    }
}
