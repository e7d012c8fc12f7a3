//! Servers that misbehave in just one way, and the class that each earns.

mod h2;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::{
    config::Config,
    ledger::{Class, Ledger},
    request::Catalogue,
    user::{Load, User},
};

/// What a scripted server does with one request.
#[derive(Clone, Copy)]
enum Step {
    /// Answers with these bytes.
    Answer(&'static str),
    /// Answers with these bytes, nobody having asked.
    Unasked(&'static str),
    /// Answers with these bytes, then resets the connection.
    Reset(&'static str),
    /// Never answers.
    Hang,
}
use Step::{Answer, Hang, Reset, Unasked};

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const FAREWELL: &str = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Follows the script of each connection, and closes it where its script ends.
async fn scripted(listener: TcpListener, scripts: &[&[Step]]) {
    for script in scripts {
        let (mut stream, _) = listener.accept().await.expect("the client connects");
        for step in *script {
            if !matches!(step, Unasked(_)) && !read_request(&mut stream).await {
                break;
            }
            match step {
                Answer(bytes) | Unasked(bytes) => stream.write_all(bytes.as_bytes()).await.expect("the client reads"),
                Reset(bytes) => {
                    stream.write_all(bytes.as_bytes()).await.expect("the client reads");
                    stream.set_zero_linger().expect("a socket can be set to reset");
                }
                Hang => std::future::pending().await,
            }
        }
    }
}

/// Reads to the end of a request that has no body; `false` if the client closes instead.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.expect("the client does not reset") == 0 {
            return false;
        }
    }
    true
}

struct Bench {
    load: Arc<Load>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(port: u16, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let host = format!("http://127.0.0.1:{port}");
        let common = ["loadtest", "--ledger", "unused", "--host", &host, "--run-id", "t", "--fresh", "0"];
        let config = Config::try_parse_from(common.iter().chain(flags)).expect("the flags fit");
        Self { load: Arc::new(load(&folder.path().join("ledger"), config)), _folder: folder }
    }
}

fn load(ledger: &Path, config: Config) -> Load {
    let last = Instant::now() + Duration::from_secs(30);
    Load {
        catalogue: Catalogue::new(&config),
        ledger: Ledger::create(ledger).expect("a new file in a temporary folder opens"),
        run_id: "t".into(),
        until: last,
        last,
        active: AtomicU32::new(0),
        timetable: None,
        times: None,
        config,
    }
}

/// The class and detail of each of `rounds` requests to a server with `scripts`.
async fn outcomes(flags: &[&str], scripts: &[&[Step]], rounds: usize) -> Vec<(Class, &'static str)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let bench = Bench::new(port, &[["--h2", "0"].as_slice(), flags].concat());
    let client = async {
        let mut user = User::new(&bench.load, 0);
        let mut seen = Vec::new();
        while seen.len() < rounds {
            seen.extend(
                user.round_now()
                    .await
                    .iter()
                    .map(|answer| (answer.verdict.class, answer.verdict.detail.unwrap_or("-"))),
            );
        }
        seen
    };
    let server = async {
        scripted(listener, scripts).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        seen = client => seen,
        () = server => unreachable!("it is pending"),
    }
}

/// The class and detail of one `GET /hello` that is answered so.
async fn fast(step: Step) -> (Class, &'static str) {
    outcomes(&["--mix", "fast=1"], &[&[step]], 1).await[0]
}

#[tokio::test]
async fn a_complete_and_correct_response_is_ok() {
    assert_eq!(fast(Answer(HELLO)).await, (Class::Ok, "-"));
}

#[tokio::test]
async fn an_end_before_a_complete_head_is_no_response() {
    assert_eq!(fast(Answer("")).await, (Class::NoResponse, "eof"));
    assert_eq!(fast(Answer("HTTP/1.1 200 OK\r\ncontent-le")).await, (Class::NoResponse, "eof"));
    assert_eq!(fast(Reset("")).await, (Class::NoResponse, "reset"));
}

#[tokio::test]
async fn a_body_that_is_cut_is_truncated() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel";
    assert_eq!(fast(Answer(short)).await, (Class::Truncated, "eof"));
    let no_terminator = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    assert_eq!(fast(Answer(no_terminator)).await, (Class::Truncated, "eof"));
}

#[tokio::test]
async fn a_body_that_ends_cleanly_too_early_is_truncated() {
    let clean = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nchunk 0\n\r\n0\r\n\r\n";
    let seen = outcomes(&["--mix", "stream=1", "--stream", "2x1ms"], &[&[Answer(clean)]], 1).await;
    assert_eq!(seen, [(Class::Truncated, "short_body")]);
    let wrong = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\njello";
    assert_eq!(fast(Answer(wrong)).await, (Class::Truncated, "corrupt_body"));
}

#[tokio::test]
async fn a_digest_that_differs_is_truncated() {
    let receipt = "HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\n{\"length\":1,\"sha256\":\"00\"}";
    // No script: those read requests without a body, and this one has a byte behind its head.
    let flags = ["--mix", "upload=1", "--upload-bytes", "1", "--upload-pause", "0s"];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let bench = Bench::new(listener.local_addr().expect("it is bound").port(), &[&["--h2", "0"], &flags[..]].concat());
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("the client connects");
        let mut request = Vec::new();
        while request.windows(4).position(|four| four == b"\r\n\r\n").is_none_or(|end| request.len() < end + 5) {
            stream.read_buf(&mut request).await.expect("the client sends");
        }
        stream.write_all(receipt.as_bytes()).await.expect("the client reads");
        stream
    };
    let mut user = User::new(&bench.load, 0);
    let (_stream, answers) = tokio::join!(server, user.round_now());
    let verdict = answers[0].verdict;
    assert_eq!((verdict.class, verdict.detail), (Class::Truncated, Some("digest")));
}

#[tokio::test]
async fn a_408_that_closes_a_reused_connection_is_a_farewell() {
    let seen = outcomes(&["--mix", "fast=1"], &[&[Answer(HELLO), Answer(FAREWELL)], &[Answer(HELLO)]], 3).await;
    assert_eq!(seen, [(Class::Ok, "-"), (Class::Farewell, "-"), (Class::Ok, "-")]);
}

#[tokio::test]
async fn a_408_is_an_error_on_a_fresh_connection_and_on_one_that_stays_open() {
    assert_eq!(fast(Answer(FAREWELL)).await, (Class::Error, "fresh"));
    let stays = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
    let seen = outcomes(&["--mix", "fast=1"], &[&[Answer(HELLO), Answer(stays)]], 2).await;
    assert_eq!(seen[1], (Class::Error, "no_close"));
}

#[tokio::test]
async fn a_503_is_a_rejection_only_if_it_says_when_to_return_and_closes() {
    for (headers, expected) in [
        ("retry-after: 1\r\nconnection: close\r\n", (Class::Rejected, "-")),
        ("connection: close\r\n", (Class::BadRejection, "no_retry_after")),
        ("retry-after: 1\r\n", (Class::BadRejection, "no_close")),
    ] {
        let response = format!("HTTP/1.1 503 Service Unavailable\r\n{headers}content-length: 0\r\n\r\n");
        assert_eq!(fast(Answer(response.leak())).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn another_status_and_another_id_are_errors() {
    assert_eq!(fast(Answer("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")).await, (Class::Error, "status"));
    let created = "HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(fast(Answer(created)).await, (Class::Error, "status"));
    let foreign = "HTTP/1.1 200 OK\r\nx-request-id: t-0-9\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(fast(Answer(foreign)).await, (Class::Error, "wrong_id"));
    assert_eq!(fast(Answer("SMTP ready\r\n\r\n")).await, (Class::Error, "parse"));
}

#[tokio::test]
async fn connection_close_is_honoured_with_a_new_connection() {
    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
    // The server reads no second request on the first connection: only a new one gets on.
    let seen = outcomes(&["--mix", "fast=1"], &[&[Answer(last)], &[Answer(HELLO)]], 2).await;
    assert_eq!(seen, [(Class::Ok, "-"), (Class::Ok, "-")]);
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    for h2 in ["0", "100"] {
        let bench = Bench::new(port, &["--h2", h2]);
        let answers = User::new(&bench.load, 0).round_now().await;
        assert!(answers.iter().all(|answer| answer.verdict.class == Class::Refused), "{answers:?}");
        assert!(answers.iter().all(|answer| answer.verdict.is_refused_connect()), "{answers:?}");
    }
}

#[tokio::test]
async fn a_request_is_never_sent_on_a_connection_that_was_seen_to_end() {
    for parting in ["", FAREWELL] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let bench = Bench::new(port, &["--h2", "0", "--mix", "fast=1"]);
        let mut user = User::new(&bench.load, 0);
        let client = async {
            assert_eq!(user.round_now().await[0].verdict.class, Class::Ok);
            user.kept_connection_ends().await;
            user.round_now().await[0].verdict
        };
        let scripts: [&[Step]; 1] = [&[Answer(HELLO), Unasked(parting)]];
        let ((), verdict) = tokio::join!(scripted(listener, &scripts), client);
        assert_eq!((verdict.class, verdict.detail), (Class::Refused, Some("never_sent")), "{parting:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_request_timeout_and_no_more() {
    let flags = ["--mix", "fast=1", "--request-timeout", "50ms"];
    assert_eq!(outcomes(&flags, &[&[Hang]], 1).await, [(Class::Timeout, "-")]);
}
