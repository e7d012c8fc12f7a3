//! Upgrades that are no WebSocket, and offers that nobody takes.

use std::time::Duration;

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse, routing::get};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use winddown::{Draining, Phase};

use crate::process::{PATIENCE, Process, eventually, no_lame_duck, rest, serve, with_drain};

/// Echoes bytes until the client ends, or until the stop where it listens for that.
fn tunnel(listens: bool) -> Router {
    let carry = async |socket: Upgraded| {
        let (mut from, mut to) = tokio::io::split(TokioIo::new(socket));
        let _ = tokio::io::copy(&mut from, &mut to).await;
    };
    let tunnel = async move |draining: Draining, mut request: Request| {
        let hold = draining.hold();
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let socket = upgrade.await.expect("it is agreed upon");
            tokio::select! {
                () = carry(socket) => {}
                () = draining.draining(), if listens => {}
            }
            drop(hold);
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "tunnel")]).into_response()
    };
    Router::new().route("/tunnel", get(tunnel))
}

async fn open(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let head = "GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: tunnel\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    stream.write_all(b"x").await.expect("the tunnel is open");
    assert_eq!(stream.read_u8().await.expect("the tunnel echoes"), b'x');
    stream
}

#[tokio::test]
async fn c14_upgraded_socket_is_in_flight_until_it_is_let_go() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", tunnel(false)).await;
    let process = Process::run(stop).await;
    let mut stream = open(address).await;
    process.signal();
    process.until(Phase::Drain).await;
    let status = process.stop.status();
    assert_eq!((status.connections, status.requests[0].path.as_str()), (1, "/tunnel"));
    stream.write_all(b"y").await.expect("the tunnel is open");
    assert_eq!(stream.read_u8().await.expect("the tunnel echoes"), b'y');
    assert!(!process.report.is_finished(), "the tunnel is in use");
    drop(stream);
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c14_handler_of_an_upgraded_socket_learns_of_the_stop() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", tunnel(true)).await;
    let process = Process::run(stop).await;
    let stream = open(address).await;
    process.signal();
    assert_eq!(rest(stream).await, "");
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c14_upgraded_socket_is_cut_at_the_deadline_and_named() {
    let stop = with_drain(Duration::from_millis(300));
    let (_, address) = serve(&stop, "public", tunnel(false)).await;
    let process = Process::run(stop).await;
    let mut stream = open(address).await;
    process.signal();
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.cut, report.connections.forced), (10, 1, 1));
    assert_eq!(report.cut_requests[0].path, "/tunnel");
    let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await.expect("in time");
    assert!(!matches!(end, Ok(1..)), "the socket is gone");
}

#[tokio::test]
async fn c11_offer_that_nobody_takes_costs_no_answer() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", Router::new()).await;
    let process = Process::run(stop).await;
    let part = vec![b'x'; 64 << 10];
    for i in 0..20 {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let head = "POST /nobody HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\
                    Content-Length: 1048576\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("the server reads");
        // A client that writes first and reads afterwards.
        for _ in 0..16 {
            if stream.write_all(&part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time");
        assert!(answer.starts_with(b"HTTP/1.1 404"), "connection {i}: {read:?}, {}", String::from_utf8_lossy(&answer));
    }
    eventually("no connection left", async || (process.stop.status().connections == 0).then_some(())).await;
    process.signal();
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c14_tunnel_by_connect_is_the_handlers_own() {
    let stop = no_lame_duck();
    let tunnel = async move |draining: Draining, mut request: Request| {
        let (hold, upgrade) = (draining.hold(), hyper::upgrade::on(&mut request));
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.expect("it is agreed upon")));
            let _ = tokio::io::copy(&mut from, &mut to).await;
            drop(hold);
        });
    };
    let (_, address) = serve(&stop, "public", Router::new().fallback(tunnel)).await;
    let process = Process::run(stop).await;
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(b"CONNECT there:1 HTTP/1.1\r\nHost: there:1\r\n\r\n").await.expect("the server reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    process.signal();
    process.until(Phase::Drain).await;
    stream.write_all(b"x").await.expect("the tunnel is open");
    assert_eq!(stream.read_u8().await.expect("the tunnel echoes"), b'x');
    drop(stream);
    assert_eq!(process.report().await.exit_code(), 0);
}
