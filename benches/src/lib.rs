//! What the benches share: a server in a process of its own, many idle clients in one thread, and requests without a socket.

pub mod clients;
pub mod gate;
pub mod injected;
pub mod median;
pub mod requests;
pub mod server;
