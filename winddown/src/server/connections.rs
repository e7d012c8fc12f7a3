//! The connections of one server: waited for, counted, and listed for whoever asks what holds the stop.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{http::in_flight::RequestInfo, server::connection::Connection, sync::lock, totals::Totals};

/// The set. Everything that belongs to a connection holds a token of its tracker: its task, its HTTP/2 streams,
/// its socket, wherever an upgrade takes it, and what goes on behind its answers.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    tracker: TaskTracker,
    listed: Arc<Mutex<List>>,
}

/// The connections by their number, each with how many guards list it.
type List = HashMap<u64, (Arc<Connection>, usize)>;

impl Connections {
    pub(crate) fn tracker(&self) -> TaskTracker {
        self.tracker.clone()
    }

    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Lists a connection until the guard is dropped, and any other guard of it.
    pub(crate) fn list(&self, connection: Arc<Connection>) -> Listed {
        let id = connection.id();
        lock(&self.listed).entry(id).or_insert((connection, 0)).1 += 1;
        Listed { id, all: self.listed.clone() }
    }

    /// Lists a connection, and lets the drain wait for it, for whatever goes on behind an answer: its peer may leave before.
    pub(crate) fn hold(&self, connection: Arc<Connection>) -> (Listed, TaskTrackerToken) {
        (self.list(connection), self.token())
    }

    /// How many connections are listed.
    pub(crate) fn len(&self) -> usize {
        lock(&self.listed).len()
    }

    /// The requests that are being answered.
    pub(crate) fn requests(&self) -> Vec<Arc<RequestInfo>> {
        self.all().into_iter().flat_map(|connection| connection.requests()).collect()
    }

    /// Counts every request that is being answered as cut.
    pub(crate) fn cut_requests(&self, totals: &Totals) {
        for connection in self.all() {
            connection.cut_requests(totals);
        }
    }

    fn all(&self) -> Vec<Arc<Connection>> {
        lock(&self.listed).values().map(|(connection, _)| connection.clone()).collect()
    }

    /// Waits until nothing of any connection is left. No connection may be added any more.
    pub(crate) async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// See [`Connections::list`].
#[derive(Debug)]
pub(crate) struct Listed {
    id: u64,
    all: Arc<Mutex<List>>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        if let Entry::Occupied(mut listed) = all.entry(self.id) {
            listed.get_mut().1 -= 1;
            if listed.get().1 == 0 {
                listed.remove();
            }
        }
    }
}
