//! The socket below a TLS session. It sees whether a record has been begun and not ended, which rustls keeps to itself:
//! then a request may be under way, although neither the kernel nor the session has a byte to show.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::{connection::Connection, stream::Stream};

/// Type, version, and the length of what follows in the last two bytes (RFC 8446 §5.1).
const HEADER: usize = 5;

/// A socket that carries TLS records.
#[derive(Debug)]
pub(crate) struct Records {
    socket: Stream,
    connection: Arc<Connection>,
    place: Place,
}

/// Where in a record the last byte was that came.
#[derive(Debug, Default)]
struct Place {
    /// So many bytes of the header are there.
    header: usize,
    /// The last byte of the header that came.
    last: u8,
    /// So many bytes of the record are still to come.
    left: usize,
}

impl Records {
    pub(super) fn new(socket: Stream, connection: Arc<Connection>) -> Self {
        Self { socket, connection, place: Place::default() }
    }

    pub(crate) fn socket(&self) -> &Stream {
        &self.socket
    }

    pub(crate) fn has_part_of_a_record(&self) -> bool {
        self.place.is_within()
    }
}

impl Place {
    fn read(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header += 1;
            if self.header == HEADER {
                self.header = 0;
                self.left = usize::from(u16::from_be_bytes([self.last, *byte]));
            }
            self.last = *byte;
            bytes = rest;
        }
    }

    fn is_within(&self) -> bool {
        self.header > 0 || self.left > 0
    }
}

impl AsyncRead for Records {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.place.read(bytes);
            self.connection.wire.heard_records(self.place.is_within());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Records {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Application data of `length` bytes.
    fn record(length: u16) -> Vec<u8> {
        let mut record = vec![23, 3, 3];
        record.extend(length.to_be_bytes());
        record.extend(vec![0x17; length.into()]);
        record
    }

    #[test]
    fn a_record_is_under_way_from_its_first_byte_to_its_last() {
        let two = [record(300), record(0), record(17)].concat();
        let ends = [305, 310, 332];
        for step in 1..two.len() {
            let mut place = Place::default();
            let mut read = 0;
            for piece in two.chunks(step) {
                place.read(piece);
                read += piece.len();
                assert_eq!(place.is_within(), !ends.contains(&read), "after {read} bytes in steps of {step}");
            }
        }
    }
}
