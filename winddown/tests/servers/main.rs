//! Whole servers in one process, over real sockets: what a library user sees.

mod events;
mod flush;
mod handoff;
mod http1;
mod http2;
mod lifecycle;
mod limits;
mod process;
#[cfg(feature = "tls")]
mod tls;
mod unix;
mod upgrades;
#[cfg(feature = "ws")]
mod websockets;
