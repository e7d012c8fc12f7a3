//! WebSockets: tracked though upgraded, told 1001, waited for, and named when they are cut.

use std::{
    future::pending,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{Router, extract::ws::Message, routing::any};
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use hyper::{client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, protocol::Role},
};
use winddown::{Phase, Transport, WebSocket, WebSocketUpgrade};

use crate::process::{PATIENCE, Process, eventually, no_lame_duck, serve, with_drain, with_transport};

fn echo() -> Router {
    let echo = async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    };
    Router::new().route("/ws", any(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
}

async fn open(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    client_async("ws://test/ws", stream).await.expect("the server speaks WebSocket").0
}

/// Proves that the handler runs.
async fn assert_echoes<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    socket.send("hello".into()).await.expect("the server reads");
    let answer = socket.next().await.expect("the server answers").expect("a message");
    assert_eq!(answer.into_text().expect("text"), "hello");
}

/// The code of the server's close frame. Reading it lets the client answer.
async fn close_code<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> u16 {
    let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
    match next.expect("a close frame comes before the end").expect("a frame") {
        tungstenite::Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn c14_websocket_gets_1001_and_is_waited_for() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", echo()).await;
    let process = Process::run(stop).await;
    let mut socket = open(address).await;
    assert_echoes(&mut socket).await;
    let status = process.stop.status();
    assert_eq!((status.requests_in_flight, status.requests[0].path.as_str()), (1, "/ws"), "in flight, and listed");
    process.signal();
    assert_eq!(close_code(&mut socket).await, 1001);
    assert!(!process.report.is_finished(), "the client has not closed yet");
    assert!(socket.next().await.is_none_or(|end| end.is_err()), "nothing behind the goodbye");
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.connections.forced), (0, 0));
    assert_eq!((report.requests.in_flight_at_start, report.requests.completed), (1, 1));
}

#[tokio::test]
async fn c14_goodbyes_are_spread_over_the_jitter() {
    const JITTER: Duration = Duration::from_secs(2);
    let stop = with_transport(Transport { close_jitter: JITTER, ..Transport::default() });
    let (_, address) = serve(&stop, "public", echo()).await;
    let process = Process::run(stop).await;
    let mut sockets = Vec::new();
    for _ in 0..40 {
        sockets.push(open(address).await);
    }
    process.signal();
    process.until(Phase::Drain).await;
    let told = sockets.into_iter().map(|mut socket| {
        tokio::spawn(async move {
            assert_eq!(close_code(&mut socket).await, 1001);
            let at = Instant::now();
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
            at
        })
    });
    let mut told =
        futures_util::future::join_all(told).await.into_iter().map(|at| at.expect("told")).collect::<Vec<_>>();
    told.sort();
    let spread = told[39].saturating_duration_since(told[0]);
    assert!(spread > JITTER / 4, "all within {spread:?}");
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c14_peer_that_never_closes_is_waited_for_no_longer_than_a_second() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", echo()).await;
    let process = Process::run(stop).await;
    let mut socket = open(address).await;
    assert_echoes(&mut socket).await;
    process.signal();
    // Its socket is open, and it reads nothing more: no close frame ever comes.
    let report = process.report().await;
    assert_eq!(report.exit_code(), 0, "it was told, and nothing was cut");
    assert!(report.duration < Duration::from_secs(8), "{:?}", report.duration);
    drop(socket);
}

#[tokio::test]
async fn c14_websocket_whose_handler_does_not_listen_is_cut_at_the_deadline_and_named() {
    let stop = with_drain(Duration::from_millis(300));
    let deaf = async |socket: WebSocket| {
        pending::<()>().await;
        drop(socket);
    };
    let router = Router::new().route("/ws", any(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(deaf)));
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let mut socket = open(address).await;
    process.signal();
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.cut), (10, 1));
    assert_eq!(report.cut_requests[0].path, "/ws");
    assert!(socket.next().await.is_none_or(|end| end.is_err()), "and the socket is gone");
}

#[tokio::test]
async fn c14_what_the_peer_said_before_it_closed_is_heard() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let stop = no_lame_duck();
    let listen = async move |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |mut socket: WebSocket| {
            while let Some(Ok(message)) = socket.recv().await {
                tell.send(message).expect("the test listens");
            }
            assert!(socket.send("too late".into()).await.is_err(), "nothing may follow a close frame");
        })
    };
    let (_, address) = serve(&stop, "public", Router::new().route("/ws", any(listen))).await;
    let process = Process::run(stop).await;
    let mut raw = TcpStream::connect(address).await.expect("the server listens");
    let request = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    raw.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(raw.read_u8().await.expect("an answer"));
    }
    process.signal();
    assert_eq!(raw.read_u8().await.expect("a frame"), 0x88, "the last frame, and it closes");
    // Text of three bytes and an empty close frame, masked with zeros (RFC 6455 §5.2).
    raw.write_all(&[0x81, 0x83, 0, 0, 0, 0, b'b', b'y', b'e', 0x88, 0x80, 0, 0, 0, 0]).await.expect("the server reads");
    assert_eq!(told.recv().await, Some(Message::Text("bye".into())));
    assert!(matches!(told.recv().await, Some(Message::Close(_))));
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c14_websocket_over_http2_is_told_and_waited_for() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", echo()).await;
    let process = Process::run(stop).await;
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the server speaks HTTP/2");
    let connection = tokio::spawn(connection);
    // An answer of any kind comes behind the server's settings, which allow what follows.
    let first = Request::get("http://test/").body(String::new()).expect("it is well formed");
    client.send_request(first).await.expect("an answer");
    let connect =
        Request::builder().method(Method::CONNECT).uri("http://test/ws").header("sec-websocket-version", "13");
    let connect = connect.extension(Protocol::from_static("websocket")).body(String::new()).expect("it is well formed");
    let mut response = client.send_request(connect).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let upgraded = hyper::upgrade::on(&mut response).await.expect("a WebSocket");
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    assert_echoes(&mut socket).await;
    assert_eq!(process.stop.status().requests[0].path, "/ws");
    process.signal();
    assert_eq!(close_code(&mut socket).await, 1001);
    assert!(!process.report.is_finished(), "the client has not closed yet");
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    drop((socket, client));
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.completed), (0, 1));
    connection.await.expect("no panic").expect("the connection ends well");
}

#[tokio::test]
async fn a_handler_that_returns_in_peace_closes_with_1000() {
    let stop = no_lame_duck();
    let short = async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(async |_: WebSocket| {});
    let (_, address) = serve(&stop, "public", Router::new().route("/ws", any(short))).await;
    let process = Process::run(stop).await;
    let mut socket = open(address).await;
    assert_eq!(close_code(&mut socket).await, 1000);
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    eventually("nothing in flight", async || (process.stop.status().requests_in_flight == 0).then_some(())).await;
    process.signal();
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c14_websocket_that_was_split_between_tasks_gets_1001() {
    let stop = no_lame_duck();
    let split = async |socket: WebSocket| {
        let (mut to, mut from) = socket.split();
        let (pass, mut passed) = mpsc::channel(1);
        let writing = tokio::spawn(async move {
            while let Some(message) = passed.recv().await {
                if to.send(message).await.is_err() {
                    break;
                }
            }
        });
        while let Some(Ok(message)) = from.next().await {
            if pass.send(message).await.is_err() {
                break;
            }
        }
        drop(pass);
        writing.await.expect("no panic");
    };
    let router = Router::new().route("/ws", any(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(split)));
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let mut socket = open(address).await;
    // The writer was the last to wait for the goodbye.
    assert_echoes(&mut socket).await;
    process.signal();
    assert_eq!(close_code(&mut socket).await, 1001);
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c14_peer_that_reads_nothing_holds_no_longer_than_the_jitter_and_a_second() {
    let stop = no_lame_duck();
    let flood = async |mut socket: WebSocket| {
        let message = Message::Binary(vec![0; 1 << 20].into());
        while socket.send(message.clone()).await.is_ok() {}
    };
    let router = Router::new().route("/ws", any(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(flood)));
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let socket = open(address).await;
    process.signal();
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.cut), (0, 0));
    assert!(report.duration < Duration::from_secs(8), "{:?}", report.duration);
    drop(socket);
}
