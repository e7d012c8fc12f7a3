//! Load from many clients at once, a signal in the middle of it, and not one request without a complete answer. Each
//! storm runs with a lame duck and, harder, without one.

use std::{thread, time::Duration};

use crate::{
    harness::{Service, Signal},
    load::{Client, one_after_another, one_request_each, storm, with_a_pause_between},
    wire::{End, Wire},
};

#[test]
fn c01_storm_of_new_connections() {
    storm(Service::start(&[("LAME_DUCK", "500ms")]), one_request_each);
}

#[test]
fn c01_storm_of_new_connections_without_a_lame_duck() {
    storm(Service::start(&[]), one_request_each);
}

#[test]
fn c04_storm_of_busy_keep_alive_connections() {
    storm(Service::start(&[("LAME_DUCK", "500ms")]), one_after_another);
}

#[test]
fn c04_storm_of_busy_keep_alive_connections_without_a_lame_duck() {
    storm(Service::start(&[]), one_after_another);
}

#[test]
fn c04_storm_of_clients_that_think() {
    storm(Service::start(&[("LAME_DUCK", "500ms")]), with_a_pause_between);
}

#[test]
fn c04_storm_of_clients_that_think_without_a_lame_duck() {
    storm(Service::start(&[]), with_a_pause_between);
}

#[test]
fn c03_storm_of_connections_that_are_silent_at_first() {
    storm(Service::start(&[("LAME_DUCK", "500ms"), ("IDLE_GRACE", "2s")]), silent_at_first);
}

#[test]
fn c03_storm_of_connections_that_are_silent_at_first_without_a_lame_duck() {
    storm(Service::start(&[("IDLE_GRACE", "2s")]), silent_at_first);
}

fn silent_at_first(client: &mut Client<'_>, mut wire: Wire) {
    thread::sleep(Duration::from_millis(client.sequence as u64 % 7 * 5));
    client.request(&mut wire);
}

#[test]
fn c03_connections_that_stay_silent_hold_nothing() {
    let mut service = Service::start(&[]);
    let mut silent: Vec<Wire> = (0..64).map(|_| service.connect()).collect();
    service.signal(Signal::TERM);
    for wire in &mut silent {
        assert_eq!(wire.end(), End::Fin);
    }
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(3), "held for {:?} by clients that never said a word", exit.after);
}
