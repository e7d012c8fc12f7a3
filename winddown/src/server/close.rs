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
pub enum ListenerClose {
    /// TCP: newcomers were refused while handshakes completed; nothing was lost.
    BoundToNoInterface,
    /// Unix: newcomers were refused while the queue was emptied; nothing was lost.
    ShutDownForReading,
    /// The queue was emptied, then the socket closed: a connection of the moment between is lost.
    AcceptedUntilEmpty,
}

/// What the report says of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerReport {
    /// The server's name.
    pub server: String,
    /// Where it listened.
    pub address: Address,
    /// The way that was taken.
    pub closed: ListenerClose,
    /// Whether the kernel told which handshakes were under way, so that the window ended with the last of them. Where it
    /// does not tell, all of [`Transport::handshake_window`](crate::Transport::handshake_window) is waited for.
    pub handshakes_seen: bool,
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
    listener: Listener,
    cap: Duration,
    given_up: &CancellationToken,
    mut accepted: impl FnMut(Stream, Peer),
) -> io::Result<ListenerReport> {
    let address = listener.address()?;
    let began = Instant::now();
    let closed = refuse_newcomers(&listener.socket);
    if let Some(file) = &listener.file
        && let Err(error) = file.remove()
    {
        // While the socket is open, or its inode might already be another's.
        tracing::warn!(%error, %address, "the socket file stays behind");
    }
    // tokio's own accept knows only what epoll has told; the last look must be the kernel's.
    let queue = Queue::of(listener.socket)?;
    let (mut saved, mut out_of_resources) = (0, Complaint::default());
    let mut handshakes_seen = closed != ListenerClose::AcceptedUntilEmpty;
    loop {
        // Asked first: a handshake that ends between the question and the accepts is accepted.
        let asked = Instant::now();
        let under_way = match (&address, closed) {
            (Address::Tcp(address), ListenerClose::BoundToNoInterface) => handshake_under_way(*address),
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
mod tests {
    use std::os::fd::AsFd;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        server::{handshake, listener::bind},
        sys,
    };

    const LONG: Duration = Duration::from_secs(20);

    fn local() -> (Listener, SocketAddr) {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback has free ports");
        let address = listener.address().and_then(|address| address.tcp()).expect("it is bound");
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
        assert!(report.handshakes_seen);
        assert!(is_refused(address).await);
        for (mut server, mut client) in accepted.into_iter().zip(clients) {
            client.write_all(b"x").await.expect("nothing was reset");
            server.read_exact(&mut [0]).await.expect("nothing was reset");
        }
    }

    #[tokio::test]
    async fn c02_handshake_under_way_is_waited_for_and_accepted() {
        let (listener, address) = local();
        sys::defer_accept(listener.socket.as_fd(), 60);
        assert_eq!(handshake::under_way(address), Some(false));
        let mut client = TcpStream::connect(address).await.expect("for the client the handshake is complete");
        assert_eq!(handshake::under_way(address), Some(true), "and for the server it is not");

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
        sys::defer_accept(listener.socket.as_fd(), 60);
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
        bind(address.into()).expect("nobody has it");
    }

    #[tokio::test]
    async fn c01_connections_in_the_queue_of_a_unix_socket_are_all_accepted_and_newcomers_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("socket");
        let listener = bind(Address::Unix(path.clone())).expect("the path is free");
        let mut clients = Vec::new();
        for _ in 0..200 {
            clients.push(UnixStream::connect(&path).await.expect("the queue has room"));
        }
        let mut newcomer = None;
        let (mut accepted, never) = (Vec::new(), CancellationToken::new());
        let report = close("test".into(), listener, LONG, &never, |stream, _| {
            // In the middle of the close.
            newcomer
                .get_or_insert_with(|| std::os::unix::net::UnixStream::connect(&path).map_err(|error| error.kind()));
            accepted.push(stream);
        });
        let report = report.await.expect("it closes");
        assert_eq!((report.closed, report.saved), (ListenerClose::ShutDownForReading, 200));
        assert!(newcomer.expect("somebody was accepted").is_err(), "accepted by a listener that closes");
        assert!(!path.exists(), "the socket file is gone");
        for (mut server, mut client) in accepted.into_iter().zip(clients) {
            client.write_all(b"x").await.expect("nothing was reset");
            server.read_exact(&mut [0]).await.expect("nothing was reset");
        }
    }

    #[tokio::test]
    async fn c17_path_of_a_unix_socket_can_be_bound_again_at_once_and_after_a_crash() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("socket");
        // A crash: the socket is closed, and nobody removes its file.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("the path is free"));
        let first = bind(Address::Unix(path.clone())).expect("nobody listens there");
        let taken = bind(Address::Unix(path.clone())).expect_err("somebody does");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        std::fs::remove_file(&path).expect("a successor that does not ask");
        let second = bind(Address::Unix(path.clone())).expect("the path is free");
        close("test".into(), first, LONG, &CancellationToken::new(), |_, _| {}).await.expect("it closes");
        assert!(path.exists(), "the successor's file is not the predecessor's to remove");
        close("test".into(), second, LONG, &CancellationToken::new(), |_, _| {}).await.expect("it closes");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_replaced() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let refused = bind(Address::Unix(file.path().to_owned())).expect_err("it is somebody's");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(file.path().exists());
    }
}
