//! Servers: accept, serve, and end without a lost request.

pub(crate) mod accept;
pub(crate) mod connection;
pub(crate) mod connections;
mod h1;
mod h2;
#[cfg(target_os = "linux")]
mod handshake;
mod io;
pub(crate) mod listener;
mod sniff;
mod wire;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    audit::{AuditLog, Event},
    builder::BuildError,
    http::admission::Gate,
    server::connections::Connections,
    tokens::Tokens,
    totals::{Closed, Totals},
};

const DEFAULT_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How connections are treated. The same for every server of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Longest wait for handshakes that are under way when a listener closes; it is over as soon as none is.
    /// Defaults to 1 s.
    pub handshake_window: Duration,
    /// Longest silence that an idle connection has while its server closes. A used one is closed after twice its round
    /// trip (10 ms at least), one that never carried a request after all of this. Defaults to 500 ms.
    pub idle_grace: Duration,
    /// Whether an idle HTTP/1 connection is told 408 before it is closed, so that a request that crosses the close has
    /// an answer. Defaults to true.
    pub farewell: bool,
    /// Longest time from the first byte of a request head to its last. Defaults to 5 s, or to half of the drain where
    /// that is shorter: a slow head must not be what the drain's deadline cuts.
    pub header_timeout: Option<Duration>,
    /// Longest silence on a kept HTTP/1 connection in peace, noticed within twice that; on HTTP/2 the silence after which
    /// the peer is sent a PING. Keep it above the balancer's own (60 s for ingress-nginx), or
    /// the balancer meets closed connections. Defaults to 75 s.
    pub keep_alive_timeout: Duration,
    /// What `Retry-After` says on a 503, in whole seconds, at least 1. Defaults to 1 s.
    pub retry_after: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            handshake_window: Duration::from_secs(1),
            idle_grace: Duration::from_millis(500),
            farewell: true,
            header_timeout: None,
            keep_alive_timeout: Duration::from_secs(75),
            retry_after: Duration::from_secs(1),
        }
    }
}

impl Transport {
    /// Fits the caps into a drain of this length.
    pub(crate) fn within(self, drain: Duration) -> Result<Self, BuildError> {
        match self.header_timeout {
            Some(header_timeout) if header_timeout > drain => Err(BuildError::HeaderTimeout { header_timeout, drain }),
            set => Ok(Self {
                header_timeout: set.or(Some(DEFAULT_HEADER_TIMEOUT.min(drain / 2))),
                handshake_window: self.handshake_window.min(drain / 2),
                idle_grace: self.idle_grace.min(drain / 2),
                ..self
            }),
        }
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        self.header_timeout.unwrap_or(DEFAULT_HEADER_TIMEOUT)
    }
}

/// How far the stop of one server has come; an atomic's worth of [`crate::Phase`], because requests ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Running,
    LameDuck,
    Drain,
}

/// One server: what its accept loop, its connections and their requests share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// Admin servers close last, and are no part of the drain.
    pub(crate) admin: bool,
    pub(crate) transport: Transport,
    pub(crate) tokens: Tokens,
    pub(crate) gate: Gate,
    pub(crate) connections: Connections,
    totals: Arc<Totals>,
    audit: Option<AuditLog>,
    stage: AtomicU8,
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
            tokens,
            gate: Gate::default(),
            connections: Connections::default(),
            totals,
            audit: audit.filter(|_| !admin),
            stage: AtomicU8::new(Stage::Running as u8),
            stopping: OnceLock::new(),
        }
    }

    /// T0: everything is still served, and clients are sent away, in `lame_duck` of time.
    pub(crate) fn begin_lame_duck(&self, lame_duck: Duration) {
        let _ = self.stopping.set(Stopping { since: Instant::now(), lame_duck });
        self.stage.fetch_max(Stage::LameDuck as u8, Relaxed);
        self.tokens.draining.cancel();
    }

    /// The listener closes, and what comes now is refused.
    pub(crate) fn begin_drain(&self) {
        let _ = self.stopping.set(Stopping { since: Instant::now(), lame_duck: Duration::ZERO });
        self.stage.store(Stage::Drain as u8, Relaxed);
        self.gate.close();
        self.tokens.close();
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Running,
            1 => Stage::LameDuck,
            _ => Stage::Drain,
        }
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

    /// Counts what is still there after the abort: sockets that an upgrade took away, handlers that block their worker.
    pub(crate) fn leave_behind(&self) {
        if !self.admin {
            (0..self.connections.len().max(1)).for_each(|_| self.totals.closed(Closed::Forced));
        }
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(crate) fn audit(&self, event: Event<'_>) {
        if let Some(audit) = &self.audit {
            audit.write(event);
        }
    }
}
