//! The same over HTTP/2, in frames that no library would send.

use std::io;

use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::Bench;
use crate::{
    ledger::Class,
    user::{Answer, User},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The last-stream-id of a GOAWAY that refuses nothing yet.
const NO_LAST: u32 = (1 << 31) - 1;

/// Connections that a race is tried on.
const ROUNDS: u32 = 500;

/// What a stream may send before its window is updated.
const FIRST_WINDOW: usize = 65_535;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// The head of a response: a status by its place in HPACK's static table.
fn head(stream: u32, status: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[0x80 | status])
}
const OK: u8 = 8;
const NO_CONTENT: u8 = 9;

fn hello(stream: u32) -> Vec<u8> {
    [head(stream, OK), frame(DATA, END_STREAM, stream, b"hello")].concat()
}

/// A server's end of an HTTP/2 connection.
struct Server(TcpStream);

impl Server {
    async fn accept(listener: &TcpListener) -> Self {
        const PREFACE: usize = 24;
        let (mut stream, _) = listener.accept().await.expect("the client connects");
        stream.set_nodelay(true).expect("a socket can be set to send at once");
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("the client reads our settings");
        stream.read_exact(&mut [0; PREFACE]).await.expect("the client sends its preface");
        Self(stream)
    }

    /// Reads to the next frame of this kind: its flags, its stream, its payload.
    async fn next(&mut self, kind: u8) -> io::Result<(u8, u32, Vec<u8>)> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.0.read_exact(&mut payload).await?;
            if head[3] == kind {
                return Ok((head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload));
            }
        }
    }

    /// Reads so many requests.
    async fn requests(&mut self, count: usize) {
        for _ in 0..count {
            self.next(HEADERS).await.expect("the client sends a request");
        }
    }

    /// Serves requests until the client closes.
    async fn serve(mut self) {
        while let Ok((_, stream, _)) = self.next(HEADERS).await {
            self.write(&hello(stream)).await;
        }
    }

    async fn write(&mut self, frames: &[u8]) {
        self.0.write_all(frames).await.expect("the client reads");
    }

    /// The same, at once and without letting any other task run.
    fn write_now(&self, frames: &[u8]) {
        assert_eq!(self.0.try_write(frames).expect("the client has read all before"), frames.len());
    }

    async fn close(mut self) {
        self.0.shutdown().await.expect("the client is there");
        // Read to its end, or what the client sends meanwhile would make a reset of our close.
        let _ = self.0.read_to_end(&mut Vec::new()).await;
    }
}

/// A port, and a bench with an HTTP/2 user for it.
async fn bench(flags: &[&str]) -> (TcpListener, Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, Bench::new(port, &[&["--h2", "100"], flags].concat()))
}

/// A user that asks for `/hello`, one request at a time.
const FAST: &[&str] = &["--h2-streams", "1", "--mix", "fast=1"];

type Outcome = (Class, Option<&'static str>);

fn outcomes(answers: &[Answer]) -> Vec<Outcome> {
    answers.iter().map(|answer| (answer.verdict.class, answer.verdict.detail)).collect()
}

const SERVED: Outcome = (Class::Ok, None);
const EOF: Outcome = (Class::NoResponse, Some("eof"));
const ABOVE_LAST: Outcome = (Class::H2Nack, Some("goaway"));
const NEVER_SENT: Outcome = (Class::Refused, Some("never_sent"));

/// One round of an HTTP/2 user whose requests a server answers with these frames, then closes.
async fn round(flags: &[&str], requests: usize, frames: &[&[u8]]) -> Vec<Outcome> {
    let (listener, bench) = bench(flags).await;
    let server = async {
        let mut server = Server::accept(&listener).await;
        server.requests(requests).await;
        server.write(&frames.concat()).await;
        server.close().await;
    };
    let mut user = User::new(&bench.load, 0);
    let ((), answers) = tokio::join!(server, user.round_now());
    outcomes(&answers)
}

/// The same with one request.
async fn one(frames: &[&[u8]]) -> Outcome {
    round(FAST, 1, frames).await[0]
}

/// The same with two requests at once, on streams 1 and 3.
async fn two(frames: &[&[u8]]) -> Vec<Outcome> {
    // A seed that makes the user ask twice in its first round.
    round(&["--h2-streams", "2", "--seed", "1", "--mix", "fast=1"], 2, frames).await
}

#[tokio::test]
async fn a_stream_above_the_last_of_a_goaway_is_an_h2_nack_and_those_below_are_served() {
    assert_eq!(one(&[&goaway(0, NO_ERROR)]).await, ABOVE_LAST);
    assert_eq!(two(&[&goaway(1, NO_ERROR), &hello(1)]).await, [SERVED, ABOVE_LAST]);
    assert_eq!(two(&[&goaway(NO_LAST, NO_ERROR), &goaway(1, NO_ERROR), &hello(1)]).await, [SERVED, ABOVE_LAST]);
}

#[tokio::test]
async fn a_refused_stream_is_an_h2_nack_and_another_reset_is_not() {
    assert_eq!(one(&[&reset(1, REFUSED_STREAM)]).await, (Class::H2Nack, Some("refused_stream")));
    assert_eq!(one(&[&reset(1, INTERNAL_ERROR)]).await, (Class::NoResponse, Some("rst_stream")));
    assert_eq!(two(&[&reset(3, REFUSED_STREAM), &hello(1)]).await[0], SERVED);
}

#[tokio::test]
async fn a_goaway_that_does_not_refuse_the_stream_and_then_the_end_is_no_response() {
    assert_eq!(one(&[]).await, EOF);
    for code in [NO_ERROR, ENHANCE_YOUR_CALM, REFUSED_STREAM] {
        assert_eq!(one(&[&goaway(NO_LAST, code)]).await, EOF, "{code}");
        assert_eq!(one(&[&goaway(1, code)]).await, EOF, "{code}");
        assert_eq!(one(&[&goaway(NO_LAST, code), &goaway(1, code)]).await, EOF, "{code}");
        assert_eq!(two(&[&goaway(1, code)]).await, [EOF, ABOVE_LAST], "{code}");
    }
}

#[tokio::test]
async fn a_goaway_that_does_not_refuse_the_stream_and_then_a_reset_is_no_response() {
    let (listener, bench) = bench(FAST).await;
    let server = async {
        let mut server = Server::accept(&listener).await;
        server.requests(1).await;
        server.write(&goaway(1, NO_ERROR)).await;
        server.0.set_zero_linger().expect("a socket can be set to reset");
    };
    let mut user = User::new(&bench.load, 0);
    let ((), answers) = tokio::join!(server, user.round_now());
    // Its detail depends on whether h2 first reads from the socket or writes to it.
    assert_eq!(answers[0].verdict.class, Class::NoResponse);
}

#[tokio::test]
async fn a_stream_that_is_served_after_the_first_goaway_is_ok() {
    assert_eq!(one(&[&goaway(NO_LAST, NO_ERROR), &hello(1)]).await, SERVED);
    assert_eq!(one(&[&head(1, OK), &goaway(1, NO_ERROR), &frame(DATA, END_STREAM, 1, b"hello")]).await, SERVED);
}

#[tokio::test]
async fn a_stream_that_is_opened_while_the_first_goaway_arrives_is_ok_and_then_none_is_opened() {
    let (listener, bench) = bench(FAST).await;
    let mut user = User::new(&bench.load, 0);
    let first = async {
        let mut server = Server::accept(&listener).await;
        server.requests(1).await;
        server.write(&hello(1)).await;
        server
    };
    let (mut server, answers) = tokio::join!(first, user.round_now());
    assert_eq!(outcomes(&answers), [SERVED]);

    // It lies in the client's socket when the stream is opened: no task of the client runs in between.
    server.write_now(&goaway(NO_LAST, NO_ERROR));
    let second = async {
        server.requests(1).await;
        server.write(&hello(3)).await;
    };
    let ((), answers) = tokio::join!(second, user.round_now());
    assert_eq!(outcomes(&answers), [SERVED]);

    assert_eq!(outcomes(&user.round_now().await), [NEVER_SENT]);
}

/// Here the user and its connection run on two threads, so that the GOAWAY comes at any point of a request's way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_goaway_makes_no_h2_nack_whenever_it_comes() {
    for delay in 0..ROUNDS {
        let (listener, bench) = bench(&["--h2-streams", "8", "--mix", "fast=1"]).await;
        let serve = async move {
            let mut server = Server::accept(&listener).await;
            server.requests(1).await;
            server.write(&hello(1)).await;
            for _ in 0..delay % 250 * 10 {
                std::hint::spin_loop();
            }
            server.write(&goaway(NO_LAST, NO_ERROR)).await;
            server.serve().await;
        };
        let server = tokio::spawn(serve);
        let mut user = User::new(&bench.load, 0);
        let mut open = true;
        while open {
            for outcome in outcomes(&user.round_now().await) {
                assert!([SERVED, NEVER_SENT].contains(&outcome), "{outcome:?}");
                open &= outcome == SERVED;
            }
        }
        server.await.expect("the server ends with the connection");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_is_truncated_whatever_cuts_it() {
    let begun = [head(1, OK), frame(DATA, 0, 1, b"hel")].concat();
    let truncated = |detail| (Class::Truncated, Some(detail));
    assert_eq!(one(&[&begun]).await, truncated("eof"));
    for code in [NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL] {
        assert_eq!(one(&[&begun, &reset(1, code)]).await, truncated("rst_stream"), "{code}");
        let get = round(&["--h2-streams", "1", "--mix", "get=1"], 1, &[&begun, &reset(1, code)]).await;
        assert_eq!(get, [truncated("rst_stream")], "{code}");
    }
    assert_eq!(one(&[&begun, &goaway(1, NO_ERROR)]).await, truncated("eof"));
    assert_eq!(one(&[&begun, &frame(DATA, END_STREAM, 1, b"")]).await, truncated("short_body"));
}

#[tokio::test]
async fn an_upload_waits_for_the_window_and_is_sent_whole() {
    const SIZE: usize = FIRST_WINDOW + 1000;
    let size = SIZE.to_string();
    let flags = ["--h2-streams", "1", "--mix", "upload=1", "--upload-bytes", &size, "--upload-pause", "0s"];
    let (listener, bench) = bench(&flags).await;
    let server = async {
        let mut server = Server::accept(&listener).await;
        let mut received = Vec::new();
        while received.len() < FIRST_WINDOW {
            received.extend(server.next(DATA).await.expect("the client fills the window").2);
        }
        assert_eq!(received.len(), FIRST_WINDOW);
        let more = 1000_u32.to_be_bytes();
        server.write(&[frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, 1, &more)].concat()).await;
        let mut ended = false;
        while !ended {
            let (flags, _, payload) = server.next(DATA).await.expect("the client sends the rest");
            received.extend(payload);
            ended = flags & END_STREAM != 0;
        }
        let digest = Sha256::digest(&received).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let receipt = format!(r#"{{"length":{},"sha256":"{digest}"}}"#, received.len());
        server.write(&[head(1, OK), frame(DATA, END_STREAM, 1, receipt.as_bytes())].concat()).await;
        server.close().await;
    };
    let mut user = User::new(&bench.load, 0);
    let ((), answers) = tokio::join!(server, user.round_now());
    assert_eq!(outcomes(&answers), [SERVED]);
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_upload_counts() {
    let flags = ["--h2-streams", "1", "--mix", "upload=1", "--upload-pause", "1h"];
    let early = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80 | NO_CONTENT]);
    let seen = round(&flags, 1, &[&early, &reset(1, NO_ERROR)]).await;
    assert_eq!(seen, [(Class::Error, Some("status"))]);
}
