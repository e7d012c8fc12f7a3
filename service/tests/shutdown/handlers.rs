//! Handlers that misbehave: each ends, and the stop is on time.

use std::time::Duration;

use crate::{
    harness::{Service, Signal},
    observe::eventually,
    wire::{End, Wire, get},
};

#[test]
fn c26_handler_that_never_ends_is_cut_and_named() {
    let mut service = Service::start(&[("DRAIN_TIMEOUT", "700ms"), ("CANCEL_GRACE", "300ms")]);
    let mut wire = service.in_flight("/fault/never", "stuck-7");
    service.signal(Signal::TERM);
    let broken = wire.response().expect_err("there is no answer to give");
    assert_ne!(broken.end, End::Silence);
    let exit = service.expect_exit(10);
    assert!(exit.after >= Duration::from_millis(700), "cut before its deadline, after {:?}", exit.after);
    assert!(exit.after < Duration::from_millis(1000 + 1500), "due after 1 s, gone after {:?}", exit.after);
    let report = service.report().to_string();
    assert!(report.contains("/fault/never") || report.contains("stuck-7"), "whom did it cut? {report}");
}

#[test]
fn c27_one_blocked_worker_holds_nothing_beyond_the_drain() {
    let mut service = Service::start(&[("DRAIN_TIMEOUT", "700ms"), ("GRACE_PERIOD", "6s")]);
    let _blocking = service.in_flight("/fault/block/60000", "block");
    service.signal(Signal::TERM);
    let exit = service.expect_exit(10);
    assert!(exit.after < Duration::from_millis(3500), "due after 1 s, gone after {:?}", exit.after);
}

/// Tight, so that the test is short: 3 s from the signal to the SIGKILL of an orchestrator, 1 s of them the margin.
pub(crate) const TIGHT: [(&str, &str); 7] = [
    ("GRACE_PERIOD", "3s"),
    ("DRAIN_TIMEOUT", "1s"),
    ("CANCEL_GRACE", "200ms"),
    ("BACKGROUND_TIMEOUT", "200ms"),
    ("RELEASE_TIMEOUT", "200ms"),
    ("FLUSH_TIMEOUT", "200ms"),
    ("EXIT_MARGIN", "1s"),
];

#[test]
fn c27_watchdog_ends_a_runtime_whose_workers_are_all_blocked_before_the_signal() {
    let mut service = Service::start(&TIGHT);
    let _blocking = block_every_worker(&service);
    service.signal(Signal::TERM);
    let exit = service.expect_exit(10);
    assert!(exit.after < Duration::from_secs(3), "the grace period is 3 s, gone after {:?}", exit.after);
}

#[test]
fn c27_watchdog_ends_a_runtime_whose_workers_are_all_blocked_during_the_lame_duck() {
    let mut service = Service::start(&[&TIGHT[..], &[("GRACE_PERIOD", "8s"), ("LAME_DUCK", "5s")]].concat());
    service.signal(Signal::TERM);
    service.await_phase("lame_duck");
    let _blocking = block_every_worker(&service);
    let exit = service.expect_exit(10);
    assert!(exit.after < Duration::from_secs(8), "the grace period is 8 s, gone after {:?}", exit.after);
}

/// Blocks workers until the service does not even answer that it lives. That may be sooner than on the last worker: one
/// that sleeps is not woken by a socket while the one that watches the sockets is blocked.
pub(crate) fn block_every_worker(service: &Service) -> Vec<Wire> {
    let workers = std::thread::available_parallelism().expect("the machine knows its size").get();
    let block = |i| {
        let mut wire = service.connect();
        wire.send(get("/fault/block/60000", &format!("block-{i}"))).expect("the kernel takes it");
        wire
    };
    let blocking = (0..4 * workers).map(block).collect();
    eventually("a runtime that is blocked", || {
        (!service.entered().is_empty() && !service.answers_within(Duration::from_millis(500))).then_some(())
    });
    blocking
}

#[test]
fn c28_panic_in_a_handler_is_answered_and_no_longer_counts() {
    let mut service = Service::start(&[]);
    let mut wire = service.connect();
    let response = wire.get("/fault/panic", "panic").expect("a panic is answered");
    assert_eq!((response.status, response.header("x-request-id")), (500, Some("panic")), "{response:?}");
    assert_eq!(wire.get("/hello", "after").expect("the connection outlives it").status, 200);
    service.await_active_requests(0);
    service.signal(Signal::TERM);
    service.expect_exit(0);
}

#[test]
fn c28_panic_in_a_body_is_seen_by_the_client_and_no_longer_counts() {
    let mut service = Service::start(&[]);
    let broken = service.connect().get("/fault/panic-body", "panic").expect_err("a broken body must not look whole");
    assert_ne!(broken.end, End::Silence);
    assert!(broken.received.contains("the first chunk\n") && !broken.received.contains("\r\n0\r\n"), "{broken:?}");
    service.await_active_requests(0);
    service.signal(Signal::TERM);
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(5), "a request that is over held the drain for {:?}", exit.after);
}

#[test]
fn c29_client_that_goes_away_no_longer_counts() {
    let mut service = Service::start(&[]);
    let waiting = service.in_flight("/work/600000", "waiting");
    let mut streaming = service.in_flight("/stream?chunks=1000&every_ms=100", "streaming");
    streaming.await_text("chunk 0\n");
    service.await_active_requests(2);
    drop((waiting, streaming));
    service.await_active_requests(0);
    service.signal(Signal::TERM);
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(5), "a client that is gone held the drain for {:?}", exit.after);
}
