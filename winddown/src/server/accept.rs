//! The accept loop of one server, from the first connection to the lossless close.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use crate::{
    http::{peer::Peer, timing::Clocks},
    sabotage::{self, Fault},
    server::{
        Server,
        close::{self, ListenerReport, OUT_OF_RESOURCES, is_the_peers},
        descriptors, drive,
        listener::{Listener, Listening},
        stream::Stream,
    },
};

/// `router` as every connection clones it: handlers become services once and not at every request, and each route has a clock.
pub(crate) fn prepared(router: Router) -> Router {
    router.with_state(()).layer(Clocks)
}

/// Accepts until the server closes, closes the listener, and waits for the last connection.
pub(crate) async fn serve(server: Arc<Server>, mut listener: Listener, router: Router) -> io::Result<ListenerReport> {
    let spawn = |stream: Stream, peer: Peer, slot: Option<OwnedSemaphorePermit>| {
        let serve = drive::run(stream, peer, server.clone(), router.clone(), slot);
        server.connections.tracker().spawn(serve);
    };
    tokio::select! {
        biased;
        () = server.tokens.closing.cancelled() => {}
        () = accept_all(&server, &listener.socket, spawn) => {}
        () = server.keep_certificate_fresh() => {}
    }
    if sabotage::is(Fault::PlainClose) {
        server.connections.drained().await;
        listener = listener.shared(); // it is not emptied then
    }
    // Whoever probes or scrapes comes again.
    let window = if server.admin { Duration::ZERO } else { server.transport.handshake_window };
    // Nobody can join those who wait in the queue now, so they all come in, whatever the limit.
    let accepted = |stream, peer| spawn(stream, peer, None);
    let report = close::close(server.name.clone(), listener, window, &server.tokens.cancelled, accepted).await;
    // Whatever became of the listener: what was accepted is served.
    server.connections.drained().await;
    let report = report?;
    tracing::info!(
        server = report.server, window = ?report.window, saved = report.saved, closed = ?report.closed,
        "listener closed"
    );
    Ok(report)
}

/// Accepts for as long as it is polled. An error of one connection is not the server's. Cancel safe.
async fn accept_all(server: &Server, listener: &Listening, spawn: impl Fn(Stream, Peer, Option<OwnedSemaphorePermit>)) {
    let (name, mut full, mut out_of_resources) = (&server.name, Complaint::default(), Complaint::default());
    let limit = server.transport.max_connections.filter(|_| !server.admin);
    let slots = limit.map(|limit| Arc::new(Semaphore::new(limit.get().min(Semaphore::MAX_PERMITS))));
    loop {
        let slot = match &slots {
            Some(slots) => Some(free_slot(server, slots, &mut full).await),
            None => None,
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let is_of_the_last = !server.admin && descriptors::is_of_the_last(&stream);
                spawn(stream, peer, slot);
                if is_of_the_last {
                    descriptors_to_spare(name, listener, &mut out_of_resources).await;
                }
            }
            Err(error) if is_the_peers(&error) => {
                tracing::debug!(server = name, %error, "a connection was gone at once");
            }
            Err(error) => {
                if out_of_resources.is_due() {
                    tracing::error!(server = name, %error, "cannot accept; newcomers wait in the queue");
                }
                sleep(OUT_OF_RESOURCES).await;
            }
        }
    }
}

/// Waits until one more connection is allowed. Cancel safe.
async fn free_slot(server: &Server, slots: &Arc<Semaphore>, full: &mut Complaint) -> OwnedSemaphorePermit {
    if slots.available_permits() == 0 && full.is_due() {
        let limit = server.transport.max_connections;
        tracing::warn!(server = server.name, limit, "no more connections are allowed; newcomers wait in the queue");
    }
    slots.clone().acquire_owned().await.expect("the semaphore is never closed")
}

/// Waits until a new connection would not take one of the last descriptors. Cancel safe.
async fn descriptors_to_spare(server: &str, listener: &Listening, out_of_resources: &mut Complaint) {
    while descriptors::are_scarce(listener) {
        if out_of_resources.is_due() {
            tracing::error!(server, "few descriptors are left; newcomers wait in the queue");
        }
        sleep(OUT_OF_RESOURCES).await;
    }
}

/// Something that may be wrong many times a second, and is said at most every ten.
#[derive(Default)]
pub(super) struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    const EVERY: Duration = Duration::from_secs(10);

    pub(super) fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= Self::EVERY);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_complaint_is_made_at_once_and_then_rarely() {
        let mut complaint = Complaint::default();
        assert!(complaint.is_due());
        for _ in 0..9 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!complaint.is_due());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(complaint.is_due());
    }
}
