//! Whole runs against a correct server, through the library and through the binary.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path as UrlPath, Query},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use clap::Parser;
use loadtest::{
    Config,
    ledger::{Class, Event, Kind, Protocol, read},
};
use sha2::{Digest, Sha256};

#[derive(serde::Deserialize)]
struct Stream {
    chunks: u32,
    every_ms: u64,
}

/// The service, as far as the load knows it.
fn service() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route(
            "/work/{ms}",
            get(|UrlPath(ms): UrlPath<u64>| async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                format!("worked {ms} ms")
            }),
        )
        .route(
            "/stream",
            get(|Query(Stream { chunks, every_ms }): Query<Stream>| async move {
                Body::from_stream(futures_util::stream::unfold(0, move |i| async move {
                    tokio::time::sleep(Duration::from_millis(every_ms)).await;
                    (i < chunks).then(|| (Ok::<_, std::convert::Infallible>(format!("chunk {i}\n")), i + 1))
                }))
            }),
        )
        .route(
            "/echo",
            post(|body: Bytes| async move {
                let digest = Sha256::digest(&body).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
                serde_json::json!({"length": body.len(), "sha256": digest}).to_string()
            }),
        )
        .route(
            "/orders",
            post(|headers: HeaderMap, body: Bytes| async move {
                let mut order: serde_json::Value = serde_json::from_slice(&body).expect("an order is JSON");
                order["key"] = headers["idempotency-key"].to_str().expect("a key is text").into();
                (StatusCode::CREATED, order.to_string())
            }),
        )
}

async fn serve() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, service()).await });
    address
}

/// What a ledger tells when it is read as a whole.
#[derive(Default)]
struct Told {
    kinds: HashSet<(Kind, Protocol, bool)>,
    classes: HashSet<Class>,
    connected: usize,
    done: usize,
}

/// Reads a ledger and holds it to its invariants.
fn told(path: &Path) -> Told {
    let mut reader = read(path).expect("the run has written its ledger");
    let (mut told, mut open, mut numbers) = (Told::default(), HashSet::new(), HashSet::new());
    while let Some(record) = reader.next_record().expect("every line is a record") {
        match record.event {
            Event::Connected { connection, .. } => {
                told.connected += 1;
                assert!(numbers.contains(&connection), "connection {connection} was dialled for no request");
            }
            Event::Intent { connection, reused, protocol, kind, id, .. } => {
                told.kinds.insert((kind, protocol, reused));
                numbers.insert(connection);
                assert!(open.insert(id.to_owned()), "{id} was asked twice");
            }
            Event::Outcome { class, id, .. } => {
                told.classes.insert(class);
                told.done += 1;
                assert!(open.remove(id), "{id} ended without an intent");
            }
        }
    }
    assert!(open.is_empty(), "without an outcome: {open:?}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn against_a_correct_server_all_is_ok_and_every_intent_has_its_outcome() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (ledger, report) = (folder.path().join("ledger"), folder.path().join("report.json"));
    let host = format!("http://{}", serve().await);
    let config = Config::try_parse_from([
        "loadtest",
        "--host",
        &host,
        "--ledger",
        ledger.to_str().expect("a plain path"),
        "--report-file",
        report.to_str().expect("a plain path"),
        "--users=64",
        "--mix=fast=3,slow=2,stream=2,upload=2,order=2",
        "--run-time=4s",
        "--slow-ms=1..20",
        "--stream=3x5ms",
        "--upload-pause=1ms",
    ])
    .expect("the flags fit");

    let summary = loadtest::run(config, None).await.expect("the run succeeds");

    let told = told(&ledger);
    assert_eq!(told.classes, HashSet::from([Class::Ok]));
    assert_eq!(summary.outcomes, [(Class::Ok, told.done as u64)]);
    for kind in [Kind::Fast, Kind::Slow, Kind::Stream, Kind::Upload, Kind::Order] {
        for reused in [false, true] {
            assert!(told.kinds.contains(&(kind, Protocol::H1, reused)), "no {kind} on h1, reused: {reused}");
        }
        assert!(told.kinds.contains(&(kind, Protocol::H2, true)), "no {kind} on h2");
    }
    assert!(told.connected > 64, "users with fresh connections open one for each request");

    let report = std::fs::read_to_string(report).expect("goose has written its report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("the report is JSON");
    let rows = report["raw_metrics"]["requests"].as_object().expect("goose counts by name");
    let counted: u64 = rows.values().filter_map(|row| row["raw_data"]["counter"].as_u64()).sum();
    assert_eq!(counted, told.done as u64, "goose has counted another number of requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_rest_between_an_answer_and_their_next_request() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let ledger = folder.path().join("ledger");
    let (host, ledger_path) = (format!("http://{}", serve().await), ledger.to_str().expect("a plain path").to_owned());
    let output = tokio::task::spawn_blocking(move || {
        loadtest(&[
            "--host",
            &host,
            "--ledger",
            &ledger_path,
            "--users=4",
            "--h2=0",
            "--mix=fast=1",
            "--run-time=1s",
            "--think=100ms",
        ])
    });
    assert!(output.await.expect("it does not panic").status.success());
    let done = told(&ledger).done;
    assert!((4..=4 * 11).contains(&done), "{done} requests of 4 users in ten rests each");
}

fn loadtest(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(args).output().expect("the binary starts")
}

#[test]
fn until_refused_ends_early_with_0_and_standard_output_is_progress_only() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let ledger = folder.path().join("ledger");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let host = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let begun = Instant::now();
    let output = loadtest(&[
        "--host",
        &host,
        "--ledger",
        ledger.to_str().expect("a plain path"),
        "--users=8",
        "--run-time=60s",
        "--until-refused",
        "--progress",
    ]);
    assert!(begun.elapsed() < Duration::from_secs(30), "it went on after every user was refused");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told = told(&ledger);
    assert_eq!(told.classes, HashSet::from([Class::Refused]));
    let stdout = String::from_utf8(output.stdout).expect("progress is text");
    for line in stdout.lines() {
        let progress: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not progress: {line}"));
        assert!(["users", "in_flight", "done"].iter().all(|key| progress[key].is_u64()), "{line}");
    }
    let last: serde_json::Value =
        serde_json::from_str(stdout.lines().last().expect("a line")).expect("it was just parsed");
    assert_eq!(last["done"], told.done as u64);
    assert_eq!(last["in_flight"], 0);
}

#[test]
fn a_bad_value_ends_with_78_and_an_unwritable_ledger_with_1() {
    let bad = loadtest(&["--ledger", "l", "--mix", "quick=1"]);
    assert_eq!(bad.status.code(), Some(78));
    assert!(bad.stdout.is_empty());
    assert!(String::from_utf8_lossy(&bad.stderr).contains("--mix"));
    assert_eq!(loadtest(&[]).status.code(), Some(78), "--ledger is required");
    assert_eq!(loadtest(&["--help"]).status.code(), Some(0));

    let unwritable = loadtest(&["--ledger", "/no/such/folder/ledger"]);
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unwritable.stderr).contains("--ledger /no/such/folder/ledger"));
}
