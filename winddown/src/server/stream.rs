//! One accepted socket, plain or with TLS on it: read, written, and asked what no stream of a library tells.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::SendFlags;
use socket2::TcpKeepalive;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::sys;

/// More follows at once, the FIN; and a peer that is gone is an error, not a signal.
#[cfg(target_os = "linux")]
const WITH_FIN: SendFlags = SendFlags::MORE.union(SendFlags::NOSIGNAL);
#[cfg(not(target_os = "linux"))]
const WITH_FIN: SendFlags = SendFlags::empty();

/// What bytes are read from and written to.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(super::tls::Session),
}

impl Stream {
    pub(super) fn from_tcp(stream: TcpStream) -> Self {
        // Small answers must not wait for the peer's acknowledgement of the previous one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not to be had");
        }
        Self::Tcp(stream)
    }

    /// Whether bytes from the peer are under way between the kernel and whoever reads. A raw look: tokio's own reads know
    /// only what epoll has told.
    pub(super) fn has_bytes(&self) -> bool {
        matches!(self.peek(), Ok(1..)) || self.has_part_of_a_record()
    }

    /// How many bytes the kernel holds, up to one; none is the end of what the peer says.
    fn peek(&self) -> io::Result<usize> {
        socket2::SockRef::from(self).peek(&mut [MaybeUninit::uninit()])
    }

    /// Whether a TLS record has been begun and not ended. The rest is on the wire.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self))]
    pub(super) fn has_part_of_a_record(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Self::Tls(session) = self {
            return session.get_ref().0.has_part_of_a_record();
        }
        false
    }

    /// Writes what a FIN follows at once. On TCP the kernel is told, and sends both in one segment: fewer packets and wake-ups
    /// for both sides, and the peer does not learn of the one without the other.
    pub(super) async fn write_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match self {
            Self::Tcp(stream) => {
                stream.async_io(Interest::WRITABLE, || Ok(rustix::net::send(&*stream, bytes, WITH_FIN)?)).await?
            }
            Self::Unix(_) => 0,
            #[cfg(feature = "tls")]
            Self::Tls(_) => 0,
        };
        self.write_all(&bytes[written..]).await?;
        self.flush().await
    }

    /// The shortest round trip that the kernel has seen; `None` where there is none, on a Unix socket.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        sys::round_trip(self.as_fd())
    }

    /// What the kernel still has for the peer; `None` where it does not say. What is written to a Unix socket, its peer has.
    pub(super) fn outgoing(&self) -> Option<sys::Outgoing> {
        sys::outgoing(self.as_fd())
    }

    /// Asks a peer that has been silent for so long whether it is still there.
    pub(super) fn probe_after(&self, silence: Duration) {
        let probes = TcpKeepalive::new().with_time(silence).with_interval(silence / 4).with_retries(3);
        // A Unix socket needs none: its peer cannot vanish without a FIN.
        if let Err(error) = socket2::SockRef::from(self).set_tcp_keepalive(&probes) {
            tracing::debug!(%error, "no probes of a silent peer");
        }
    }

    /// Resolves when the peer has said something, or its end; a TLS session has always heard something. Cancel safe.
    #[cfg(feature = "tls")]
    pub(super) async fn first_byte(&self) -> io::Result<()> {
        loop {
            // Readiness may be a false alarm; asking the kernel behind its back would leave it standing.
            let peeked = match self {
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || self.peek())
                }
                Self::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || self.peek())
                }
                Self::Tls(_) => Ok(1),
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked.map(|_| ()),
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.get_ref().0.socket().as_fd(),
        }
    }
}

/// Hands a call on to whichever stream there is.
macro_rules! delegate {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            #[cfg(feature = "tls")]
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        delegate!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
