//! How news of the stop travels: a tree of [`CancellationToken`]s, root → server → twig, which some of its connections share.
//!
//! Each node knows four moments. They only ever happen, in this order, and a child learns of whatever its parent
//! learned:
//!
//! | moment | when | who listens |
//! |---|---|---|
//! | `draining` | T0, the stop was asked for | handlers that live long, background tasks, HTTP/2 connections |
//! | `closing` | the lame duck is over | accept loops, connections |
//! | `cancelled` | the deadline | handlers and tasks: finish now or be cut |
//! | `aborted` | the cancel grace is over | whoever owns a future: drop it |
//!
//! # Invariant
//!
//! 1. Neither a connection nor a request makes a token. A child locks its parent when it is made and when it is dropped, and all
//!    requests of a server would meet at that lock; and a tree of ten thousand leaves takes ten times as long to cancel.

use tokio_util::sync::CancellationToken;

/// A node of the tree that can be told to stop on its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) draining: CancellationToken,
    pub(crate) closing: CancellationToken,
    pub(crate) cancelled: CancellationToken,
    pub(crate) aborted: CancellationToken,
}

impl Tokens {
    /// A node below this one: a server, or the set of background tasks.
    pub(crate) fn child(&self) -> Self {
        Self {
            draining: self.draining.child_token(),
            closing: self.closing.child_token(),
            cancelled: self.cancelled.child_token(),
            aborted: self.aborted.child_token(),
        }
    }

    pub(crate) fn close(&self) {
        self.draining.cancel();
        self.closing.cancel();
    }

    pub(crate) fn cancel(&self) {
        self.close();
        self.cancelled.cancel();
    }

    pub(crate) fn abort(&self) {
        self.cancel();
        self.aborted.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_can_be_stopped_alone_and_the_root_stops_all() {
        let root = Tokens::default();
        let (one, two) = (root.child(), root.child());
        let connection = one.cancelled.child_token();

        one.cancel();
        assert!(connection.is_cancelled() && one.draining.is_cancelled());
        assert!(!two.draining.is_cancelled() && !root.draining.is_cancelled());

        root.abort();
        assert!(two.aborted.is_cancelled());
    }

    #[test]
    fn a_connection_that_ends_tells_nobody() {
        let server = Tokens::default().child();
        drop(server.cancelled.child_token());
        assert!(!server.cancelled.is_cancelled());
    }
}
