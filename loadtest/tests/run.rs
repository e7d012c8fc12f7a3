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
            Event::Clock { .. } => {}
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

    let (_, counted) = rows(&report);
    assert_eq!(counted, told.done as u64, "goose has counted another number of requests");
}

/// The rows of goose's JSON report, by name, and how many requests they count.
fn rows(report: &Path) -> (serde_json::Map<String, serde_json::Value>, u64) {
    let report = std::fs::read_to_string(report).expect("goose has written its report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("the report is JSON");
    let rows = report["raw_metrics"]["requests"].as_object().expect("goose counts by name").clone();
    let counted = rows.values().filter_map(|row| row["raw_data"]["counter"].as_u64()).sum();
    (rows, counted)
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
    let bad = loadtest(&["--mix", "quick=1"]);
    assert_eq!(bad.status.code(), Some(78));
    assert!(bad.stdout.is_empty());
    assert!(String::from_utf8_lossy(&bad.stderr).contains("--mix"));
    assert_eq!(loadtest(&["--iterations", "3"]).status.code(), Some(78), "goose's, and left out");
    assert_eq!(loadtest(&["--help"]).status.code(), Some(0));

    let misfit = loadtest(&["--baseline-file", "/no/such/report.json", "--run-time", "1s"]);
    assert_eq!(misfit.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&misfit.stderr).contains("/no/such/report.json"));

    let unwritable = loadtest(&["--ledger", "/no/such/folder/ledger"]);
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unwritable.stderr).contains("--ledger /no/such/folder/ledger"));
}

#[test]
fn a_plan_starts_users_holds_them_and_stops_them_and_goose_has_seen_every_request() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let host = format!("http://{}", runtime.block_on(serve()));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (ledger, report) = (folder.path().join("ledger"), folder.path().join("report.json"));
    let output = loadtest(&[
        "--host",
        &host,
        "--ledger",
        ledger.to_str().expect("a plain path"),
        "--report-file",
        report.to_str().expect("a plain path"),
        "--test-plan=8,2s;8,2s;0,2s",
        "--mix=fast=1",
        "--fresh=0",
        "--progress",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).expect("progress is text");
    let users: Vec<u64> = stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("progress is JSON")["users"].as_u64())
        .map(|users| users.expect("users are counted"))
        .collect();
    assert_eq!(users.iter().max(), Some(&8), "{users:?}");
    // Up and down is what a plan is for: there are lines with some and not all users on both sides.
    let full = users.iter().position(|users| *users == 8).expect("the most is 8");
    let last_full = users.iter().rposition(|users| *users == 8).expect("the most is 8");
    assert!(users[..full].iter().any(|users| (1..8).contains(users)), "{users:?}");
    assert!(users[last_full..].iter().any(|users| (1..8).contains(users)), "{users:?}");

    let told = told(&ledger);
    assert_eq!(told.classes, HashSet::from([Class::Ok]));
    // A user keeps its connection from one turn to the next.
    assert_eq!(told.connected, 8);
    assert_eq!(rows(&report).1, told.done as u64, "goose has counted another number of requests");
}

/// The time, in microseconds, below which this share of the requests of a row lies.
fn percentile(row: &serde_json::Value, share: f64) -> u64 {
    let data = &row["raw_data"];
    let mut times: Vec<(u64, u64)> = data["times_us"]
        .as_object()
        .expect("goose counts times")
        .iter()
        .map(|(time, count)| (time.parse().expect("a time"), count.as_u64().expect("a count")))
        .collect();
    times.sort_unstable();
    let total: u64 = times.iter().map(|(_, count)| count).sum();
    let mut left = (total as f64 * share) as u64;
    for (time, count) in times {
        if left < count {
            return time;
        }
        left -= count;
    }
    unreachable!("the share is below 1")
}

/// A server that answers at once, and for 800 ms, from 1 s after its first request on, not at all.
async fn serve_with_a_stall() -> SocketAddr {
    use std::sync::OnceLock;

    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = || *FIRST.get_or_init(Instant::now);
    let stalls = move || async move {
        let into = first().elapsed();
        if (Duration::from_secs(1)..STALL_ENDS).contains(&into) {
            tokio::time::sleep(STALL_ENDS.saturating_sub(into)).await;
        }
        "hello"
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hello", get(stalls))).await });
    address
}
const STALL_ENDS: Duration = Duration::from_millis(1800);

#[test]
fn a_stall_shows_in_the_times_of_the_open_model_as_those_who_wait_would_see_it() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let host = format!("http://{}", runtime.block_on(serve_with_a_stall()));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (ledger, report) = (folder.path().join("ledger"), folder.path().join("report.json"));
    let output = loadtest(&[
        "--host",
        &host,
        "--ledger",
        ledger.to_str().expect("a plain path"),
        "--report-file",
        report.to_str().expect("a plain path"),
        "--rate=500/s",
        "--users=4",
        "--h2=0",
        "--fresh=0",
        "--mix=fast=1",
        "--run-time=4s",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("requests that were due"), "the stall kept requests from being begun in time: {said}");

    let told = told(&ledger);
    assert!((1500..2500).contains(&told.done), "500 a second were due: {}", told.done);
    let (rows, counted) = rows(&report);
    assert_eq!(counted, told.done as u64);
    let row = rows.values().next().expect("there is one name");
    let (p50, p90, p99) = (percentile(row, 0.5), percentile(row, 0.9), percentile(row, 0.99));
    // A fifth of all were due in the stall: those at its begin waited for all of it, and of those one in a hundred is.
    // Four users that wait for their answers would have met it four times, of two thousand.
    assert!(p99 > 50 * p50.max(1) && p90 > 5 * p50.max(1), "p50 {p50}, p90 {p90}, p99 {p99}");
}
