//! Orders: a resource that must not be lost, and work that goes on behind it.
//!
//! An order is acknowledged when it is committed, never before. What is still to be done for it stands in the *outbox*, which
//! is written in the same transaction; a background task takes it from there and settles the order.
//!
//! # Invariants
//!
//! 1. One order for each idempotency key, whoever repeats it and however often.
//! 2. An order has a row in the outbox or a settlement, and never both: whoever removes the row makes the settlement, in one
//!    transaction. The lease on a row keeps two instances from doing the same work; that it has effect only once does not
//!    hang on it, nor on any clock.

mod database;
mod routes;
mod store;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use self::{database::Database, routes::router, store::Store, worker::Settling};
