//! Unix sockets: the same drain as on TCP.

use std::path::PathBuf;

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use winddown::{Address, ListenerClose, Phase};

use crate::process::{Held, Process, no_lame_duck, rest};

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n";

#[tokio::test]
async fn c04_connections_of_a_unix_socket_are_drained_like_any_other() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path: PathBuf = folder.path().join("socket");
    let (stop, held) = (no_lame_duck(), Held::default());
    let router = held.router().route("/hello", get(|| async { "hello" }));
    let server = stop.serve("public", winddown::bind(Address::Unix(path.clone())).expect("the path is free"), router);
    assert_eq!(server.address().expect("it is bound"), Address::Unix(path.clone()));
    let process = Process::run(stop).await;

    let mut idle = UnixStream::connect(&path).await.expect("the server listens");
    idle.write_all(GET).await.expect("the server reads");
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut busy = UnixStream::connect(&path).await.expect("the server listens");
    busy.write_all(b"GET /held HTTP/1.1\r\nHost: test\r\n\r\n").await.expect("the server reads");
    held.entered.notified().await;
    let peer = &process.stop.status().requests[0].peer;
    assert_eq!(*peer, format!("unix:pid={}", std::process::id()));

    process.signal();
    process.until(Phase::Drain).await;
    let farewell = rest(idle).await;
    assert!(farewell.contains("HTTP/1.1 408"), "{farewell}");
    assert!(UnixStream::connect(&path).await.is_err(), "a newcomer is refused");
    assert!(!process.report.is_finished(), "a request is in flight");
    held.release.notify_one();
    assert!(rest(busy).await.ends_with("held"));
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.listeners[0].closed), (0, ListenerClose::ShutDownForReading));
    assert!(!path.exists(), "the socket file goes with the server");
}
