//! How a handler that lives long learns that the service stops.

use std::{convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use futures_core::Stream;
use http::{Extensions, request::Parts};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    http::{
        events::Events,
        hold::Hold,
        in_flight::{InFlight, RequestInfo},
    },
    tokens::Tokens,
};

/// An extractor for handlers that stream, poll or wait: tells them when to come to an end.
///
/// ```
/// use winddown::Draining;
///
/// async fn long_poll(draining: Draining) -> &'static str {
///     tokio::select! {
///         () = news() => "news",
///         () = draining.draining() => "no news, ask again elsewhere",
///     }
/// }
/// # async fn news() {}
/// ```
///
/// Outside of a server of [`Shutdown`](crate::Shutdown), in a test of a router for example, nothing ever drains.
#[derive(Clone, Debug)]
pub struct Draining {
    /// `None` outside of a server.
    request: Option<Arc<RequestInfo>>,
}

impl Draining {
    /// The same without an extractor: for layers, and for services of other crates that see a request's extensions, as those of
    /// tonic do.
    pub fn of(extensions: &Extensions) -> Self {
        Self { request: extensions.get().cloned() }
    }

    /// Resolves at T0, when the stop was asked for, and not only in the phase `drain`: come to a good end soon. Cancel safe.
    pub fn draining(&self) -> WaitForCancellationFutureOwned {
        self.token(|tokens| &tokens.draining).cancelled_owned()
    }

    /// Whether the stop was asked for.
    pub fn is_draining(&self) -> bool {
        self.has(|tokens| &tokens.draining)
    }

    /// Resolves at the drain's deadline, or when the stop is forced: answer now, for after the cancel grace the request is cut.
    /// Cancel safe.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.token(|tokens| &tokens.cancelled).cancelled_owned()
    }

    /// Whether the deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.has(|tokens| &tokens.cancelled)
    }

    /// `events` until T0, and then a last one that sends the client elsewhere at a moment of its own.
    pub fn events<S: Stream>(&self, events: S) -> Events<S> {
        Events::new(events, self.draining(), self.request.as_ref().map(|request| request.connection.clone()))
    }

    /// Keeps the request in flight for as long as what is returned lives, for work that goes on behind its answer. Take it
    /// before you answer.
    pub fn hold(&self) -> Hold {
        Hold::new(self.request.as_deref().map(InFlight::behind))
    }

    fn tokens(&self) -> Option<&Tokens> {
        self.request.as_ref().map(|request| request.connection.tokens())
    }

    fn has(&self, which: impl FnOnce(&Tokens) -> &CancellationToken) -> bool {
        self.tokens().is_some_and(|tokens| which(tokens).is_cancelled())
    }

    fn token(&self, which: impl FnOnce(&Tokens) -> &CancellationToken) -> CancellationToken {
        self.tokens().map_or_else(CancellationToken::new, |tokens| which(tokens).clone())
    }

    /// Resolves when what is still there is cut.
    #[cfg(feature = "ws")]
    pub(super) fn aborted(&self) -> WaitForCancellationFutureOwned {
        self.token(|tokens| &tokens.aborted).cancelled_owned()
    }

    /// Resolves when it is time to tell the client.
    #[cfg(feature = "ws")]
    pub(super) async fn goodbye(self) {
        self.draining().await;
        if let Some(request) = &self.request {
            tokio::time::sleep_until(request.connection.server().goodbye_at()).await;
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Draining {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}
