//! The accept loop of one server, from the first connection to the lossless close.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::server::{
    Server, connection,
    listener::{self, ListenerReport, OUT_OF_RESOURCES, is_the_peers},
};

/// Accepts until the server closes, closes the listener, and waits for the last connection.
pub(crate) async fn serve(server: Arc<Server>, listener: TcpListener, router: Router) -> io::Result<ListenerReport> {
    let spawn = |stream: TcpStream, peer: SocketAddr| {
        // Small answers must not wait for the peer's acknowledgement of the previous one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "TCP_NODELAY is not to be had");
        }
        let serve = connection::run(stream, peer.to_string(), server.clone(), router.clone());
        server.connections.tracker().spawn(serve);
    };
    loop {
        tokio::select! {
            biased;
            () = server.tokens.closing.cancelled() => break,
            (stream, peer) = accept(&server.name, &listener) => spawn(stream, peer),
        }
    }
    // Whoever probes or scrapes comes again.
    let window = if server.admin { Duration::ZERO } else { server.transport.handshake_window };
    let report = listener::close(server.name.clone(), listener, window, &server.tokens.cancelled, spawn).await;
    // Whatever became of the listener: what was accepted is served.
    server.connections.drained().await;
    let report = report?;
    tracing::info!(server = report.server, window = ?report.window, saved = report.saved, closed = ?report.closed, "listener closed");
    Ok(report)
}

/// The next connection. An error of one connection is not the server's. Cancel safe.
async fn accept(server: &str, listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_the_peers(&error) => tracing::debug!(server, %error, "a connection was gone at once"),
            Err(error) => {
                tracing::error!(server, %error, "cannot accept, will try again");
                sleep(OUT_OF_RESOURCES).await;
            }
        }
    }
}
