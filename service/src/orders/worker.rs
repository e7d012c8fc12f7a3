//! The task that settles orders, one after the other.
//!
//! From T0 on it takes nothing more from the outbox; it finishes the order that it has in its hands and hands back the
//! others that it holds. When the background phase runs out it hands back that one, too.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;
use winddown::Task;

use super::store::Store;

/// How many orders are taken at a time. Few, because whoever dies with them keeps them until the lease is over.
const BATCH: i64 = 16;

/// How often the outbox is looked at though nothing was placed here: another instance may have died, or handed back.
const POLL: Duration = Duration::from_secs(1);

/// How settling goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settling {
    /// How long an order that was taken belongs to this instance.
    pub(crate) lease: Duration,
    /// How long settling one takes, besides the database.
    pub(crate) takes: Duration,
}

impl Settling {
    /// Settles orders until the stop. No order is lost or settled twice wherever it is dropped; those that it held then wait
    /// for the end of their lease.
    pub(crate) async fn run(self, store: Store, task: Task) {
        let holder = Uuid::new_v4().to_string();
        tokio::select! {
            () = self.settle_until_told(&store, &holder, &task) => {}
            () = task.cancelled() => tracing::warn!("an order is not settled in time, and is left to the next instance"),
        }
        match store.hand_back(&holder).await {
            Ok(orders) => tracing::debug!(orders, "handed back"),
            Err(error) => tracing::error!(%error, lease = ?self.lease, "cannot hand back: orders wait for their lease"),
        }
    }

    async fn settle_until_told(self, store: &Store, holder: &str, task: &Task) {
        while !task.is_draining() {
            match self.settle_some(store, holder, task).await {
                Ok(0) => tokio::select! {
                    () = task.draining() => {}
                    () = store.placed() => {}
                    () = sleep(POLL) => {}
                },
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot settle orders, trying again");
                    tokio::select! {
                        () = task.draining() => {}
                        () = sleep(POLL) => {}
                    }
                }
            }
        }
    }

    /// Takes a few orders and settles them, until told to stop. Returns how many it took.
    async fn settle_some(self, store: &Store, holder: &str, task: &Task) -> Result<usize, sqlx::Error> {
        let ids = store.claim(holder, BATCH, self.lease).await?;
        for id in ids.iter().take_while(|_| !task.is_draining()) {
            sleep(self.takes).await;
            if !store.settle(id).await? {
                tracing::warn!(order = id, lease = ?self.lease, "somebody else settled it: raise SETTLE_LEASE");
            }
        }
        Ok(ids.len())
    }
}
