//! What the benches share: a server in a process of its own, and many idle clients in one thread.

pub mod clients;
pub mod server;
