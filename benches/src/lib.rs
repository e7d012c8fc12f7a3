//! What the benches share: a server in a process of its own, winddown's peers, load, many idle clients in one thread, and
//! requests without a socket.

pub mod asked;
pub mod clients;
pub mod gate;
pub mod injected;
pub mod load;
pub mod median;
pub mod peers;
pub mod plot;
pub mod requests;
pub mod server;
