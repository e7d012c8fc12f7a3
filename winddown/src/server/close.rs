//! Closing a listening socket without losing a connection that its client believes to be open.
//!
//! A connection is established, for its client, while it still waits in the kernel's accept queue, or even while its
//! last handshake packet is on the wire. `close()` resets both. So newcomers are held off first, then the queue is
//! accepted until nothing can be added to it, and only then is the socket closed.
//!
//! - **TCP**: the socket is bound to a network interface that does not exist (`SO_BINDTOIFINDEX`, no privilege needed
//!   since Linux 5.7). New SYNs no longer find it and are refused at once, while handshakes under way, which the kernel
//!   finds by their own four-tuple, still complete. The window is over when the kernel knows of none any more.
//! - **Unix**: `shutdown(SHUT_RD)` refuses newcomers and keeps the queue, both under the lock that `connect` takes
//!   (Linux, `unix_stream_connect`). There are no handshakes, so there is no window.
//!
//! A socket that another process holds, too, is left open: [`Listener::shared`].
//!
//! Limits: a handshake that takes longer than the window, one answered with a SYN cookie (under a SYN flood), and a
//! socket in an `SO_REUSEPORT` group, where the kernel may go on choosing it.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use serde::Serialize;
use socket2::SockRef;
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    http::peer::Peer,
    server::{
        accept::Complaint,
        address::Address,
        listener::{Listener, Listening},
        stream::Stream,
    },
};

/// An index that no interface has: they count up from 1.
const NO_INTERFACE: NonZeroU32 = NonZeroU32::new(0x7fff_fff0).expect("not zero");

/// How long accepting rests when the process is out of descriptors or memory; the queue holds newcomers meanwhile.
pub(super) const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);

/// Shortest wait before looking again.
const PAUSE: Duration = Duration::from_millis(2);

/// The shortest window: time for a handshake packet that the kernel is working on at this moment.
const SHORTEST: Duration = Duration::from_millis(4);

/// How a listener was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ListenerClose {
    /// TCP: newcomers were refused while handshakes completed; nothing was lost.
    BoundToNoInterface,
    /// Unix: newcomers were refused while the queue was emptied; nothing was lost.
    ShutDownForReading,
    /// The queue was emptied, then the socket closed: a connection of the moment between is lost.
    AcceptedUntilEmpty,
    /// [Shared](Listener::shared) with another process: only our descriptor was closed. The socket goes on listening, and
    /// its queue is the successor's.
    LeftOpen,
}

/// What the report says of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListenerReport {
    /// The server's name.
    pub server: String,
    /// Where it listened.
    pub address: Address,
    /// The way that was taken.
    pub closed: ListenerClose,
    /// Whether the kernel told which handshakes were under way, so that the window ended with the last of them; true where
    /// there was nothing to ask. Where it does not tell, all of [`Transport::handshake_window`](crate::Transport::handshake_window) is waited for.
    pub handshakes_seen: bool,
    /// From the first step to the close.
    #[serde(rename = "window_seconds", serialize_with = "crate::report::seconds")]
    pub window: Duration,
    /// Connections that were accepted in it, and that a plain `close` would have reset.
    pub saved: usize,
}

/// Closes `listener`; whatever it still had is handed to `accepted`, unless it is shared. Takes at most `cap` and a little; while the process is
/// out of descriptors, until `given_up`.
///
/// Not cancel safe: a connection may be accepted and not handed over.
pub(super) async fn close(
    server: String,
    mut listener: Listener,
    cap: Duration,
    given_up: &CancellationToken,
    mut accepted: impl FnMut(Stream, Peer),
) -> io::Result<ListenerReport> {
    let address = listener.address()?;
    let began = Instant::now();
    if listener.shared {
        drop(listener);
        let (closed, window) = (ListenerClose::LeftOpen, began.elapsed());
        return Ok(ListenerReport { server, address, closed, handshakes_seen: true, window, saved: 0 });
    }
    let closed = refuse_newcomers(&listener.socket);
    drop(listener.file.take());
    // tokio's own accept knows only what epoll has told; the last look must be the kernel's.
    let queue = Queue::of(listener.socket)?;
    let (mut saved, mut out_of_resources) = (0, Complaint::default());
    let mut handshakes_seen = closed != ListenerClose::AcceptedUntilEmpty;
    loop {
        // Asked first: a handshake that ends between the question and the accepts is accepted.
        let asked = Instant::now();
        let under_way = match (&address, closed) {
            (Address::Tcp(address), ListenerClose::BoundToNoInterface) if !cap.is_zero() => {
                handshake_under_way(*address)
            }
            _ => Some(false),
        };
        handshakes_seen &= under_way.is_some();
        // The kernel walks through every connection of the host for the answer: with a hundred thousand of them for as long
        // as ten milliseconds, and this worker with it.
        let pause = PAUSE.max(asked.elapsed());
        let emptied = loop {
            if closed == ListenerClose::AcceptedUntilEmpty && began.elapsed() > cap {
                break true; // Nobody holds newcomers off, and they need not ever stop.
            }
            match queue.accept() {
                Ok((stream, peer)) => {
                    saved += 1;
                    accepted(stream, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: those who wait are served as soon as others have left.
                    if out_of_resources.is_due() {
                        tracing::error!(%error, "cannot accept what waits in the queue, will try again");
                    }
                    break false;
                }
            }
        };
        if !emptied && !given_up.is_cancelled() {
            let _ = timeout(OUT_OF_RESOURCES, given_up.cancelled()).await;
            continue;
        }
        let shortest = if closed == ListenerClose::BoundToNoInterface { SHORTEST.min(cap) } else { Duration::ZERO };
        if began.elapsed() >= cap || (under_way == Some(false) && began.elapsed() >= shortest) {
            break;
        }
        sleep(pause).await;
    }
    drop(queue);
    Ok(ListenerReport { server, address, closed, handshakes_seen, window: began.elapsed(), saved })
}

/// Whether accepting failed for a connection that was gone at once, and not for the listener.
pub(super) fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn refuse_newcomers(listening: &Listening) -> ListenerClose {
    let socket = SockRef::from(listening);
    let refused = match listening {
        #[cfg(target_os = "linux")]
        Listening::Tcp(_) => {
            socket.bind_device_by_index_v4(Some(NO_INTERFACE)).map(|()| ListenerClose::BoundToNoInterface)
        }
        #[cfg(target_os = "linux")]
        Listening::Unix(_) => socket.shutdown(Shutdown::Read).map(|()| ListenerClose::ShutDownForReading),
        #[cfg(not(target_os = "linux"))]
        _ => Err(io::ErrorKind::Unsupported.into()),
    };
    refused.unwrap_or_else(|error| {
        tracing::warn!(%error, "newcomers cannot be refused before the close; accepting until empty");
        ListenerClose::AcceptedUntilEmpty
    })
}

/// `None` where the kernel does not tell.
fn handshake_under_way(address: SocketAddr) -> Option<bool> {
    #[cfg(target_os = "linux")]
    return super::handshake::under_way(address);
    #[cfg(not(target_os = "linux"))]
    return Some(address.port() > 0).filter(|_| false);
}

/// A listening socket that is asked directly.
enum Queue {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Queue {
    fn of(listening: Listening) -> io::Result<Self> {
        match listening {
            Listening::Tcp(listener) => listener.into_std().map(Self::Tcp),
            Listening::Unix(listener) => listener.into_std().map(Self::Unix),
        }
    }

    fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::from_tcp(TcpStream::from_std(stream)?), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let stream = UnixStream::from_std(stream)?;
                let peer = Peer::of_unix(&stream);
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}
#[cfg(all(test, target_os = "linux"))]
mod tests;
