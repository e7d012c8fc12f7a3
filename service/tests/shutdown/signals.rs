//! The second signal and the third, and one that waits for its process to run again.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    harness::{PATIENCE, Service, Signal},
    wire::Wire,
};

/// Signals closer together than a second are one to the service; the clock of another process cannot be paused.
const PAST_THE_DEBOUNCE: Duration = Duration::from_millis(1300);

#[test]
fn c37_repeat_within_the_debounce_is_ignored() {
    let mut service = Service::start(&[]);
    let mut wire = service.in_flight("/work/2000", "slow");
    for _ in 0..3 {
        service.signal(Signal::TERM);
        service.signal(Signal::INT);
    }
    let response = wire.response().expect("a process group that delivers twice cuts nothing");
    assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
    service.expect_exit(0);
}

#[test]
fn c37_second_signal_forces() {
    let mut service = Service::start(&[]);
    let mut wire = service.in_flight("/fault/never", "stuck");
    service.signal(Signal::TERM);
    service.await_phase("drain");
    a_second_signal_forces(&mut service, &mut wire);
    assert!(service.report().to_string().contains("stuck"), "{}", service.report());
}

#[test]
fn c37_second_signal_forces_during_the_lame_duck_too() {
    let mut service = Service::start(&[("GRACE_PERIOD", "40s"), ("LAME_DUCK", "20s")]);
    let mut wire = service.in_flight("/fault/never", "stuck");
    service.signal(Signal::TERM);
    service.await_phase("lame_duck");
    a_second_signal_forces(&mut service, &mut wire);
}

fn a_second_signal_forces(service: &mut Service, wire: &mut Wire) {
    sleep(PAST_THE_DEBOUNCE);
    let second = Instant::now();
    service.signal(Signal::TERM);
    wire.response().expect_err("it is cut");
    service.expect_exit(143);
    assert!(second.elapsed() < Duration::from_secs(3), "forced, and gone only after {:?}", second.elapsed());
}

#[test]
fn c37_third_signal_exits_at_once() {
    // A cancel grace that is long: only the third signal can end the process before it.
    let mut service = Service::start(&[("GRACE_PERIOD", "40s"), ("CANCEL_GRACE", "15s")]);
    let _blocked = service.in_flight("/fault/block/60000", "stuck");
    service.signal(Signal::TERM);
    sleep(PAST_THE_DEBOUNCE);
    service.signal(Signal::TERM);
    sleep(PAST_THE_DEBOUNCE);
    let third = Instant::now();
    service.signal(Signal::TERM);
    service.expect_exit(143);
    assert!(third.elapsed() < Duration::from_secs(2), "gone only {:?} after the third signal", third.elapsed());
}

#[test]
fn c37_ignored_second_signal_cuts_nothing() {
    let mut service = Service::start(&[("SECOND_SIGNAL", "ignore")]);
    let mut wire = service.in_flight("/work/3500", "slow");
    service.signal(Signal::TERM);
    for _ in 0..2 {
        sleep(PAST_THE_DEBOUNCE);
        service.signal(Signal::TERM);
    }
    assert_eq!(wire.response().expect("the first deadline holds").status, 200);
    service.expect_exit(0);
}

#[test]
fn c37_ignored_second_signal_never_extends_the_deadline() {
    let mut service = Service::start(&[("SECOND_SIGNAL", "ignore"), ("DRAIN_TIMEOUT", "2s")]);
    let _stuck = service.in_flight("/fault/never", "stuck");
    service.signal(Signal::TERM);
    sleep(PAST_THE_DEBOUNCE);
    service.signal(Signal::TERM);
    let exit = service.expect_exit(10);
    assert!(exit.after >= Duration::from_secs(2), "cut before its deadline, after {:?}", exit.after);
    assert!(exit.after < Duration::from_millis(3300), "due 2.3 s after the first signal, not {:?}", exit.after);
}

#[test]
fn c43_deadlines_count_from_when_the_process_runs_again() {
    let mut service = Service::start(&[("DRAIN_TIMEOUT", "1s")]);
    let mut wire = service.connect();
    let head = "POST /echo HTTP/1.1\r\nhost: service\r\nx-request-id: up\r\ncontent-length: 2\r\n\r\n";
    wire.send(head).expect("the service reads");
    service.await_entered("up");
    service.freeze();
    service.signal(Signal::TERM);
    sleep(Duration::from_millis(1500)); // longer than the drain may take
    service.signal(Signal::CONT);
    wire.send("ok").expect("the connection is open");
    assert_eq!(wire.response().expect("the deadline has only begun to run").status, 200);
    service.expect_exit(0);
}

#[test]
fn c43_process_that_is_frozen_past_its_deadlines_ends_when_it_runs_again() {
    let mut service = Service::start(&[
        ("GRACE_PERIOD", "6s"),
        ("DRAIN_TIMEOUT", "1s"),
        ("BACKGROUND_TIMEOUT", "500ms"),
        ("RELEASE_TIMEOUT", "500ms"),
        ("FLUSH_TIMEOUT", "500ms"),
    ]);
    let _stuck = service.in_flight("/fault/never", "stuck");
    service.signal(Signal::TERM);
    service.await_phase("drain");
    service.freeze();
    sleep(Duration::from_secs(6));
    service.signal(Signal::CONT);
    let woken = Instant::now();
    let exit = service.wait_exit(PATIENCE);
    assert_eq!(exit.status.code(), Some(10), "{exit:?}");
    assert!(woken.elapsed() < Duration::from_secs(3), "ran on for {:?}", woken.elapsed());
}
