//! How soon the process is gone over TLS and HTTP/2, which have more to say at the end than HTTP/1.1 in the clear.

use std::time::{Duration, Instant};

use crate::{
    frames::{Frames, Said},
    harness::{Service, Signal},
    observe::best,
};
#[cfg(feature = "tls")]
use crate::{
    tls,
    wire::{End, Wire},
};

/// How much an exit may take when nothing is waited for.
const BOUND: Duration = Duration::from_millis(250);

/// How many requests are in flight at the signal.
const LOAD: u32 = 16;

#[cfg(feature = "tls")]
#[test]
fn c15_idle_tls_connection_costs_no_time() {
    best(BOUND, "signal to exit, one idle connection over TLS", || {
        let (mut service, _) = tls::start(&[]);
        let mut idle = service.idle("idle");
        service.signal(Signal::TERM);
        idle.assert_farewell();
        assert_eq!(idle.end(), End::Fin);
        drop(idle);
        service.expect_exit(0).after
    });
}

#[test]
fn c15_idle_http2_connection_costs_no_time() {
    best(BOUND, "signal to exit, one idle connection over HTTP/2", || idle_http2(Service::start(&[])));
    #[cfg(feature = "tls")]
    best(BOUND, "signal to exit, one idle connection over HTTP/2 and TLS", || idle_http2(tls::start(&[]).0));
}

fn idle_http2(mut service: Service) -> Duration {
    let mut client = Frames::connect(&service.http);
    client.get(1, "/hello", "idle");
    client.until(|said| *said == Said::Ended { stream: 1 });
    service.signal(Signal::TERM);
    client.until_closed();
    drop(client);
    service.expect_exit(0).after
}

#[cfg(feature = "tls")]
#[test]
fn c16_last_response_over_tls_ends_the_drain() {
    best(BOUND, "last answer to exit, over TLS", || {
        let (mut service, _) = tls::start(&[]);
        let work = |i| service.in_flight(&format!("/work/{}", 2000 + i), &format!("work-{i}"));
        let wires: Vec<Wire> = (0..LOAD).map(work).collect();
        service.signal(Signal::TERM);
        for mut wire in wires {
            let response = wire.response().expect("it finishes");
            assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
        }
        let answered = Instant::now();
        service.expect_exit(0);
        answered.elapsed()
    });
}

#[test]
fn c16_last_response_over_http2_ends_the_drain() {
    best(BOUND, "last answer to exit, over HTTP/2", || busy_http2(Service::start(&[])));
    #[cfg(feature = "tls")]
    best(BOUND, "last answer to exit, over HTTP/2 and TLS", || busy_http2(tls::start(&[]).0));
}

fn busy_http2(mut service: Service) -> Duration {
    let mut client = Frames::connect(&service.http);
    for i in 0..LOAD {
        client.get(2 * i + 1, &format!("/work/{}", 400 + i), &format!("work-{i}"));
    }
    service.await_entered(&format!("work-{}", LOAD - 1));
    service.signal(Signal::TERM);
    for _ in 0..LOAD {
        client.until(|said| matches!(said, Said::Ended { .. }));
    }
    let answered = Instant::now();
    client.until_closed();
    drop(client);
    service.expect_exit(0);
    answered.elapsed()
}
