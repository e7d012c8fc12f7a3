//! What a load balancer and its old connections see, in each phase.

use std::net::TcpStream;

use crate::{
    harness::{Service, Signal},
    observe::eventually,
    wire::{Wire, get},
};

#[test]
fn c44_readiness_fails_at_the_signal_while_everything_is_still_served() {
    let mut service = Service::start(&[("LAME_DUCK", "3s")]);
    service.signal(Signal::TERM);
    let unready = || (service.admin_get("/readyz")?.status == 503).then_some(());
    eventually("readiness 503", unready);
    for i in 0..3 {
        let response = service.connect().get("/hello", &format!("new-{i}")).expect("a new connection is served");
        assert_eq!(response.status, 200, "{response:?}");
    }
    let alive = service.admin_get("/livez").expect("the admin port answers to the end");
    assert_eq!(alive.status, 200, "a balancer that asks for liveness must not have it restarted: {alive:?}");
    assert_eq!(service.phase().as_deref(), Some("lame_duck"), "all of this was still in the lame duck");
    service.expect_exit(0);
}

#[test]
fn c45_late_request_on_a_busy_connection_is_refused_in_its_turn() {
    let mut service = Service::start(&[("IDLE_GRACE", "200ms")]);
    let mut silent = service.connect();
    let mut wire = service.in_flight("/work/2000", "slow");
    service.signal(Signal::TERM);
    silent.await_drain_everywhere();
    wire.send(get("/hello", "late")).expect("the connection is open");
    let slow = wire.response().expect("what was in flight finishes");
    assert_eq!(slow.status, 200, "{slow:?}");
    wire.response().expect("what came late is refused in words").assert_rejected();
    service.expect_exit(0);
    assert_eq!(service.entered(), ["slow"]);
}

#[test]
fn c45_late_first_request_of_a_connection_is_refused() {
    let mut service = Service::start(&[("IDLE_GRACE", "5s")]);
    let mut silent: Vec<Wire> = (0..20).map(|_| service.connect()).collect();
    // The queue is in order: when the next connection has been served, these have been accepted.
    let _next = service.idle("next");
    service.signal(Signal::TERM);
    service.await_phase("drain");
    // One that has not yet learned of the drain may still serve; each is a little later than the one before.
    let late = silent.iter_mut().map(|wire| wire.get("/hello", "late").expect("each has its grace and an answer"));
    let refused = late.inspect(|late| assert!(late.closes(), "{late:?}")).find(|late| late.status != 200);
    refused.expect("the drain becomes known to one of twenty").assert_rejected();
    drop(silent);
    service.expect_exit(0);
}

#[test]
fn c45_late_request_on_an_idle_connection_gets_a_true_answer() {
    let mut service = Service::start(&[]);
    let mut busy = service.in_flight("/work/1500", "slow"); // keeps the drain from being over too soon
    let mut wire = service.idle("before");
    service.signal(Signal::TERM);
    service.await_phase("drain");
    // An idle connection lives for milliseconds, so the request meets its end on the wire: a farewell. Sooner it is
    // refused, or just in time; what matters is that the answer is whole and true.
    let response = wire.get("/hello", "late").expect("one or the other, but an answer");
    assert!(matches!(response.status, 200 | 408 | 503) && response.closes(), "{response:?}");
    assert_eq!(busy.response().expect("what was in flight finishes").status, 200);
    service.expect_exit(0);
    assert_eq!(service.entered().contains(&"late".to_owned()), response.status == 200, "{response:?}");
}

#[test]
fn c45_newcomer_is_refused_at_once_while_the_drain_goes_on() {
    let mut service = Service::start(&[]);
    let mut wire = service.in_flight("/work/2500", "slow");
    service.signal(Signal::TERM);
    service.await_phase("drain");
    let refusal = || TcpStream::connect(service.http.tcp()).err();
    let refusal = eventually("a refusal", refusal);
    assert_eq!(refusal.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(service.phase().as_deref(), Some("drain"), "refused while the drain goes on");
    assert_eq!(wire.response().expect("what was in flight finishes").status, 200);
    service.expect_exit(0);
}
