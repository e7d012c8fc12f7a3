//! The way of one connection through a server: TLS, sniff, serve, end.

use std::sync::Arc;

use axum::Router;
use tokio::sync::OwnedSemaphorePermit;
#[cfg(feature = "tls")]
use tokio::time::Instant;

use crate::{
    http::{peer::Peer, service::RequestService},
    server::{
        Server,
        called::WhenCalled,
        connection::Connection,
        h1, h2,
        io::{Close, Io},
        sniff::{self, Protocol},
        stream::Stream,
    },
    totals::Closed,
};

/// Drives one accepted connection to its end, and that of whatever protocol it was upgraded to.
pub(super) async fn run(
    stream: Stream,
    peer: Peer,
    server: Arc<Server>,
    router: Router,
    _slot: Option<OwnedSemaphorePermit>,
) {
    let connection = Arc::new(Connection::new(peer, server.clone()));
    let _listed = server.connections.list(connection.clone());
    let serve = async {
        let how = serve(stream, &connection, router).await;
        if !connection.is_upgraded() {
            return how;
        }
        connection.upgrade_ended().await;
        // Whoever had the socket was cut off from it.
        if connection.tokens().aborted.is_cancelled() { Closed::Forced } else { how }
    };
    let how = tokio::select! {
        biased;
        how = serve => how,
        // Nothing is cut on one that only lingers, or is idle.
        () = WhenCalled::new(connection.tokens().aborted.cancelled()) => {
            if connection.is_busy() { Closed::Forced } else { Closed::Idle }
        }
    };
    if !server.admin {
        server.totals().closed(how);
    }
}

async fn serve(stream: Stream, connection: &Arc<Connection>, router: Router) -> Closed {
    #[cfg(feature = "tls")]
    let (stream, since) = match secure(stream, connection).await {
        Ok(secured) => secured,
        Err(how) => return how,
    };
    #[cfg(not(feature = "tls"))]
    let since = connection.accepted;
    let io = Io::new(stream, connection.clone());
    let service = RequestService::new(router, connection.clone());
    let to_close = match sniff::protocol(io, connection, since).await {
        Protocol::Http1(io) => h1::serve(io, connection, service).await,
        // Boxed: most connections are HTTP/1, and an idle one must not hold the room of HTTP/2's state.
        Protocol::Http2(io) => return Box::pin(h2::serve(io, connection, service)).await,
        Protocol::Silent(io) => Some((io, Close::Quietly)),
        Protocol::TooSlow(io) => Some((io, Close::RequestTimeout)),
        Protocol::Gone => None,
    };
    match to_close {
        Some((io, how)) => end(io, how).await,
        None => Closed::Graceful,
    }
}

/// Takes the TLS handshake to its end where there is to be one. Says since when the connection is open for HTTP.
///
/// A handshake has as long as a slow head, also when the server closes meanwhile; then one request is still served: for
/// its client, the connection was there in time.
#[cfg(feature = "tls")]
async fn secure(socket: Stream, connection: &Arc<Connection>) -> Result<(Stream, Instant), Closed> {
    let server = connection.server();
    let Some(tls) = server.tls.as_ref() else { return Ok((socket, connection.accepted)) };
    if !sniff::first_byte(&socket, connection).await {
        return Err(Closed::Idle);
    }
    // Boxed, as HTTP/2 is: it is large, and soon over.
    let handshake = Box::pin(tls.handshake(socket, connection.clone()));
    match tokio::time::timeout(server.transport.header_timeout(), handshake).await {
        Ok(Ok(stream)) => {
            if connection.tokens().closing.is_cancelled() {
                connection.close(1);
            }
            Ok((stream, Instant::now()))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, peer = %connection.peer(), "no TLS handshake");
            Err(Closed::Graceful)
        }
        Err(_) => Err(Closed::Idle),
    }
}

/// Ends a connection on which nothing is under way.
async fn end(io: Io, how: Close) -> Closed {
    if let Err(error) = io.close(how).await {
        tracing::debug!(%error, "the peer was gone before it could be told");
    }
    Closed::Idle
}
