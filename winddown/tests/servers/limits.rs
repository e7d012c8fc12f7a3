//! Limits: how many connections, and how slow a client may be.

use std::{num::NonZeroUsize, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use winddown::{Phase, Transport};

use crate::process::{Held, PATIENCE, Process, ask, eventually, rest, serve, with_transport};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn newcomers_wait_in_the_queue_until_there_is_room() {
    let stop = with_transport(Transport { max_connections: NonZeroUsize::new(2), ..Transport::default() });
    let held = Held::default();
    let (_, address) = serve(&stop, "public", held.router()).await;
    let process = Process::run(stop).await;
    let first = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;
    let second = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;
    let third = ask(address, "/held").await.expect("the kernel takes it");
    assert_eq!(process.stop.status().connections, 2);
    assert!(tokio::time::timeout(SHORT, held.entered.notified()).await.is_err(), "one more than are allowed");
    drop(first);
    held.entered.notified().await;
    held.release.notify_waiters();
    drop((second, third));
}

#[tokio::test]
async fn c01_queue_is_served_when_the_listener_closes_also_beyond_the_limit() {
    let stop = with_transport(Transport { max_connections: NonZeroUsize::new(1), ..Transport::default() });
    let held = Held::default();
    let router = held.router().route("/hello", get(|| async { "hello" }));
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let busy = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(ask(address, "/hello").await.expect("the kernel takes it"));
    }
    process.signal();
    process.until(Phase::Drain).await;
    for stream in waiting {
        assert!(rest(stream).await.ends_with("hello"));
    }
    held.release.notify_one();
    assert!(rest(busy).await.ends_with("held"));
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.listeners[0].saved), (0, 20));
}

#[tokio::test]
async fn upload_that_stands_still_is_given_up() {
    let stop = with_transport(Transport { progress_timeout: SHORT, ..Transport::default() });
    let upload = post(async |body: Result<Bytes, axum::extract::rejection::BytesRejection>| match body {
        Ok(_) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::REQUEST_TIMEOUT, error.body_text()),
    });
    let (_, address) = serve(&stop, "public", Router::new().route("/upload", upload)).await;
    let process = Process::run(stop).await;
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let head = "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    // Slow, but moving: in all for longer than the time-out.
    for _ in 0..6 {
        stream.write_all(b"bytes").await.expect("the server reads");
        tokio::time::sleep(SHORT / 4).await;
    }
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("no byte of the request body came for"), "{answer}");
    process.signal();
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn client_that_takes_nothing_of_its_response_is_given_up() {
    let stop = with_transport(Transport { progress_timeout: SHORT, ..Transport::default() });
    let big = get(async |State(held): State<Held>| {
        held.entered.notify_one();
        vec![b'x'; 32 << 20] // more than any socket buffers take
    });
    let held = Held::default();
    let (_, address) = serve(&stop, "public", Router::new().route("/big", big).with_state(held.clone())).await;
    let process = Process::run(stop).await;
    let mut stream = ask(address, "/big").await.expect("the server listens");
    held.entered.notified().await;
    eventually("the end of the connection", async || (process.stop.status().connections == 0).then_some(())).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time");
    assert!(read.is_err() || answer.len() < 32 << 20, "the whole answer fitted into the buffers");
    process.signal();
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn client_that_takes_its_response_slowly_is_not_given_up() {
    const LENGTH: usize = 24 << 20;
    let stop = with_transport(Transport { progress_timeout: SHORT, ..Transport::default() });
    let (_, address) = serve(&stop, "public", Router::new().route("/big", get(async || vec![b'x'; LENGTH]))).await;
    let process = Process::run(stop).await;
    let mut stream = ask(address, "/big").await.expect("the server listens");
    let (mut block, mut length, mut began) = (vec![0; 64 << 10], 0, std::time::Instant::now());
    // So slowly that the socket has no room for more in many times the time-out, and never so slowly that it takes nothing.
    while began.elapsed() < SHORT * 8 {
        length += stream.read(&mut block).await.expect("no reset");
        tokio::time::sleep(SHORT / 20).await;
    }
    began = std::time::Instant::now();
    loop {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut block)).await.expect("in time").expect("no reset");
        length += read;
        if read == 0 || length >= LENGTH {
            break;
        }
    }
    assert!(length >= LENGTH, "{length} bytes, the last of them after {:?}", began.elapsed());
    process.signal();
    assert_eq!(process.report().await.exit_code(), 0);
}
