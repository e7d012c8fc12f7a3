//! HTTP/1.1 connections in every state that a stop can meet them in.

use std::time::Duration;

use crate::{
    harness::{Service, Signal},
    wire::{End, Wire, get},
};

#[test]
fn c01_accept_queue_is_served_when_the_listener_closes() {
    // One connection more than this and it waits in the queue, for as long as the first one lasts.
    let mut service = Service::start(&[("MAX_CONNECTIONS", "1")]);
    let _first = service.idle("first");
    let mut queued: Vec<Wire> = (0..100).map(|_| service.connect()).collect();
    for (i, wire) in queued.iter_mut().enumerate() {
        wire.send(get("/hello", &format!("queued-{i}"))).expect("the kernel takes it");
    }
    service.signal(Signal::TERM);
    assert_all_served(&mut queued);
    service.expect_exit(0);
}

/// Every one is answered and ended. The process wakes to the signal and to the requests in one moment, so some may be
/// answered before it knows that it stops, and say no close yet.
fn assert_all_served(wires: &mut [Wire]) {
    for (i, wire) in wires.iter_mut().enumerate() {
        let response = wire.response().unwrap_or_else(|broken| panic!("connection {i}: {broken:?}"));
        assert_eq!(response.status, 200, "connection {i}: {response:?}");
        wire.assert_ends_after(&response);
    }
}

#[test]
fn c03_first_byte_after_the_signal_is_served_with_close() {
    let mut service = Service::start(&[("LAME_DUCK", "3s"), ("IDLE_GRACE", "3s")]);
    let mut silent = service.idle("accepted");
    let mut fresh = service.connect();
    service.signal(Signal::TERM);
    service.await_phase("lame_duck");
    for (wire, id) in [(&mut silent, "used"), (&mut fresh, "fresh")] {
        // They end in the second half of the lame duck, when every response says close.
        wire.send(get("/work/2000", id)).expect("the connection is open");
    }
    for wire in [&mut silent, &mut fresh] {
        let response = wire.response().expect("it is served");
        assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
        assert_eq!(wire.end(), End::Fin);
    }
    service.expect_exit(0);
}

#[test]
fn c04_idle_connection_gets_a_farewell_that_a_crossing_request_can_read() {
    let mut service = Service::start(&[]);
    let mut idle: Vec<Wire> = (0..8).map(|i| service.idle(&format!("before-{i}"))).collect();
    service.signal(Signal::TERM);
    for (i, wire) in idle.iter_mut().enumerate() {
        wire.await_bytes();
        if i % 2 == 0 {
            // The request that crosses: sent by a client that has not looked at what has arrived. It may already
            // meet a reset, which must not take the answer with it.
            let _ = wire.send(get("/hello", &format!("crossing-{i}")));
        }
        wire.assert_farewell();
        if i % 2 == 1 {
            assert_eq!(wire.end(), End::Fin);
        }
    }
    service.expect_exit(0);
    assert!(!service.entered().iter().any(|id| id.starts_with("crossing")), "408 said that it was not processed");
}

#[test]
fn c04_farewell_off_closes_without_a_word() {
    let mut service = Service::start(&[("FAREWELL", "off")]);
    let mut idle = service.idle("before");
    service.signal(Signal::TERM);
    assert_eq!(idle.end(), End::Fin);
    service.expect_exit(0);
}

#[test]
fn c04_connection_that_never_carried_a_request_gets_no_farewell() {
    let mut service = Service::start(&[]);
    let mut preconnected = service.connect();
    service.signal(Signal::TERM);
    assert_eq!(preconnected.end(), End::Fin);
    service.expect_exit(0);
}

#[test]
fn c05_response_not_yet_begun_gains_connection_close() {
    let mut service = Service::start(&[]);
    let mut wire = service.in_flight("/work/1500", "slow");
    service.signal(Signal::TERM);
    let response = wire.response().expect("it finishes");
    assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
    assert_eq!(response.header("x-request-id"), Some("slow"));
    assert_eq!(wire.end(), End::Fin);
    service.expect_exit(0);
}

#[test]
fn c06_body_under_way_finishes_and_then_the_connection_does() {
    let mut service = Service::start(&[]);
    let mut wire = service.in_flight("/stream?chunks=12&every_ms=100", "stream");
    wire.await_text("chunk 0\n");
    service.signal(Signal::TERM);
    let response = wire.response().expect("the stream ends with its terminal chunk");
    assert_eq!(response.body.lines().count(), 12);
    wire.assert_ends_after(&response); // its head had gone out before there was anything to announce
    service.expect_exit(0);
}

#[test]
fn c07_pipelined_requests_are_answered_in_order_and_only_the_last_says_close() {
    let mut service = Service::start(&[]);
    let mut wire = service.connect();
    let pipeline = [get("/work/1500", "p-1"), get("/hello", "p-2"), get("/hello", "p-3")].concat();
    wire.send(pipeline).expect("the service reads");
    service.await_entered("p-1");
    service.signal(Signal::TERM);
    for (id, last) in [("p-1", false), ("p-2", false), ("p-3", true)] {
        let response = wire.response().unwrap_or_else(|broken| panic!("{id}: {broken:?}"));
        assert_eq!((response.status, response.header("x-request-id")), (200, Some(id)), "{response:?}");
        assert_eq!(response.closes(), last, "{response:?}");
    }
    assert_eq!(wire.end(), End::Fin);
    service.expect_exit(0);
    assert_eq!(service.entered(), ["p-1", "p-2", "p-3"]);
}

#[test]
fn c08_head_that_never_ends_costs_the_header_timeout_and_no_more() {
    let mut service = Service::start(&[("HEADER_TIMEOUT", "700ms")]);
    for stop in [false, true] {
        let mut fresh = service.connect();
        let mut used = service.idle("before");
        for wire in [&mut fresh, &mut used] {
            wire.send("GET /hello HTTP/1.1\r\nx-request-id: half\r\n").expect("the service reads");
        }
        if stop {
            service.signal(Signal::TERM);
        }
        for wire in [&mut fresh, &mut used] {
            let response = wire.response().expect("the time-out is answered");
            assert_eq!((response.status, response.closes()), (408, true), "{response:?}");
            assert_eq!(wire.end(), End::Fin);
        }
    }
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(5), "half a head held the drain for {:?}", exit.after);
    assert!(!service.entered().contains(&"half".to_owned()), "no handler may see half a request");
}

#[test]
fn c12_stream_cut_at_the_deadline_has_no_terminal_chunk() {
    let mut service = Service::start(&[("DRAIN_TIMEOUT", "500ms")]);
    let mut wire = service.in_flight("/stream?chunks=600&every_ms=50", "endless");
    wire.await_text("chunk 0\n");
    service.signal(Signal::TERM);
    let broken = wire.response().expect_err("a cut must not look like an end");
    assert_ne!(broken.end, End::Silence);
    assert!(broken.received.contains("chunk 1\n") && !broken.received.contains("\r\n0\r\n"), "{broken:?}");
    let exit = service.expect_exit(10);
    assert!(exit.after < Duration::from_secs(5), "cut at 0.5 s, gone after {:?}", exit.after);
    let ends: Vec<_> = service.audit().lines().filter(|line| line.contains("body_end")).map(str::to_owned).collect();
    assert!(ends.len() == 1 && ends[0].contains(" cut "), "the audit log says how it ended: {ends:?}");
}

#[test]
fn c18_half_a_head_at_the_drain_is_served_when_the_rest_arrives() {
    let mut service = Service::start(&[]);
    let mut fresh = service.connect();
    let mut used = service.idle("before");
    let request = get("/hello", "halved");
    let (one, two) = request.split_at(request.len() / 2);
    for wire in [&mut fresh, &mut used] {
        wire.send(one).expect("the service reads");
    }
    service.signal(Signal::TERM);
    service.await_phase("drain");
    for wire in [&mut fresh, &mut used] {
        wire.send(two).expect("the connection waits for the rest");
        let response = wire.response().expect("half a head is a request under way");
        assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
    }
    service.expect_exit(0);
}

#[test]
fn c18_bytes_in_the_kernel_at_the_drain_are_served() {
    let mut service = Service::start(&[]);
    let mut used: Vec<Wire> = (0..16).map(|i| service.idle(&format!("before-{i}"))).collect();
    service.freeze();
    for (i, wire) in used.iter_mut().enumerate() {
        wire.send(get("/hello", &format!("kernel-{i}"))).expect("the kernel takes it");
    }
    service.signal(Signal::TERM);
    service.signal(Signal::CONT);
    assert_all_served(&mut used);
    service.expect_exit(0);
}
