//! Requests with a body: taken to their end, refused before it, or answered without it.

use std::{thread, time::Duration};

use crate::harness::{Service, Signal};

#[test]
fn c09_upload_under_way_is_taken_to_its_end() {
    let mut service = Service::start(&[]);
    let mut wire = service.connect();
    let part = vec![b'a'; 64 * 1024];
    let head = "POST /echo HTTP/1.1\r\nhost: service\r\nx-request-id: up\r\ncontent-length: 524288\r\n\r\n";
    wire.send(head).and_then(|()| wire.send(&part)).expect("the service reads");
    service.await_entered("up");
    service.signal(Signal::TERM);
    service.await_phase("drain");
    for _ in 1..8 {
        wire.send(&part).expect("the drain still reads");
        thread::sleep(Duration::from_millis(50)); // a slow client, not a wait for anything
    }
    let response = wire.response().expect("the upload is answered");
    assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
    let digest = "85a84a75886e8a526dbec4e16e3375faa307b4aead79c9ed3264c0477a6f6eba";
    assert_eq!(response.body, format!(r#"{{"length":524288,"sha256":"{digest}"}}"#));
    service.expect_exit(0);
}

const EXPECTING: &str = "POST /echo HTTP/1.1\r\nhost: service\r\nx-request-id: expecting\r\n\
                         expect: 100-continue\r\ncontent-length: 5\r\n\r\n";

#[test]
fn c10_a_body_that_was_asked_for_is_read() {
    let mut service = Service::start(&[]);
    let mut wire = service.connect();
    wire.send(EXPECTING).expect("the service reads");
    assert_eq!(wire.response().expect("the service asks for the body").status, 100);
    service.signal(Signal::TERM);
    service.await_phase("drain");
    wire.send("hello").expect("after a 100 the body is read");
    let response = wire.response().expect("never 100 and then a cut");
    assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
    service.expect_exit(0);
}

#[test]
fn c10_a_body_that_comes_too_late_is_refused_before_it_is_asked_for() {
    let mut service = Service::start(&[("IDLE_GRACE", "200ms")]);
    let mut silent = service.connect();
    let mut wire = service.in_flight("/work/2000", "slow");
    service.signal(Signal::TERM);
    silent.await_drain_everywhere();
    wire.send(EXPECTING).expect("the connection is open");
    assert_eq!(wire.response().expect("the first finishes").status, 200);
    wire.response().expect("the second is refused").assert_rejected();
    service.expect_exit(0);
}

#[test]
fn c11_early_answer_survives_an_upload_that_nobody_reads() {
    let mut service = Service::start(&[]);
    let mut wire = service.connect();
    let head = "POST /hello HTTP/1.1\r\nhost: service\r\nx-request-id: early\r\ncontent-length: 8388608\r\n\r\n";
    let part = vec![b'a'; 256 * 1024];
    wire.send(head).and_then(|()| wire.send(&part)).expect("the service reads");
    wire.await_bytes();
    service.signal(Signal::TERM);
    for _ in 0..31 {
        // A client that writes first and reads afterwards; the server may have had enough of it by then.
        if wire.send(&part).is_err() {
            break;
        }
    }
    let response = wire.response().expect("the answer outlives the upload");
    assert_eq!(response.status, 405, "{response:?}");
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(5), "the lingering close took {:?}", exit.after);
}
