//! Servers: accept, serve, and end without a lost request.

pub(crate) mod accept;
pub(crate) mod address;
mod behind;
mod called;
pub(crate) mod close;
pub(crate) mod connection;
pub(crate) mod connections;
mod descriptors;
mod drive;
mod frames;
mod h1;
mod h2;
#[cfg(target_os = "linux")]
mod handshake;
mod io;
mod linger;
pub(crate) mod listener;
mod sniff;
mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod transport;
mod wire;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    audit::{AuditLog, Event},
    http::admission::{Gate, Stage},
    server::{connections::Connections, transport::Transport},
    tokens::Tokens,
    totals::{Closed, Totals},
};

/// How many tokens the connections of a server hang on. Whoever clones a token, asks it or lets it go locks it: few meet at one
/// of many, and ten thousand are told faster than by a token for each.
const TWIGS: usize = 64;

/// How many counts of requests a server has. Few threads meet at one of so many, and a look at all of them is short.
const COUNTS: usize = 16;

/// One server: what its accept loop, its connections and their requests share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// Admin servers close last, and are no part of the drain.
    pub(crate) admin: bool,
    pub(crate) transport: Transport,
    pub(crate) tokens: Tokens,
    /// Connections hang on these, each on one of them.
    twigs: Box<[Tokens]>,
    pub(crate) gate: Gate,
    pub(crate) connections: Connections,
    totals: Arc<Totals>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tls::Tls>,
    audit: Option<AuditLog>,
    stopping: OnceLock<Stopping>,
}

#[derive(Clone, Copy, Debug)]
struct Stopping {
    since: Instant,
    lame_duck: Duration,
}

impl Server {
    pub(crate) fn new(
        name: String,
        admin: bool,
        transport: Transport,
        tokens: Tokens,
        totals: Arc<Totals>,
        audit: Option<AuditLog>,
    ) -> Self {
        Self {
            name,
            admin,
            transport,
            twigs: (0..TWIGS).map(|_| tokens.child()).collect(),
            tokens,
            gate: Gate::new(COUNTS),
            connections: Connections::default(),
            totals,
            #[cfg(feature = "tls")]
            tls: None,
            audit: audit.filter(|_| !admin),
            stopping: OnceLock::new(),
        }
    }

    /// T0: everything is still served, and clients are sent away, in `lame_duck` of time.
    pub(crate) fn begin_lame_duck(&self, lame_duck: Duration) {
        let _ = self.stopping.set(Stopping { since: Instant::now(), lame_duck });
        let in_flight = self.gate.begin_lame_duck();
        if !self.admin {
            self.totals.in_flight_at_start(in_flight);
        }
        self.tokens.draining.cancel();
    }

    /// The listener closes, and what comes now is refused.
    pub(crate) fn begin_drain(&self) {
        let _ = self.stopping.set(Stopping { since: Instant::now(), lame_duck: Duration::ZERO });
        self.gate.close();
        self.tokens.close();
    }

    /// What a connection listens to.
    pub(crate) fn twig(&self, connection: u64) -> &Tokens {
        &self.twigs[connection as usize % TWIGS]
    }

    pub(crate) fn stage(&self) -> Stage {
        self.gate.stage()
    }

    /// T0, or now where there is none yet.
    pub(crate) fn stopping_since(&self) -> Instant {
        self.stopping.get().map_or_else(Instant::now, |stopping| stopping.since)
    }

    pub(crate) fn lame_duck(&self) -> Duration {
        self.stopping.get().map_or(Duration::ZERO, |stopping| stopping.lame_duck)
    }

    /// How much of the lame duck has passed, 0 to 1.
    pub(crate) fn lame_duck_elapsed(&self) -> f64 {
        let length = self.lame_duck().as_secs_f64();
        if length > 0.0 { (self.stopping_since().elapsed().as_secs_f64() / length).min(1.0) } else { 1.0 }
    }

    /// When a client that must be told in person is told: a moment of its own, so that not all reconnect at once. In the
    /// second half of the lame duck, when balancers have looked away; with a short one or none, over the jitter.
    pub(crate) fn goodbye_at(&self) -> Instant {
        let (lame_duck, jitter) = (self.lame_duck(), self.transport.close_jitter);
        let from = lame_duck / 2;
        self.stopping_since() + from + lame_duck.max(jitter).saturating_sub(from).mul_f64(fastrand::f64())
    }

    /// Counts what is still there after the abort: sockets that an upgrade took away, handlers that block their worker.
    pub(crate) fn leave_behind(&self) {
        if !self.admin {
            (0..self.connections.len().max(1)).for_each(|_| self.totals.closed(Closed::Forced));
        }
    }

    /// For as long as it is polled.
    async fn keep_certificate_fresh(&self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.keep_fresh().await;
        }
        std::future::pending::<()>().await;
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Notes an event where somebody wants to know; it is made only then.
    pub(crate) fn audit<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(audit) = &self.audit {
            audit.write(event());
        }
    }
}
