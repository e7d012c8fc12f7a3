//! Closing a listening socket without losing a connection that its client believes to be open.
//!
//! A connection is established, for its client, while it still waits in the kernel's accept queue, or even while its
//! last handshake packet is on the wire. `close()` resets both. So the socket is first bound to a network interface
//! that does not exist (`SO_BINDTOIFINDEX`, no privilege needed since Linux 5.7): new SYNs no longer find it and are
//! refused at once, while handshakes under way, which the kernel finds by their own four-tuple, still complete. They
//! are accepted until none is left, and only then is the socket closed.
//!
//! Limits: a handshake that takes longer than the window, one answered with a SYN cookie (under a SYN flood), and a
//! socket in an `SO_REUSEPORT` group, where the kernel may go on choosing it.

use std::{io, net::SocketAddr, num::NonZeroU32, time::Duration};

use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// An index that no interface has: they count up from 1.
const NO_INTERFACE: NonZeroU32 = NonZeroU32::new(0x7fff_fff0).expect("not zero");

/// How long accepting rests when the process is out of descriptors or memory; the queue holds newcomers meanwhile.
pub(super) const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(2);

/// The shortest window: time for a handshake packet that the kernel is working on at this moment.
const SHORTEST: Duration = Duration::from_millis(4);

/// Connections that may wait to be accepted. The kernel's default limit (`net.core.somaxconn`) since Linux 5.4; the
/// usual 128 overflows when the clients of a restarted neighbour all come at once.
const BACKLOG: u32 = 4096;

/// Binds a listener for [`Shutdown::serve`](crate::Shutdown::serve): ready for a storm of reconnects, and on a port
/// that a predecessor has only just left.
///
/// # Errors
///
/// The address is taken, or not of this machine, or needs a privilege.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How a listener was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerClose {
    /// Newcomers were refused while handshakes completed; nothing was lost.
    BoundToNoInterface,
    /// The queue was emptied, then the socket closed: a handshake in the moment between is lost.
    AcceptedUntilEmpty,
}

/// What the report says of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerReport {
    /// The server's name.
    pub server: String,
    /// Where it listened.
    pub address: SocketAddr,
    /// The way that was taken.
    pub closed: ListenerClose,
    /// From the first step to the close.
    #[serde(rename = "window_seconds", serialize_with = "crate::report::seconds")]
    pub window: Duration,
    /// Connections that were accepted in it, and that a plain `close` would have reset.
    pub saved: usize,
}

/// Closes `listener`; whatever it still had is handed to `accepted`. Takes at most `cap` and a little; while the process is
/// out of descriptors, until `given_up`.
///
/// Not cancel safe: a connection may be accepted and not handed over.
pub(super) async fn close(
    server: String,
    listener: TcpListener,
    cap: Duration,
    given_up: &CancellationToken,
    mut accepted: impl FnMut(TcpStream, SocketAddr),
) -> io::Result<ListenerReport> {
    let address = listener.local_addr()?;
    let began = Instant::now();
    let closed = refuse_newcomers(&listener);
    // tokio's own accept knows only what epoll has told; the last look must be the kernel's.
    let listener = listener.into_std()?;
    let mut saved = 0;
    loop {
        // Asked first: a handshake that ends between the question and the accepts is accepted.
        let under_way = closed == ListenerClose::BoundToNoInterface && handshake_under_way(address);
        let emptied = loop {
            if closed == ListenerClose::AcceptedUntilEmpty && began.elapsed() > cap {
                break true; // Nobody holds newcomers off, and they need not ever stop.
            }
            match listener.accept().and_then(|(stream, peer)| Ok((into_tokio(stream)?, peer))) {
                Ok((stream, peer)) => {
                    saved += 1;
                    accepted(stream, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: those who wait are served as soon as others have left.
                    tracing::error!(%error, "cannot accept what waits in the queue, will try again");
                    break false;
                }
            }
        };
        if !emptied && !given_up.is_cancelled() {
            let _ = timeout(OUT_OF_RESOURCES, given_up.cancelled()).await;
            continue;
        }
        let shortest = if closed == ListenerClose::BoundToNoInterface { SHORTEST.min(cap) } else { Duration::ZERO };
        if began.elapsed() >= cap || (!under_way && began.elapsed() >= shortest) {
            break;
        }
        sleep(PAUSE).await;
    }
    drop(listener);
    Ok(ListenerReport { server, address, closed, window: began.elapsed(), saved })
}

fn into_tokio(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Whether accepting failed for a connection that was gone at once, and not for the listener.
pub(super) fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn refuse_newcomers(listener: &TcpListener) -> ListenerClose {
    #[cfg(target_os = "linux")]
    match socket2::SockRef::from(listener).bind_device_by_index_v4(Some(NO_INTERFACE)) {
        Ok(()) => return ListenerClose::BoundToNoInterface,
        Err(error) => tracing::warn!(%error, "newcomers cannot be refused before the close; accepting until empty"),
    }
    ListenerClose::AcceptedUntilEmpty
}

fn handshake_under_way(address: SocketAddr) -> bool {
    #[cfg(target_os = "linux")]
    return super::handshake::under_way(address.port());
    #[cfg(not(target_os = "linux"))]
    return address.port() > 0;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsFd;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{server::handshake, sys};

    const LONG: Duration = Duration::from_secs(20);

    fn local() -> (TcpListener, SocketAddr) {
        let listener = bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    async fn is_refused(address: SocketAddr) -> bool {
        matches!(TcpStream::connect(address).await, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    #[tokio::test]
    async fn c01_connections_in_the_queue_are_all_accepted_and_newcomers_refused() {
        let (listener, address) = local();
        let mut clients = Vec::new();
        for _ in 0..200 {
            clients.push(TcpStream::connect(address).await.expect("the kernel completes the handshake"));
        }
        let mut accepted = Vec::new();
        let report = close("test".into(), listener, LONG, &CancellationToken::new(), |stream, _| accepted.push(stream))
            .await
            .expect("it closes");
        assert_eq!((report.closed, report.saved), (ListenerClose::BoundToNoInterface, 200));
        assert!(is_refused(address).await);
        for (mut server, mut client) in accepted.into_iter().zip(clients) {
            client.write_all(b"x").await.expect("nothing was reset");
            server.read_exact(&mut [0]).await.expect("nothing was reset");
        }
    }

    #[tokio::test]
    async fn c02_handshake_under_way_is_waited_for_and_accepted() {
        let (listener, address) = local();
        sys::defer_accept(listener.as_fd(), 60);
        assert!(!handshake::under_way(address.port()));
        let mut client = TcpStream::connect(address).await.expect("for the client the handshake is complete");
        assert!(handshake::under_way(address.port()), "and for the server it is not");

        let closing = tokio::spawn(async move {
            let mut accepted = Vec::new();
            let report =
                close("test".into(), listener, LONG, &CancellationToken::new(), |stream, _| accepted.push(stream))
                    .await;
            (report.expect("it closes"), accepted)
        });
        // One thread: the other task runs up to its first wait, which is behind the rebinding.
        tokio::task::yield_now().await;
        assert!(is_refused(address).await);
        assert!(!closing.is_finished(), "the handshake is not over");
        client.write_all(b"x").await.expect("the handshake is still alive");
        let (report, mut accepted) = closing.await.expect("no panic");
        assert_eq!(report.saved, 1);
        assert!(report.window < LONG / 2, "closed as soon as none was left, {:?}", report.window);
        accepted[0].read_exact(&mut [0]).await.expect("the byte that completed the handshake");
    }

    #[tokio::test]
    async fn the_window_has_a_cap() {
        let (listener, address) = local();
        sys::defer_accept(listener.as_fd(), 60);
        let _client = TcpStream::connect(address).await.expect("for the client the handshake is complete");
        let cap = Duration::from_millis(50);
        let report =
            close("test".into(), listener, cap, &CancellationToken::new(), |_, _| {}).await.expect("it closes");
        assert!(report.window >= cap && report.window < LONG, "{:?}", report.window);
    }

    #[tokio::test]
    async fn c17_port_can_be_bound_again_at_once() {
        let (listener, address) = local();
        close("test".into(), listener, LONG, &CancellationToken::new(), |_, _| {}).await.expect("it closes");
        bind(address).expect("nobody has it");
    }
}
