//! Stops an axum service without leaving one request unanswered.
//!
//! > Every request that a client manages to write on an established connection gets a complete answer: its own when it
//! > finishes by the drain deadline; a 503 with `Retry-After` when it came after the lame duck; on an idle HTTP/1
//! > connection that is just being closed a 408 that says "not processed, repeat it"; on HTTP/2 a GOAWAY that says
//! > which streams were not processed. Every connection that a client believes to be open when the listener closes is
//! > accepted. Whoever comes later is refused at once. Whatever is cut at the deadline is counted and named.
//!
//! # The stop
//!
//! | phase | what happens | default of 30 s |
//! |---|---|---|
//! | `lame_duck` | not ready any more; everything is still accepted and served, clients are sent away | 5 s |
//! | `drain` | the listener closes without loss; requests in flight finish, then are cancelled, then aborted | 11 s + 1 s |
//! | `background` | background tasks finish | 5 s |
//! | `release` | hooks close pools, files, locks, the last opened first | 5 s |
//! | `flush` | telemetry leaves, the report is written, admin servers close last | 2 s |
//!
//! One second is kept back for a watchdog thread, which ends the process even when every worker is blocked. Set the
//! [grace period](Builder::grace_period) to what the supervisor grants, and the rest follows; see [`Budget`].
//!
//! # Adoption
//!
//! ```no_run
//! # use axum::{Router, routing::get};
//! # use winddown::Shutdown;
//! # async fn run(app: Router) -> Result<std::process::ExitCode, Box<dyn std::error::Error + Send + Sync>> {
//! let signals = winddown::signals()?;
//! let stop = Shutdown::builder().build()?;
//! let listener = winddown::bind("127.0.0.1:8080".parse()?)?;
//! stop.serve("public", listener, app);
//! Ok(stop.run_until(signals).await.into())
//! # }
//! ```
//!
//! # What ends how
//!
//! - Long polls, streams and loops in a handler: the extractor [`Draining`] tells them.
//! - Server-sent events: [`Draining::events`] ends them at T0, and spreads the return of their clients.
//! - WebSockets (feature `ws`): `WebSocketUpgrade` in place of axum's sends 1001 and waits for the peer's close.
//! - Anything else that goes on behind an answer: [`Draining::hold`] keeps it in flight.
//! - TLS (feature `tls`): `bind(..)?.with_tls(Tls::from_files(..)?)`, with HTTP/2 by ALPN, reloaded certificates, close_notify.
//! - Sockets that a supervisor holds: `systemd::listeners`, or [`Listener::shared`]; they never close.
//! - Unix sockets: `bind("unix:/run/service.sock".parse()?)`.
//! - Background jobs: [`Shutdown::spawn`], [`Shutdown::every`]; pools, files and locks: [`Shutdown::hook`].
//!
//! Handlers learn the client's address by the extractor [`Peer`], in place of axum's `ConnectInfo`.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `systemd`: readiness, status, watchdog pings, and sockets that are passed in.
//! - `tls`: servers behind TLS, by rustls with ring.
//! - `ws`: WebSockets that say goodbye, over HTTP/1.1 and HTTP/2.
//!
//! # Limits of the guarantee
//!
//! - A handshake whose last packet takes longer than [`Transport::handshake_window`], or that was answered with a SYN
//!   cookie, or on a socket of an `SO_REUSEPORT` group.
//! - A connection that was opened and then silent for longer than [`Transport::idle_grace`] when the server closes: a
//!   408 would be shown by browsers for their preconnects, so it is closed without a word.
//! - A client that ends its own half of the connection before it has its answer is taken for gone, as hyper does.
//! - A pipelined request that is still in the kernel when the answer before it says `Connection: close`, or is sent after that.
//! - A client that takes the 408 of RFC 9110 §15.5.9 for an answer about its request.
//! - An HTTP/2 client that answers the PING and then takes nothing of its answers holds the drain until the deadline.
//! - SIGKILL, and systems other than Linux: their listeners are emptied and closed, and the report says so.

#![warn(missing_docs)]
#![cfg_attr(test, allow(missing_docs))]

pub mod audit;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod budget;
mod builder;
mod causes;
mod coordinator;
mod hook;
mod http;
mod inner;
mod last_run;
mod lifecycle;
pub mod metrics;
mod readiness;
mod report;
mod running;
#[cfg(not(feature = "sabotage"))]
mod sabotage;
#[cfg(feature = "sabotage")]
#[doc(hidden)]
pub mod sabotage;
mod scrapes;
mod server;
mod shutdown;
mod signal;
mod status;
mod sync;
mod sys;
#[cfg(feature = "systemd")]
pub mod systemd;
mod tasks;
pub mod termination;
mod tokens;
mod totals;
mod waits;
mod watchdog;

pub use crate::{
    budget::{Budget, BudgetError, Part, Split},
    builder::{BuildError, Builder},
    causes::{DEBOUNCE, SecondSignal},
    hook::{BoxError, Hook, HookContext, HookOutcome, HookReport, HookStatus, Step},
    http::{draining::Draining, events::Events, hold::Hold, in_flight::RequestStatus, peer::Peer},
    lifecycle::{Cause, Phase, Status as LifecycleStatus, Stop},
    readiness::Readiness,
    report::{PhaseReport, Report},
    scrapes::LastScrape,
    server::{
        address::{Address, AddressError},
        close::{ListenerClose, ListenerReport},
        connection::ConnectionStatus,
        listener::{Listener, bind},
        transport::Transport,
    },
    shutdown::{ServerHandle, Shutdown, ShutdownHandle},
    signal::{Signal, Signals, signals},
    status::{PlannedPhase, Status},
    tasks::{Task, TaskPanic, TaskStatus},
    totals::{ConnectionTotals, RequestTotals},
};

#[cfg(feature = "ws")]
pub use crate::http::websocket::{WebSocket, WebSocketUpgrade};
#[cfg(feature = "tls")]
pub use crate::server::tls::{Tls, TlsError};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// And that of this crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct CrateReadme;

/// And those of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/adopt.md")]
struct Adopt;
