//! The control is a real server: it starts, answers, keeps its ledger, and ends when it is told to.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use chaos::{
    binaries::Binaries,
    health,
    server::{Server, Traces},
    surroundings::Surroundings,
};
use rustix::process::Signal;

const BOUND: Duration = Duration::from_secs(20);

/// Places an order: the one that the answer tells.
fn order(address: SocketAddr, key: &str, order: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(BOUND)).expect("a socket can be set so");
    let length = order.len();
    write!(
        stream,
        "POST /orders HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{order}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    serde_json::from_str(body).expect("an order is JSON")
}

#[test]
fn the_control_starts_answers_and_is_gone_after_its_signal() {
    for server in [Server::Naive, Server::AxumServer] {
        starts_answers_and_ends(server);
    }
}

fn starts_answers_and_ends(server: Server) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let naive = ("naive".to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_naive")));
    let binaries = Binaries::found([naive], folder.path().into());

    let mut running = server
        .start(&binaries, &BTreeMap::new(), &Traces::within(folder.path()), &Surroundings::default())
        .expect("it gets ready on free ports");
    for path in ["/hello", "/readyz", "/work/1", "/stream?chunks=3&every_ms=1"] {
        assert_eq!(health::get(running.traffic, path).expect("it answers"), 200, "{path}");
    }
    assert_eq!(health::get(running.traffic, "/nowhere").expect("it answers"), 404);
    assert_eq!(
        order(running.traffic, "t-0-1", r#"{"item":"tea","quantity":2}"#),
        serde_json::json!({"id": "t-0-1", "key": "t-0-1", "item": "tea", "quantity": 2, "status": "accepted"})
    );

    running.process.signal(Signal::TERM).expect("it runs");
    let exit = running.process.wait(BOUND).expect("it can be awaited").expect("nothing is in flight that holds it");
    assert_eq!(exit.code, 0);
    assert!(health::get(running.traffic, "/hello").is_err(), "nobody listens any more");

    let audit = std::fs::read_to_string(Traces::within(folder.path()).audit).expect("it kept a ledger");
    let count = |words: &str| audit.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count(" enter "), count(" body_end "), "{audit}");
    assert!(count(" complete -") >= 4, "{audit}");
}

#[test]
fn a_server_that_cannot_start_is_named_with_its_log() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let broken = ("naive".to_owned(), PathBuf::from("/bin/false"));
    let binaries = Binaries::found([broken], folder.path().into());
    let error = Server::Naive
        .start(&binaries, &BTreeMap::new(), &Traces::within(folder.path()), &Surroundings::default())
        .expect_err("it ends at once");
    let beginning = "axum::serve ended with code 1 before it was ready: see ";
    assert!(error.to_string().starts_with(beginning), "{error:#}");
}
