//! The connections of one server: waited for, counted, and listed for whoever asks what holds the stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{http::in_flight::RequestInfo, server::connection::Connection, totals::Totals};

/// The set. Everything that belongs to a connection holds a token of its tracker: its task, its HTTP/2 streams, and
/// its socket, wherever an upgrade takes it.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    tracker: TaskTracker,
    listed: Arc<Mutex<HashMap<u64, Arc<Connection>>>>,
}

impl Connections {
    pub(crate) fn tracker(&self) -> TaskTracker {
        self.tracker.clone()
    }

    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Lists a connection until the guard is dropped.
    pub(crate) fn list(&self, connection: Arc<Connection>) -> Listed {
        let id = connection.id();
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).insert(id, connection);
        Listed { id, all: self.listed.clone() }
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The requests that are being answered, each with its connection.
    pub(crate) fn requests(&self) -> Vec<(Arc<RequestInfo>, Arc<Connection>)> {
        let of = |connection: Arc<Connection>| {
            connection.requests().into_iter().map(move |request| (request, connection.clone()))
        };
        self.all().into_iter().flat_map(of).collect()
    }

    /// Counts every request that is being answered as cut.
    pub(crate) fn cut_requests(&self, totals: &Totals) {
        for connection in self.all() {
            connection.cut_requests(totals);
        }
    }

    fn all(&self) -> Vec<Arc<Connection>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
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
    all: Arc<Mutex<HashMap<u64, Arc<Connection>>>>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
