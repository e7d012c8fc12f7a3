//! A server that was started: waited for, and cut when its time is over.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// How long what was aborted may take to go, at the most: the end of the cancel grace is kept for it. Dropping a future
/// takes no time, getting the worker that must do it may; a blocked one is left behind.
pub(crate) const ABORT: Duration = Duration::from_millis(100);

/// The cancel grace in two: from the word to the abort, and from there to the end of it.
pub(crate) fn halves(cancel_grace: Duration) -> (Duration, Duration) {
    let abort = ABORT.min(cancel_grace / 2);
    (cancel_grace.saturating_sub(abort), abort)
}

/// A server that was started, and the token that is cancelled at its end.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) server: Arc<Server>,
    pub(crate) ended: CancellationToken,
}

impl Running {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, ended: CancellationToken::new() }
    }

    /// Waits for the end of a server that drains. When `give_up` comes first, cancels what is left, and aborts it so that it
    /// is gone within `cancel_grace`. Returns whether nothing had to be cancelled.
    pub(crate) async fn drained(&self, give_up: impl Future<Output = ()>, cancel_grace: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => return true,
            () = give_up => self.server.tokens.cancel(),
        }
        let (cancel_grace, abort) = halves(cancel_grace);
        if !self.ends_within(cancel_grace).await {
            self.server.tokens.abort();
            if !self.ends_within(abort).await {
                self.server.leave_behind();
            }
        }
        false
    }

    async fn ends_within(&self, time: Duration) -> bool {
        timeout(time, self.ended.cancelled()).await.is_ok()
    }
}
