//! How a handler that lives long learns that the service stops.

use std::{convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{http::in_flight::RequestInfo, server::connection::Connection};

/// What a request carries through the router.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) request: Arc<RequestInfo>,
    pub(crate) connection: Arc<Connection>,
}

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
    draining: CancellationToken,
    cancelled: CancellationToken,
}

impl Draining {
    /// Resolves at T0, when the stop was asked for: come to a good end soon. Cancel safe.
    pub fn draining(&self) -> WaitForCancellationFutureOwned {
        self.draining.clone().cancelled_owned()
    }

    /// Whether the stop was asked for.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Resolves at the drain's deadline: answer now, for after the cancel grace the request is cut. Cancel safe.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.cancelled.clone().cancelled_owned()
    }

    /// Whether the deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}

impl<S: Sync> FromRequestParts<S> for Draining {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(match parts.extensions.get::<RequestContext>() {
            Some(RequestContext { connection, .. }) => Self {
                draining: connection.server().tokens.draining.clone(),
                cancelled: connection.cancelled().clone(),
            },
            None => Self { draining: CancellationToken::new(), cancelled: CancellationToken::new() },
        })
    }
}
