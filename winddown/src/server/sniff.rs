//! Which protocol does a new connection speak? HTTP/2 begins with a preface of 24 bytes, anything else is HTTP/1.
//!
//! hyper-util's own detection gives a connection up when it is asked to stop in the middle of it (hyper-util's
//! `auto::Connection::graceful_shutdown`). Here the silent and the half-spoken have their bounds, in peace and while
//! the server closes.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};

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

/// Waits for the first bytes and looks at them.
pub(super) async fn protocol(mut io: Io, connection: &Arc<Connection>) -> Protocol {
    let mut bytes = BytesMut::new();
    let mut first_byte = None;
    loop {
        match wait(&io, connection, first_byte).await {
            Waited::Readable => {}
            Waited::TooLong if first_byte.is_none() && !io.has_bytes() => return Protocol::Silent(io),
            Waited::TooLong if first_byte.is_none() => {
                // The kernel has bytes that epoll has not told of yet: one more look, that does not ask it.
            }
            Waited::TooLong => return Protocol::TooSlow(io),
            Waited::Gone => return Protocol::Gone,
        }
        bytes.reserve(FIRST_READ);
        match io.read_now(&mut bytes) {
            Ok(0) => return Protocol::Gone,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Protocol::Gone,
        }
        first_byte.get_or_insert_with(Instant::now);
        let http2 = bytes.starts_with(PREFACE);
        if http2 || !PREFACE.starts_with(&bytes) {
            io.unread(Bytes::from(std::mem::take(&mut bytes)));
            return if http2 { Protocol::Http2(io) } else { Protocol::Http1(io) };
        }
    }
}

enum Waited {
    Readable,
    TooLong,
    Gone,
}

/// Waits until there is something to read, no longer than the stage of the server and of the peer's word allow.
async fn wait(io: &Io, connection: &Arc<Connection>, first_byte: Option<Instant>) -> Waited {
    let transport = &connection.server().transport;
    let in_peace = match first_byte {
        None => connection.accepted + transport.keep_alive_timeout,
        Some(at) => at + transport.header_timeout(),
    };
    let readable = async {
        match io.stream().readable().await {
            Ok(()) => Waited::Readable,
            Err(_) => Waited::Gone,
        }
    };
    tokio::select! {
        biased;
        waited = readable => waited,
        () = sleep_until(in_peace) => Waited::TooLong,
        () = closing(io, connection, first_byte) => Waited::TooLong,
    }
}

/// Ends when a server that closes has waited long enough.
///
/// A connection that has never carried a request gets no 408 (a browser would show it for its preconnect), so it gets
/// time instead: the whole idle grace, since it was accepted or since the stop was asked for.
async fn closing(io: &Io, connection: &Arc<Connection>, first_byte: Option<Instant>) {
    let server = connection.server();
    server.tokens.closing.cancelled().await;
    connection.close((first_byte.is_some() || io.has_bytes()).into());
    let until = match first_byte {
        None => connection.accepted.max(server.stopping_since()) + server.transport.idle_grace,
        Some(at) => at + server.transport.header_timeout(),
    };
    sleep_until(until).await;
}
