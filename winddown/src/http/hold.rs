//! What goes on behind an answer: a WebSocket, a tunnel, a job that its client did not wait for.

use crate::http::in_flight::InFlight;

/// Keeps a request in flight after its answer: the drain waits for it, `/shutdown` lists it, and the report names it when
/// a deadline cuts it. Made by [`Draining::hold`](crate::Draining::hold); what it stands for is over when it is dropped.
///
/// For an upgrade that is no WebSocket, hold it for as long as you have the socket:
///
/// ```
/// use axum::{extract::Request, http::{StatusCode, header::{CONNECTION, UPGRADE}}, response::IntoResponse};
/// use winddown::Draining;
///
/// async fn tunnel(draining: Draining, request: Request) -> impl IntoResponse {
///     let hold = draining.hold();
///     tokio::spawn(async move {
///         if let Ok(socket) = hyper::upgrade::on(request).await {
///             carry(socket, draining).await;
///         }
///         drop(hold);
///     });
///     (StatusCode::SWITCHING_PROTOCOLS, [(CONNECTION, "upgrade"), (UPGRADE, "tunnel")])
/// }
/// # async fn carry(socket: hyper::upgrade::Upgraded, draining: Draining) {}
/// ```
#[derive(Debug)]
pub struct Hold {
    /// `None` outside of a server.
    guard: Option<InFlight>,
}

impl Hold {
    pub(super) fn new(guard: Option<InFlight>) -> Self {
        Self { guard }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.guard
            && !guard.is_aborted()
        {
            guard.completed();
        }
    }
}
