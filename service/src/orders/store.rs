//! Orders as the database keeps them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use tokio::sync::Notify;
use uuid::Uuid;

use super::database::{Database, Pools, bounded};

/// Orders and what is to be done for them. Cheap to clone: every clone is the same store.
///
/// Every method is bounded in time, and changes all that it says or nothing, also when it is dropped half-way.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pools: Pools,
    placed: Arc<Notify>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) item: String,
    pub(crate) quantity: i64,
}

/// An order as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) key: String,
    #[serde(flatten)]
    pub(crate) wanted: Wanted,
    pub(crate) status: String,
    /// How many settlements there are: 0 or 1, ever.
    pub(crate) settlements: i64,
}

/// What became of a request to place an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is there now, and will be settled.
    First(Order),
    /// This key has an order already. Whether it is for the same is for the caller to see.
    Before(Order),
}

type Row = (String, String, String, i64, String, i64);

macro_rules! select_orders {
    ($rest:literal) => {
        concat!(
            "SELECT id, idempotency_key, item, quantity, status, ",
            "(SELECT COUNT(*) FROM settlements WHERE order_id = id) AS settlements FROM orders ",
            $rest
        )
    };
}

impl Store {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub(crate) async fn open(database: &Database) -> Result<Self, String> {
        Ok(Self { pools: database.open().await?, placed: Arc::default() })
    }

    /// Places an order, once for each key. When this returns, it is committed.
    pub(crate) async fn place(&self, key: &str, wanted: Wanted) -> Result<Placed, sqlx::Error> {
        bounded(async {
            let mut transaction = self.pools.begin().await?;
            let id = Uuid::now_v7().to_string();
            let inserted = query(
                "INSERT INTO orders (id, idempotency_key, item, quantity, status) VALUES ($1, $2, $3, $4, 'accepted') \
                 ON CONFLICT (idempotency_key) DO NOTHING",
            )
            .bind(&id)
            .bind(key)
            .bind(&wanted.item)
            .bind(wanted.quantity)
            .execute(&mut *transaction)
            .await?;
            if inserted.rows_affected() == 0 {
                transaction.rollback().await?;
                let before = query_as::<_, Row>(select_orders!("WHERE idempotency_key = $1")).bind(key);
                return Ok(Placed::Before(Order::from(before.fetch_one(&self.pools.reads).await?)));
            }
            query("INSERT INTO outbox (order_id) VALUES ($1)").bind(&id).execute(&mut *transaction).await?;
            let order = Order { id, key: key.into(), wanted, status: "accepted".into(), settlements: 0 };
            #[cfg(feature = "sabotage")]
            if winddown::sabotage::is(winddown::sabotage::Fault::OrderForgotten) {
                return Ok(Placed::First(order)); // and what was begun is rolled back
            }
            transaction.commit().await?;
            self.placed.notify_one();
            Ok(Placed::First(order))
        })
        .await
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Option<Order>, sqlx::Error> {
        let found = query_as::<_, Row>(select_orders!("WHERE id = $1")).bind(id);
        bounded(async { Ok(found.fetch_optional(&self.pools.reads).await?.map(Order::from)) }).await
    }

    /// Orders behind the one of this id, which may be empty, in the order in which they were placed.
    ///
    /// On PostgreSQL, and where two instances share a file, orders that are placed side by side are committed in any order.
    /// A list that is read meanwhile may pass over one that is just being committed; it is there when it is read again.
    pub(crate) async fn list(&self, after: &str, limit: u32) -> Result<Vec<Order>, sqlx::Error> {
        let page =
            query_as::<_, Row>(select_orders!("WHERE id > $1 ORDER BY id LIMIT $2")).bind(after).bind(i64::from(limit));
        bounded(async { Ok(page.fetch_all(&self.pools.reads).await?.into_iter().map(Order::from).collect()) }).await
    }

    /// Takes the oldest orders that nobody holds, at most so many, and holds them for so long.
    pub(crate) async fn claim(&self, holder: &str, most: i64, lease: Duration) -> Result<Vec<String>, sqlx::Error> {
        let now = SystemTime::now();
        let claim = format!(
            "WITH free AS MATERIALIZED \
             (SELECT order_id FROM outbox WHERE held_until < $3 ORDER BY order_id LIMIT $4 {skip_locked}) \
             UPDATE outbox SET holder = $1, held_until = $2 WHERE order_id IN (SELECT order_id FROM free) \
             RETURNING order_id",
            skip_locked = self.pools.skip_locked(),
        );
        let claimed = query_scalar(AssertSqlSafe(claim)) // made of constants
            .bind(holder)
            .bind(unix_ms(now + lease))
            .bind(unix_ms(now))
            .bind(most);
        let mut ids: Vec<String> = bounded(claimed.fetch_all(&self.pools.writes)).await?;
        ids.sort_unstable(); // rows are returned in any order
        Ok(ids)
    }

    /// Settles an order, unless somebody else did. Returns whether it was this call.
    pub(crate) async fn settle(&self, id: &str) -> Result<bool, sqlx::Error> {
        bounded(async {
            let mut transaction = self.pools.begin().await?;
            // Of two that try, one removes the row; the other waits for it here, and finds none.
            let removed = query("DELETE FROM outbox WHERE order_id = $1").bind(id).execute(&mut *transaction).await?;
            if removed.rows_affected() == 0 {
                transaction.rollback().await?;
                return Ok(false);
            }
            query("INSERT INTO settlements (order_id, settled_at) VALUES ($1, $2)")
                .bind(id)
                .bind(unix_ms(SystemTime::now()))
                .execute(&mut *transaction)
                .await?;
            query("UPDATE orders SET status = 'settled' WHERE id = $1").bind(id).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Gives up whatever this holder holds. Returns how many orders that were.
    pub(crate) async fn hand_back(&self, holder: &str) -> Result<u64, sqlx::Error> {
        let free = query("UPDATE outbox SET holder = '', held_until = 0 WHERE holder = $1").bind(holder);
        bounded(async { Ok(free.execute(&self.pools.writes).await?.rows_affected()) }).await
    }

    /// Resolves when an order has been placed here since it last did. Cancel safe.
    pub(crate) async fn placed(&self) {
        self.placed.notified().await;
    }

    /// Waits for whatever is under way, and closes every connection.
    pub(crate) async fn close(&self) {
        self.pools.close().await;
    }
}

impl From<Row> for Order {
    fn from((id, key, item, quantity, status, settlements): Row) -> Self {
        Self { id, key, wanted: Wanted { item, quantity }, status, settlements }
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    // A clock that stands before 1970 gives leases of no time, and orders are still settled once.
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
