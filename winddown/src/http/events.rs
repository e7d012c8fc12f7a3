//! Server-sent events that end when the service stops.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::response::sse::Event;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::server::connection::Connection;

pin_project! {
    /// Events until the stop is asked for; see [`Draining::events`](crate::Draining::events).
    ///
    /// Then comes one without data that sets the client's `retry:` time, and a clean end. The time is the client's own, so
    /// that not all come back at once, and it falls where WebSockets are told to go: into the second half of the lame duck,
    /// when balancers have looked away. A browser comes back by itself, with `Last-Event-ID`.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use axum::response::{Sse, sse::{Event, KeepAlive}};
    /// use futures_util::{Stream, stream};
    /// use winddown::Draining;
    ///
    /// async fn news(draining: Draining) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    ///     let events = stream::pending(); // whatever there is to tell
    ///     Sse::new(draining.events(events)).keep_alive(KeepAlive::default())
    /// }
    /// ```
    #[derive(Debug)]
    pub struct Events<S> {
        #[pin]
        stream: S,
        #[pin]
        draining: WaitForCancellationFutureOwned,
        // `None` outside of a server.
        connection: Option<Arc<Connection>>,
        ended: bool,
    }
}

impl<S> Events<S> {
    pub(super) fn new(
        stream: S,
        draining: WaitForCancellationFutureOwned,
        connection: Option<Arc<Connection>>,
    ) -> Self {
        Self { stream, draining, connection, ended: false }
    }
}

impl<S, E> Stream for Events<S>
where
    S: Stream<Item = Result<Event, E>>,
{
    type Item = Result<Event, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        // First: a stream that is never idle must end, too. What it has not told yet it tells elsewhere.
        if this.draining.poll(cx).is_ready() {
            *this.ended = true;
            let back = this.connection.as_ref().map_or(Duration::ZERO, |connection| {
                connection.server().goodbye_at().saturating_duration_since(Instant::now())
            });
            return Poll::Ready(Some(Ok(Event::default().retry(back))));
        }
        let next = this.stream.poll_next(cx);
        *this.ended = matches!(next, Poll::Ready(None));
        next
    }
}
