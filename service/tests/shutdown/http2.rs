//! HTTP/2: every stream that was opened in time finishes, and the peer is told which ones those are.

use std::{convert::Infallible, thread, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::{Request, body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::sleep};

use crate::{
    frames::{ANY_STREAM, Frames, Said, goodbyes},
    harness::{PATIENCE, Service, Signal},
};

#[test]
fn c20_idle_connection_is_told_twice_and_then_closed() {
    let mut service = Service::start(&[]);
    let mut client = Frames::connect(&service.http);
    client.get(1, "/hello", "one");
    client.until(|said| *said == Said::Ended { stream: 1 });
    service.signal(Signal::TERM);
    assert_eq!(goodbyes(&client.until_closed()), [ANY_STREAM, 1]);
    service.expect_exit(0);
}

#[test]
fn c21_stream_opened_between_the_two_goaways_is_served() {
    let mut service = Service::start(&[("LAME_DUCK", "2s")]);
    let mut client = deaf(&service);
    service.signal(Signal::TERM);
    client.until(|said| matches!(said, Said::GoAway { .. }));
    let pings = client.until(|said| matches!(said, Said::Ping(_)));
    client.get(3, "/hello", "between");
    let Some(Said::Ping(opaque)) = pings.last() else { unreachable!("it was just waited for") };
    client.pong(*opaque);
    client.polite = true;
    let rest = client.until_closed();
    assert!(rest.contains(&Said::Status { stream: 3, ok: true }), "{rest:?}");
    assert!(rest.contains(&Said::Ended { stream: 3 }), "{rest:?}");
    assert_eq!(goodbyes(&rest), [3]);
    service.expect_exit(0);
}

#[test]
fn c22_stream_above_the_last_one_that_was_named_is_not_processed_and_the_others_go_on() {
    let mut service = Service::start(&[]);
    let mut client = Frames::connect(&service.http);
    client.get(1, "/work/1500", "slow");
    service.await_entered("slow");
    service.signal(Signal::TERM);
    client.until(|said| *said == Said::GoAway { last_stream: 1, error: 0 });
    client.get(3, "/hello", "above"); // as a client does that has not yet read the GOAWAY
    let rest = client.until_closed();
    assert!(rest.contains(&Said::Status { stream: 1, ok: true }), "{rest:?}");
    assert!(rest.contains(&Said::Ended { stream: 1 }), "{rest:?}");
    assert!(!rest.iter().any(|said| matches!(said, Said::Status { stream: 3, .. })), "{rest:?}");
    goodbyes(&rest); // none that takes stream 3 in after all
    service.expect_exit(0);
    assert_eq!(service.entered(), ["slow"], "the GOAWAY said that nothing else is processed");
}

#[test]
fn c23_streams_in_flight_finish_before_the_connection_closes() {
    let mut service = Service::start(&[]);
    let client = Frames::connect(&service.http);
    assert_streams_in_flight_finish(&mut service, client);
}

/// A client with two streams in flight at the signal is told twice, and both finish.
pub(crate) fn assert_streams_in_flight_finish(service: &mut Service, mut client: Frames) {
    client.get(1, "/work/1500", "slow");
    client.get(3, "/stream?chunks=15&every_ms=100", "stream");
    service.await_entered("slow");
    service.await_entered("stream");
    service.signal(Signal::TERM);
    let rest = client.until_closed();
    for stream in [1, 3] {
        assert!(rest.contains(&Said::Status { stream, ok: true }), "{rest:?}");
        assert!(rest.contains(&Said::Ended { stream }), "{rest:?}");
    }
    assert_eq!(goodbyes(&rest), [ANY_STREAM, 3]);
    service.expect_exit(0);
}

#[test]
fn c23_client_that_is_late_with_its_pong_is_answered_all_the_same() {
    let mut service = Service::start(&[]);
    let mut client = deaf(&service);
    service.signal(Signal::TERM);
    let said = client.until(|said| matches!(said, Said::Ping(_)));
    let Some(Said::Ping(opaque)) = said.last() else { unreachable!("it is what was waited for") };
    service.await_phase("drain");
    // A client whose machine is busy: it has yet to read what it was told, and has another request on its way. Lateness is what is
    // tested, so there is nothing else to wait for; it is far less than the second that such a client has.
    thread::sleep(Duration::from_millis(200));
    client.get(3, "/hello", "late");
    client.pong(*opaque);
    let rest = client.until_closed();
    assert!(rest.contains(&Said::Ended { stream: 3 }), "{rest:?}");
    assert_eq!(goodbyes(&rest), [3]);
    service.expect_exit(0);
}

/// A client with an idle connection that answers no PING.
fn deaf(service: &Service) -> Frames {
    let mut client = Frames::connect(&service.http);
    client.polite = false;
    client.get(1, "/hello", "one");
    client.until(|said| *said == Said::Ended { stream: 1 });
    client
}

#[test]
fn c23_answer_that_waits_for_the_clients_window_is_not_cut() {
    let mut service = Service::start(&[]);
    let mut client = Frames::connect_with_window(&service.http, 1);
    client.get(1, "/hello", "narrow");
    client.until(|said| *said == Said::Status { stream: 1, ok: true });
    service.signal(Signal::TERM);
    client.until(|said| *said == Said::GoAway { last_stream: 1, error: 0 });
    // Long past the time that a peer has for its PONG: this one has answered, and is only slow to read.
    std::thread::sleep(Duration::from_secs(1));
    client.open_window(1, 100);
    let rest = client.until_closed();
    assert!(rest.contains(&Said::Ended { stream: 1 }), "{rest:?}");
    service.expect_exit(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c23_upload_and_answer_under_way_finish_for_a_real_client() {
    let mut service = Service::start(&[]);
    let socket = TcpStream::connect(service.http.tcp()).await.expect("the service listens");
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.expect("the service speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let parts = stream::unfold(0, |sent| async move {
        sleep(Duration::from_millis(100)).await; // a slow client, not a wait for anything
        (sent < 15).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'a'; 1000]))), sent + 1))
    });
    let upload = Request::post("http://service/echo").header("x-request-id", "upload");
    let upload = client.send_request(upload.body(StreamBody::new(parts).boxed_unsync()).expect("it is well formed"));
    let upload = tokio::spawn(upload);
    service.await_entered("upload");
    service.signal(Signal::TERM);
    let response = upload.await.expect("no panic").expect("the upload is answered");
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("the answer is complete").to_bytes();
    assert!(body.starts_with(br#"{"length":15000,"#), "{body:?}");
    connection.await.expect("no panic").expect("the connection ends without an error");
    let late = Request::get("http://service/hello").body(Empty::new().boxed_unsync()).expect("it is well formed");
    assert!(client.send_request(late).await.is_err(), "the client knows that it must go elsewhere");
    service.expect_exit(0);
}

#[test]
fn c24_connection_being_set_up_at_the_signal_is_served_and_told() {
    let mut service = Service::start(&[]);
    service.freeze();
    let mut client = Frames::connect(&service.http);
    client.get(1, "/hello", "early");
    service.signal(Signal::TERM);
    service.signal(Signal::CONT);
    let all = client.until_closed();
    assert!(all.contains(&Said::Status { stream: 1, ok: true }), "{all:?}");
    assert!(all.contains(&Said::Ended { stream: 1 }), "{all:?}");
    assert_eq!(goodbyes(&all).last(), Some(&1));
    service.expect_exit(0);
}

#[test]
fn c24_preface_that_never_ends_costs_the_header_timeout_and_no_more() {
    let mut service = Service::start(&[("HEADER_TIMEOUT", "700ms")]);
    let mut half = Frames::connect_silent(&service.http);
    half.write(b"PRI * HT");
    let mut without_settings = Frames::connect_silent(&service.http);
    without_settings.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    service.signal(Signal::TERM);
    let exit = service.wait_exit(PATIENCE);
    assert!(exit.after < Duration::from_secs(5), "half a preface held the drain for {:?}", exit.after);
}

#[test]
fn c24_each_way_not_to_end_a_preface_is_bounded_and_cuts_nothing() {
    const HEADER_TIMEOUT: Duration = Duration::from_millis(500);
    let preface = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let half_of_the_settings = [&preface[..], &[0, 0, 0, 4]].concat();
    for said in [&preface[..8], &preface, &half_of_the_settings] {
        let mut service = Service::start(&[("HEADER_TIMEOUT", "500ms")]);
        let mut client = Frames::connect_silent(&service.http);
        client.write(said);
        service.signal(Signal::TERM);
        let exit = service.expect_exit(0);
        println!("{} bytes of a preface held the stop for {:?}", said.len(), exit.after);
        assert!(exit.after < HEADER_TIMEOUT + Duration::from_secs(3), "{} bytes: {:?}", said.len(), exit.after);
    }
}

#[test]
fn c25_peer_that_never_answers_a_ping_costs_the_drain_deadline_and_no_more() {
    let mut service = Service::start(&[("DRAIN_TIMEOUT", "1s")]);
    let _client = deaf(&service);
    service.signal(Signal::TERM);
    let exit = service.wait_exit(PATIENCE);
    assert!(exit.after < Duration::from_secs(5), "a deaf peer held the drain for {:?}", exit.after);
    assert!(matches!(exit.status.code(), Some(0 | 10)), "{exit:?}");
}

#[test]
fn c25_peer_that_never_answers_a_ping_has_its_stream_finished_and_holds_nothing_then() {
    // Its SETTINGS may come behind our goodbye: then it has said something, and has the header timeout.
    let mut service = Service::start(&[("HEADER_TIMEOUT", "700ms")]);
    let mut client = Frames::connect(&service.http);
    client.polite = false;
    client.get(1, "/work/1500", "slow");
    service.await_entered("slow");
    service.signal(Signal::TERM);
    let rest = client.until_closed();
    assert!(rest.contains(&Said::Status { stream: 1, ok: true }), "{rest:?}");
    assert!(rest.contains(&Said::Ended { stream: 1 }), "{rest:?}");
    let exit = service.expect_exit(0);
    println!("a deaf peer with a stream of 1.5 s held the stop for {:?}", exit.after);
    assert!(exit.after < Duration::from_secs(5), "the stream took 1.5 s, and the stop {:?}", exit.after);
}

#[test]
fn c25_peer_that_talks_and_never_answers_a_ping_costs_the_header_timeout_and_no_more() {
    let mut service = Service::start(&[("HEADER_TIMEOUT", "700ms")]);
    let mut client = deaf(&service);
    service.signal(Signal::TERM);
    client.until(|said| matches!(said, Said::GoAway { .. }));
    client.open_window(0, 1);
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(6), "a peer that only talks held the drain for {:?}", exit.after);
}
