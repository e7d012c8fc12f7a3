//! The kinds of client that meet a stop.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use serde::Serialize;

/// A kind of client. All clients of a stop are of one kind, so that a loss has one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Profile {
    /// A new connection for each request, without a pause.
    New,
    /// One connection, request upon request without a pause.
    Busy,
    /// One connection, with 2 ms between an answer and the next request.
    Think,
    /// Connected before the signal; the first byte is sent after it.
    Silent,
    /// Half of a head before the signal, the rest after it.
    Partial,
    /// Three requests at once, then their answers, and again.
    Pipelined,
    /// Answers that take long, read to their end.
    Stream,
    /// Half of a body before the signal, the rest in pieces after it.
    Upload,
    /// HTTP/2 by prior knowledge: one connection, request upon request.
    H2,
    /// A WebSocket that waits for its close frame.
    Websocket,
}

impl Profile {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::New,
        Self::Busy,
        Self::Think,
        Self::Silent,
        Self::Partial,
        Self::Pipelined,
        Self::Stream,
        Self::Upload,
        Self::H2,
        Self::Websocket,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Busy => "busy",
            Self::Think => "think",
            Self::Silent => "silent",
            Self::Partial => "partial",
            Self::Pipelined => "pipelined",
            Self::Stream => "stream",
            Self::Upload => "upload",
            Self::H2 => "h2",
            Self::Websocket => "websocket",
        }
    }

    /// How many clients there are: those of the figures that others are compared with.
    pub const fn clients(self) -> u32 {
        match self {
            Self::Think => 64,
            _ => 32,
        }
    }

    /// Between an answer and the next request.
    pub(super) const fn think(self) -> Duration {
        match self {
            Self::Think => Duration::from_millis(2),
            _ => Duration::ZERO,
        }
    }

    /// How a reader is told of it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::New => "new connections",
            Self::Busy => "busy keep-alive",
            Self::Think => "keep-alive, 2 ms think",
            Self::Silent => "connected, silent",
            Self::Partial => "half a head",
            Self::Pipelined => "pipelined",
            Self::Stream => "streams",
            Self::Upload => "uploads",
            Self::H2 => "HTTP/2",
            Self::Websocket => "WebSockets",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
