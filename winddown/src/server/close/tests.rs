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
            close("test".into(), listener, LONG, &CancellationToken::new(), |stream, _| accepted.push(stream)).await;
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
    let report = close("test".into(), listener, cap, &CancellationToken::new(), |_, _| {}).await.expect("it closes");
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
        newcomer.get_or_insert_with(|| std::os::unix::net::UnixStream::connect(&path).map_err(|error| error.kind()));
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

#[tokio::test]
async fn somebody_who_listens_and_does_not_accept_is_no_reason_to_wait() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("socket");
    let address = socket2::SockAddr::unix(&path).expect("it is short enough");
    let socket = || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let stuck = socket().expect("there are descriptors");
    stuck.bind(&address).and_then(|()| stuck.listen(1)).expect("the path is free");
    let connect = || {
        let client = socket()?;
        client.set_nonblocking(true)?;
        client.connect(&address).map(|()| client)
    };
    let mut clients = Vec::new();
    let full = loop {
        match connect() {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock, "after {} clients", clients.len());
    let taken = bind(Address::Unix(path.clone())).expect_err("somebody listens");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}
