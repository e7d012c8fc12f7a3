//! Event streams and WebSockets, which would never end by themselves: each is told to go, and ends well.

use std::{
    thread,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, future::join_all};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::{
    harness::{Exit, PATIENCE, Service, Settings, Signal},
    wire::{Response, Wire},
};

/// What a stop may take beyond what is due, on a machine with other things to do.
const SLACK: Duration = Duration::from_millis(1500);

#[test]
fn c13_event_stream_ends_with_the_time_to_come_back_and_holds_nothing() {
    let (end, exit) = end_of_a_stream(&[]);
    assert!(retry(&end) <= Duration::from_secs(1), "{end:?}");
    assert!(exit.after < SLACK, "an event stream held the stop for {:?}", exit.after);
}

#[test]
fn c13_client_of_an_event_stream_comes_back_when_balancers_have_looked_away() {
    let (end, exit) = end_of_a_stream(&[("LAME_DUCK", "2s")]);
    let retry = retry(&end);
    // The second half of the lame duck, which began a moment before the stream ended.
    assert!(retry > Duration::from_millis(500) && retry <= Duration::from_secs(2), "{end:?}");
    assert!(exit.after >= Duration::from_secs(2) && exit.after < Duration::from_secs(2) + SLACK, "{exit:?}");
}

/// Stops a service that a client hears events of; how the stream ended, and how the service.
fn end_of_a_stream(settings: Settings<'_>) -> (Response, Exit) {
    let mut service = Service::start(settings);
    let mut wire = service.in_flight("/events?every_ms=20", "events");
    wire.await_text("data: tick 2\n\n");
    service.signal(Signal::TERM);
    let stream = wire.response().expect("the stream has its terminal chunk");
    assert_eq!(stream.status, 200);
    assert!(stream.body.starts_with("id: 0\ndata: tick 0\n\nid: 1\ndata: tick 1\n\n"), "{stream:?}");
    wire.assert_ends_after(&stream); // its head had gone out before there was anything to announce
    (stream, service.expect_exit(0))
}

#[test]
fn c13_events_go_on_at_the_successor_where_they_broke_off() {
    let mut first = Service::start(&[]);
    let mut wire = first.in_flight("/events?every_ms=20", "events");
    wire.await_text("data: tick 3\n\n");
    first.signal(Signal::TERM);
    let stream = wire.response().expect("the stream has its terminal chunk");
    first.expect_exit(0);
    let last = stream.body.lines().filter_map(|line| line.strip_prefix("id: ")).next_back();
    let last: u64 = last.and_then(|id| id.parse().ok()).expect("every event has its number");
    let second = Service::start_at(first.addresses(), &[]);
    let mut wire = second.connect();
    wire.send(format!("GET /events HTTP/1.1\r\nhost: service\r\nlast-event-id: {last}\r\n\r\n"))
        .expect("the successor reads");
    let next = last + 1;
    wire.await_text(&format!("id: {next}\ndata: tick {next}\n\n"));
}

/// The time that a client is told to wait, which must be the last that it is told.
fn retry(stream: &Response) -> Duration {
    let retry =
        stream.body.rsplit("\n\n").find(|event| !event.is_empty()).and_then(|event| event.strip_prefix("retry: "));
    let ms = retry.and_then(|ms| ms.parse().ok()).unwrap_or_else(|| panic!("it does not end in a retry: {stream:?}"));
    Duration::from_millis(ms)
}

type Socket = WebSocketStream<TcpStream>;

async fn open(service: &Service) -> Socket {
    let stream = TcpStream::connect(service.http.tcp()).await.expect("the service listens");
    let mut socket = client_async("ws://service/ws", stream).await.expect("the service speaks WebSocket").0;
    // The echo proves that the handler runs.
    socket.send("hello".into()).await.expect("the service reads");
    let echo = timeout(PATIENCE, socket.next()).await.expect("in time").expect("an answer").expect("a message");
    assert_eq!(echo, Message::text("hello"));
    socket
}

/// Waits for the goodbye, answers it, and sees the connection end; says when the goodbye came.
async fn goodbye(mut socket: Socket) -> Instant {
    let goodbye = timeout(PATIENCE, socket.next()).await.expect("in time").expect("a goodbye").expect("a message");
    let told = Instant::now();
    let Message::Close(Some(frame)) = goodbye else { panic!("{goodbye:?}") };
    assert_eq!(u16::from(frame.code), 1001);
    let end = timeout(PATIENCE, socket.next()).await.expect("in time");
    assert!(end.is_none(), "the service ends the connection, and in good order: {end:?}");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_websocket_of_a_real_client_is_told_1001_and_holds_nothing() {
    let mut service = Service::start(&[("CLOSE_JITTER", "0s")]);
    let socket = open(&service).await;
    service.signal(Signal::TERM);
    goodbye(socket).await;
    let exit = service.expect_exit(0);
    println!("a WebSocket held the stop for {:?}", exit.after);
    assert!(exit.after < SLACK, "a WebSocket that was closed held the stop for {:?}", exit.after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_goodbyes_to_many_websockets_are_spread_and_the_process_ends_with_the_last() {
    const JITTER: Duration = Duration::from_secs(2);
    const SOCKETS: usize = 200;
    let mut service = Service::start(&[("CLOSE_JITTER", "2s")]);
    let sockets = join_all((0..SOCKETS).map(|_| open(&service))).await;
    service.signal(Signal::TERM);
    let told = join_all(sockets.into_iter().map(|socket| tokio::spawn(goodbye(socket)))).await;
    let exit = service.expect_exit(0);
    let mut told: Vec<_> = told.into_iter().map(|told| told.expect("every one is told")).collect();
    told.sort();
    // The middle half of them, which a delay at either end does not touch.
    let middle = told[3 * SOCKETS / 4] - told[SOCKETS / 4];
    let all = told[SOCKETS - 1] - told[0];
    println!("{SOCKETS} goodbyes in {all:?}, the middle half in {middle:?}, signal to exit {:?}", exit.after);
    assert!(middle > JITTER / 4 && middle < JITTER, "the middle half of the goodbyes took {middle:?}");
    assert!(exit.after < JITTER + SLACK, "due after {JITTER:?}, gone after {:?}", exit.after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_peer_that_does_not_close_is_waited_for_no_longer_than_a_second() {
    let mut service = Service::start(&[("CLOSE_JITTER", "0s")]);
    let _deaf = open(&service).await;
    service.signal(Signal::TERM);
    let exit = service.expect_exit(0);
    println!("a deaf WebSocket held the stop for {:?}", exit.after);
    assert!(exit.after >= Duration::from_secs(1), "a peer has 1 s to close, not {:?}", exit.after);
    assert!(exit.after < Duration::from_secs(1) + SLACK, "held for {:?}", exit.after);
}

#[test]
fn c14_peer_that_goes_on_and_on_is_waited_for_no_longer_than_a_second() {
    /// `text`, masked with zeros (RFC 6455 §5.2).
    const MESSAGE: [u8; 10] = [0x81, 0x84, 0, 0, 0, 0, b't', b'e', b'x', b't'];
    let mut service = Service::start(&[("CLOSE_JITTER", "0s")]);
    let mut wire = upgrade(&service);
    let talking = thread::spawn(move || {
        while wire.send(MESSAGE).is_ok() {
            thread::sleep(Duration::from_millis(5)); // its pace, not a wait for anything
        }
    });
    service.signal(Signal::TERM);
    let exit = service.expect_exit(0);
    println!("a WebSocket that goes on and on held the stop for {:?}", exit.after);
    // The socket is read for a while behind our end, too, or the peer might lose what we said last.
    assert!(exit.after < Duration::from_secs(2) + SLACK, "held for {:?}", exit.after);
    talking.join().expect("no panic");
}

fn upgrade(service: &Service) -> Wire {
    let mut wire = service.connect();
    wire.send(
        "GET /ws HTTP/1.1\r\nhost: service\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .expect("the service reads");
    assert_eq!(wire.response().expect("the service speaks WebSocket").status, 101);
    wire
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_websocket_that_comes_during_the_lame_duck_is_accepted_and_told() {
    let mut service = Service::start(&[("LAME_DUCK", "2s")]);
    service.signal(Signal::TERM);
    service.await_phase("lame_duck");
    let socket = open(&service).await;
    goodbye(socket).await;
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(2) + SLACK, "the lame duck is 2 s, gone after {:?}", exit.after);
}
