//! What is known of one connection: who, what is under way on it, and whether one more request is admitted.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{
            AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use http::{Response, Version};
use hyper::upgrade::OnUpgrade;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    http::{
        admission::{Door, Stage, Token},
        in_flight::RequestInfo,
        peer::Peer,
        service::connection_close,
    },
    server::{Server, wire::Wire},
    sync::lock,
    tokens::Tokens,
    totals::Totals,
};

/// A connection on which no request is being answered, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// The client's address; of a Unix socket, its process.
    pub peer: String,
    /// How long ago it was accepted.
    #[serde(rename = "age_seconds", serialize_with = "crate::report::seconds")]
    pub age: Duration,
}

/// One connection. Shared by the task that drives it, its requests, and whoever asks what is going on.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    peer: Peer,
    pub(crate) accepted: Instant,
    server: Arc<Server>,
    requests: Mutex<Vec<Arc<RequestInfo>>>,
    /// How many these are: written behind the lock, and read without it at every turn of the connection's task.
    serving: AtomicUsize,
    pub(super) wire: Wire,
    /// Closed when the connection's own task has seen that its server closes.
    door: Door,
    rejected: AtomicU32,
    /// The last offer of another protocol, until it is known what became of it.
    offered: Mutex<Option<OnUpgrade>>,
    /// Another protocol was agreed upon: cancelled when whoever speaks it lets the socket go.
    upgraded: OnceLock<CancellationToken>,
}

impl Connection {
    pub(crate) fn new(peer: Peer, server: Arc<Server>) -> Self {
        // One count for the whole process, so that an audit log of several servers stays unambiguous.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Nobody told the client of a connection that still waited in the accept queue.
        let door = Door::new(u32::from(server.stage() == Stage::Drain));
        Self {
            id: NEXT.fetch_add(1, Relaxed),
            peer,
            accepted: Instant::now(),
            server,
            requests: Mutex::default(),
            serving: AtomicUsize::new(0),
            wire: Wire::default(),
            door,
            rejected: AtomicU32::new(0),
            offered: Mutex::default(),
            upgraded: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The news of the stop.
    pub(crate) fn tokens(&self) -> &Tokens {
        self.server.twig(self.id)
    }

    /// Admission of the request that hyper has just parsed.
    ///
    /// The gate closes for a connection when its own task has seen it close: what hyper parsed before or in the same
    /// turn had arrived in time. Afterwards only a pass helps.
    pub(crate) fn admit(&self) -> Option<Token> {
        self.door.admit(&self.server.gate, self.id)
    }

    /// The connection's task has seen its server close, when `in_time` requests were under way.
    pub(super) fn close(&self, in_time: u32) {
        self.door.close(&self.server.gate, self.id, in_time);
    }

    /// The client offers to go on in another protocol.
    pub(crate) fn upgrade_is_offered(&self, offer: OnUpgrade) {
        *lock(&self.offered) = Some(offer);
    }

    /// The offer is taken: what comes behind this answer is no HTTP.
    pub(crate) fn upgrade_is_taken(&self) {
        self.take_offer();
        let _ = self.upgraded.set(CancellationToken::new());
    }

    /// An offer that nobody took.
    pub(super) fn take_offer(&self) -> Option<OnUpgrade> {
        lock(&self.offered).take()
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.get().is_some()
    }

    pub(super) fn socket_is_gone(&self) {
        if let Some(upgraded) = self.upgraded.get() {
            upgraded.cancel();
        }
    }

    /// Resolves when nobody has the socket of an upgrade any more.
    pub(super) async fn upgrade_ended(&self) {
        if let Some(upgraded) = self.upgraded.get() {
            upgraded.cancelled().await;
        }
    }

    /// Requests are admitted until [`Connection::close`] comes again.
    pub(super) fn open_until_told(&self) {
        self.door.open();
    }

    pub(crate) fn request_begins(&self, length: Option<u64>) {
        self.wire.request(length);
    }

    pub(crate) fn upload_begins(&self) {
        self.wire.upload_begins();
    }

    /// A request body is given up before its end.
    pub(crate) fn cut_upload(&self) {
        self.wire.cut_upload();
    }

    pub(crate) fn upload_ends(&self) {
        self.wire.upload_ends();
    }

    pub(crate) fn enter(&self, request: Arc<RequestInfo>) {
        let mut requests = lock(&self.requests);
        requests.push(request);
        self.serving.store(requests.len(), Release);
    }

    pub(crate) fn leave(&self, request: &Arc<RequestInfo>) {
        let mut requests = lock(&self.requests);
        requests.retain(|other| !Arc::ptr_eq(other, request));
        self.serving.store(requests.len(), Release);
    }

    /// Whether a request is being answered.
    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Acquire) > 0
    }

    /// Whether a request or somebody who reads its body is at work, an answer has not left yet, or another protocol is
    /// spoken.
    pub(super) fn is_busy(&self) -> bool {
        let wire = &self.wire;
        let unsaid = wire.has_uploads() || wire.has_unflushed() || wire.has_backlog();
        self.is_serving() || unsaid || self.is_upgraded()
    }

    /// The requests that are being answered on it.
    pub(super) fn requests(&self) -> Vec<Arc<RequestInfo>> {
        lock(&self.requests).clone()
    }

    /// Counts those requests as cut.
    pub(super) fn cut_requests(&self, totals: &Totals) {
        for request in lock(&self.requests).iter() {
            request.cut(totals);
        }
    }

    /// Adds `Connection: close` when it is time for it.
    ///
    /// In the lame duck with a probability that rises to 1 by half of it, so that not all clients reconnect at once;
    /// from then on always, except before a request that was pipelined behind this one: it would lose its answer.
    pub(crate) fn say_close<B>(&self, version: Version, response: &mut Response<B>) {
        let share = match self.server.stage() {
            Stage::Running => return,
            Stage::LameDuck => self.server.lame_duck_elapsed() * 2.0,
            Stage::Drain => 1.0,
        };
        if fastrand::f64() < share && !self.wire.may_have_more() {
            connection_close(version, response);
        }
    }

    /// The same for a request that was not admitted. A client that pipelines on and on is told in the end, and so is one
    /// whose heads are of a kind that the counts of [`Wire`] do not follow.
    pub(crate) fn say_close_rejected<B>(&self, version: Version, response: &mut Response<B>) {
        /// Far more than anybody pipelines who then waits for the answers.
        const MOST: u32 = 100;

        if self.rejected.fetch_add(1, Relaxed) >= MOST {
            connection_close(version, response);
        } else {
            self.say_close(version, response);
        }
    }

    /// How long the peer must be silent before its idle connection is closed: twice its round trip, so that what it
    /// wrote before it could know has arrived. At least 10 ms, at the most `idle_grace`.
    pub(super) fn idle_grace(&self, round_trip: Option<Duration>) -> Duration {
        let grace = round_trip.unwrap_or_default() * 2;
        grace.max(Duration::from_millis(10)).min(self.server.transport.idle_grace)
    }
}

#[cfg(test)]
mod tests;
