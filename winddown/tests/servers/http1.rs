//! HTTP/1 connections in states that only a server in the same process can be brought into.

use std::time::Duration;

use axum::{Router, extract::State, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use winddown::{Phase, Shutdown, Transport};

use crate::process::{Held, PATIENCE, Process, ask, no_lame_duck, rest, serve};

#[tokio::test]
async fn c16_drain_waits_for_a_held_request_and_for_no_more() {
    let (stop, held) = (no_lame_duck(), Held::default());
    let (_, address) = serve(&stop, "public", held.router()).await;
    let process = Process::run(stop).await;
    let stream = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;

    process.signal();
    process.until(Phase::Drain).await;
    assert_eq!(process.stop.status().requests_in_flight, 1);
    assert_eq!(process.stop.status().requests[0].path, "/held");
    assert!(!process.report.is_finished(), "a request is in flight");

    held.release.notify_one();
    let answer = rest(stream).await;
    assert!(answer.contains("connection: close") && answer.ends_with("held"), "{answer}");
    let report = process.report().await;
    assert_eq!(report.exit_code(), 0);
    assert_eq!((report.requests.in_flight_at_start, report.requests.completed), (1, 1));
}

#[tokio::test]
async fn c06_response_that_a_slow_reader_has_not_taken_yet_is_delivered_whole() {
    const LENGTH: usize = 32 << 20; // More than any socket buffers take.
    let (stop, held) = (no_lame_duck(), Held::default());
    let big = get(move |State(held): State<Held>| async move {
        held.entered.notify_one();
        vec![b'x'; LENGTH]
    });
    let (_, address) = serve(&stop, "public", Router::new().route("/big", big).with_state(held.clone())).await;
    let process = Process::run(stop).await;
    let stream = ask(address, "/big").await.expect("the server listens");
    held.entered.notified().await;

    process.signal();
    process.until(Phase::Drain).await;
    // Long past every grace for idle connections. No clock can be paused here: the kernel's buffers are real.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!process.report.is_finished(), "the answer has not left");
    let answer = rest(stream).await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(body.starts_with(&"x".repeat(LENGTH)), "{} bytes of the body", body.len());
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c11_upload_that_is_read_away_behind_its_answer_is_never_taken_for_requests() {
    let (stop, held) = (no_lame_duck(), Held::default());
    let smuggled = get(|State(held): State<Held>| async move { held.entered.notify_one() });
    let router = Router::new().route("/early", get(|| async { "get only" })).route("/smuggled", smuggled);
    let (_, address) = serve(&stop, "public", router.with_state(held.clone())).await;
    let process = Process::run(stop).await;
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let upload = b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nbegin";
    stream.write_all(upload).await.expect("the server reads");
    // The answer and the FIN: from here on the server only discards.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("a clean end");
    assert!(answer.starts_with(b"HTTP/1.1 405"), "{}", String::from_utf8_lossy(&answer));

    let uploading = tokio::spawn(async move {
        let request = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n".repeat(50);
        while stream.write_all(&request).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    process.signal();
    let report = process.report().await;
    uploading.await.expect("no panic");
    assert_eq!((report.requests.late, report.requests.rejected), (0, 0), "bytes of the body were taken for requests");
}

#[tokio::test]
async fn c07_client_that_pipelines_without_a_pause_is_not_taken_for_a_slow_head() {
    const HEADER_TIMEOUT: Duration = Duration::from_millis(200);
    let transport = Transport { header_timeout: Some(HEADER_TIMEOUT), ..Transport::default() };
    let stop = Shutdown::builder().transport(transport).build().expect("it fits");
    let (_, address) = serve(&stop, "public", Router::new().route("/", get(|| async { "pipelined" }))).await;
    let _process = Process::run(stop).await;
    let (mut answers, mut requests) = TcpStream::connect(address).await.expect("the server listens").into_split();
    let writing = tokio::spawn(async move {
        // So many that the server always has some behind the one it answers.
        let depth = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(4096);
        while requests.write_all(&depth).await.is_ok() {}
    });
    let (began, mut buffer) = (std::time::Instant::now(), vec![0; 1 << 16]);
    while began.elapsed() < HEADER_TIMEOUT * 5 {
        let read = tokio::time::timeout(PATIENCE, answers.read(&mut buffer)).await.expect("in time");
        assert_ne!(read.expect("no reset"), 0, "closed after {:?}", began.elapsed());
    }
    writing.abort();
}

#[tokio::test]
async fn c07_requests_pipelined_behind_bodies_are_all_answered() {
    const GET: &str = "GET /echo HTTP/1.1\r\nHost: test\r\n\r\n";
    const SIZED: &str = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nsized";
    const CHUNKED: &str =
        "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nchunked\r\n0\r\n\r\n";
    let orders: [&[&str]; 6] = [
        &[SIZED, SIZED, SIZED],
        &[CHUNKED, CHUNKED, CHUNKED],
        &[SIZED, GET, CHUNKED],
        &[CHUNKED, GET, GET, SIZED],
        &[GET, CHUNKED, SIZED],
        &[GET, SIZED, GET],
    ];
    for order in orders {
        let (stop, held) = (no_lame_duck(), Held::default());
        let echo = axum::routing::any(async |body: String| format!("echo {body}"));
        let (_, address) = serve(&stop, "public", held.router().route("/echo", echo)).await;
        let process = Process::run(stop).await;
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let all = ["GET /held HTTP/1.1\r\nHost: test\r\n\r\n", &order.concat()].concat();
        stream.write_all(all.as_bytes()).await.expect("the server reads");
        held.entered.notified().await;
        process.signal();
        process.until(Phase::Drain).await;
        held.release.notify_one();
        let answers = rest(stream).await;
        assert_eq!(answers.matches("HTTP/1.1 200").count(), order.len() + 1, "{order:?}: {answers}");
        assert_eq!(process.report().await.exit_code(), 0);
    }
}

#[tokio::test]
async fn c45_late_requests_with_bodies_are_refused_one_by_one() {
    let (stop, held) = (no_lame_duck(), Held::default());
    let (_, address) = serve(&stop, "public", held.router()).await;
    let (_, other) = serve(&stop, "other", held.router()).await;
    let process = Process::run(stop).await;
    let mut stream = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;
    let mut idle = ask(other, "/no/such/route").await.expect("the server listens");
    tokio::time::timeout(PATIENCE, idle.read(&mut [0])).await.expect("in time").expect("an answer");
    process.signal();
    // When an idle connection has been told, so has a busy one.
    rest(idle).await;
    let late = b"POST /held HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nlate";
    stream.write_all(&late.repeat(3)).await.expect("the connection is open");
    // The only thread of this runtime asks for readable sockets before it sleeps, and then the server reads.
    tokio::time::sleep(Duration::from_millis(1)).await;
    held.release.notify_one();
    let answers = rest(stream).await;
    assert_eq!((answers.matches("HTTP/1.1 200").count(), answers.matches("HTTP/1.1 503").count()), (1, 3), "{answers}");
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c07_nothing_is_processed_behind_the_close() {
    let (stop, held) = (no_lame_duck(), Held::default());
    let (count, counted) = tokio::sync::mpsc::unbounded_channel();
    let counts = get(move || async move { count.send(()).expect("the test listens") });
    let (_, address) = serve(&stop, "public", held.router().route("/counts", counts)).await;
    let process = Process::run(stop).await;
    let mut stream = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;
    process.signal();
    process.until(Phase::Drain).await;
    held.release.notify_one();
    let mut answer = Vec::new();
    while !answer.ends_with(b"held") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(String::from_utf8_lossy(&answer).contains("connection: close"));
    stream.write_all(b"GET /counts HTTP/1.1\r\nHost: test\r\n\r\n").await.expect("the server lingers");
    assert_eq!(rest(stream).await, "", "an answer behind the close");
    assert_eq!(process.report().await.exit_code(), 0);
    assert!(counted.is_empty(), "processed, and nobody was told");
}
