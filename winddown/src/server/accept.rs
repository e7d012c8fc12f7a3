//! The accept loop of one server, from the first connection to the lossless close.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::server::{
    Server, connection,
    listener::{self, ListenerReport},
};

/// How long accepting rests when the process is out of descriptors or memory; the queue holds newcomers meanwhile.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);

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
    let report = listener::close(server.name.clone(), listener, window, spawn).await?;
    tracing::info!(server = report.server, window = ?report.window, saved = report.saved, closed = ?report.closed, "listener closed");
    server.connections.drained().await;
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

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
