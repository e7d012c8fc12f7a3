//! Which protocol does a new connection speak? HTTP/2 begins with a preface of 24 bytes, anything else is HTTP/1.
//!
//! hyper-util's own detection gives a connection up when it is asked to stop in the middle of it (hyper-util's
//! `auto::Connection::graceful_shutdown`). Here the silent and the half-spoken have their bounds, in peace and while
//! the server closes. ALPN is an offer only: what a TLS client really speaks is looked at in the same way.

use bytes::BytesMut;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

#[cfg(feature = "tls")]
use crate::server::stream::Stream;
use crate::server::{connection::Connection, io::Io};

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Enough for a common request head, so that it takes one read to begin.
const FIRST_READ: usize = 1024;

/// What a new connection turned out to be.
pub(super) enum Protocol {
    Http1(Io),
    Http2(Io),
    /// Not a byte came for as long as an idle connection may last.
    Silent(Io),
    /// A preface was begun and not ended in time.
    TooSlow(Io),
    Gone,
}

/// Waits for the first bytes of a connection that is open `since` then, and looks at them.
pub(super) async fn protocol(mut io: Io, connection: &Connection, since: Instant) -> Protocol {
    let mut bytes = BytesMut::new();
    let mut wait = Wait::new(connection, since);
    loop {
        bytes.reserve(FIRST_READ);
        let read = tokio::select! {
            biased;
            read = io.sniff(&mut bytes) => read,
            ended = wait.ends() => match ended {
                Ended::Closing => {
                    connection.close((wait.first_byte.is_some() || io.stream().has_bytes()).into());
                    continue;
                }
                Ended::TooLong if wait.first_byte.is_some() => return Protocol::TooSlow(io),
                // A part of a TLS record has as much time as a slow head.
                Ended::TooLong if io.stream().has_part_of_a_record() => {
                    wait.first_byte = Some(Instant::now());
                    continue;
                }
                Ended::TooLong if io.stream().has_bytes() => {
                    // epoll has not told of them yet, and will when a worker next asks it.
                    yield_now().await;
                    continue;
                }
                Ended::TooLong => return Protocol::Silent(io),
            },
        };
        if !read.is_ok_and(|length| length > 0) {
            return Protocol::Gone;
        }
        wait.first_byte.get_or_insert_with(Instant::now);
        let http2 = bytes.starts_with(PREFACE);
        if http2 || !PREFACE.starts_with(&bytes) {
            io.unread(bytes.freeze());
            return if http2 { Protocol::Http2(io) } else { Protocol::Http1(io) };
        }
    }
}

/// Waits for the first byte of a TLS handshake; whether it came in time.
#[cfg(feature = "tls")]
pub(super) async fn first_byte(socket: &Stream, connection: &Connection) -> bool {
    let mut wait = Wait::new(connection, connection.accepted);
    loop {
        tokio::select! {
            biased;
            heard = socket.first_byte() => return heard.is_ok(),
            ended = wait.ends() => match ended {
                Ended::Closing => {}
                Ended::TooLong if socket.has_bytes() => yield_now().await,
                Ended::TooLong => return false,
            },
        }
    }
}

/// How long the next byte is waited for, in peace and while the server closes.
struct Wait<'a> {
    connection: &'a Connection,
    since: Instant,
    first_byte: Option<Instant>,
    closes: bool,
}

enum Ended {
    /// The server closes. Said once.
    Closing,
    TooLong,
}

impl<'a> Wait<'a> {
    fn new(connection: &'a Connection, since: Instant) -> Self {
        Self { connection, since, first_byte: None, closes: false }
    }

    /// Cancel safe.
    async fn ends(&mut self) -> Ended {
        tokio::select! {
            biased;
            () = self.connection.tokens().closing.cancelled(), if !self.closes => {
                self.closes = true;
                Ended::Closing
            }
            () = sleep_until(self.deadline()) => Ended::TooLong,
        }
    }

    /// A connection that has never carried a request gets no 408 when the server closes (a browser would show it for its
    /// preconnect), so it gets time instead: the whole idle grace, since it was open or since the stop was asked for.
    fn deadline(&self) -> Instant {
        let (server, transport) = (self.connection.server(), &self.connection.server().transport);
        match self.first_byte {
            Some(first_byte) => first_byte + transport.header_timeout(),
            None if self.closes => self.since.max(server.stopping_since()) + transport.idle_grace,
            None => self.since + transport.keep_alive_timeout,
        }
    }
}
