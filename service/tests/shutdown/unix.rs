//! Unix sockets: nothing is lost, and the files are there exactly as long as somebody listens.

use std::path::Path;

use tempfile::TempDir;
use winddown::Address;

use crate::{
    harness::{PATIENCE, Service, Settings, Signal},
    load::{one_after_another, one_request_each, storm, with_a_pause_between},
    wire::{End, Wire, get},
};

#[test]
fn c01_accept_queue_of_a_unix_socket_is_served_when_the_listener_closes() {
    // One connection more than this and it waits in the queue, for as long as the first one lasts.
    let (folder, mut service) = start(&[("MAX_CONNECTIONS", "1")]);
    let _first = service.idle("first");
    let mut queued: Vec<Wire> = (0..100).map(|_| service.connect()).collect();
    for (i, wire) in queued.iter_mut().enumerate() {
        wire.send(get("/hello", &format!("queued-{i}"))).expect("the kernel takes it");
    }
    service.signal(Signal::TERM);
    for (i, wire) in queued.iter_mut().enumerate() {
        let response = wire.response().unwrap_or_else(|broken| panic!("connection {i}: {broken:?}"));
        assert_eq!(response.status, 200, "connection {i}: {response:?}");
        wire.assert_ends_after(&response);
    }
    service.expect_exit(0);
    assert_no_sockets(&folder);
}

#[test]
fn c01_storm_of_new_connections_over_a_unix_socket() {
    let (folder, service) = start(&[("LAME_DUCK", "500ms")]);
    storm(service, one_request_each);
    assert_no_sockets(&folder);
}

#[test]
fn c01_storm_of_new_connections_over_a_unix_socket_without_a_lame_duck() {
    let (folder, service) = start(&[]);
    storm(service, one_request_each);
    assert_no_sockets(&folder);
}

#[test]
fn c04_storm_of_busy_connections_over_a_unix_socket_without_a_lame_duck() {
    let (folder, service) = start(&[]);
    storm(service, one_after_another);
    assert_no_sockets(&folder);
}

#[test]
fn c04_storm_of_clients_that_think_over_a_unix_socket_without_a_lame_duck() {
    let (folder, service) = start(&[]);
    storm(service, with_a_pause_between);
    assert_no_sockets(&folder);
}

#[test]
fn c17_successor_binds_the_same_paths_at_once() {
    let (folder, mut first) = start(&[]);
    let mut idle = first.idle("idle");
    let mut busy = first.in_flight("/work/500", "busy");
    first.signal(Signal::TERM);
    idle.assert_farewell();
    assert_eq!(idle.end(), End::Fin);
    assert_eq!(busy.response().expect("it finishes").status, 200);
    first.expect_exit(0);
    assert_no_sockets(&folder);
    let second = Service::start_at(addresses(&folder), &[]);
    assert_eq!(second.connect().get("/hello", "after").expect("the successor serves").status, 200);
}

#[test]
fn c17_successor_binds_the_paths_that_a_crash_left_behind() {
    let (folder, mut first) = start(&[]);
    first.signal(Signal::KILL);
    first.wait_exit(PATIENCE);
    assert_eq!(sockets(folder.path()), 2, "nobody was there to remove them");
    let mut second = Service::start_at(addresses(&folder), &[]);
    assert_eq!(second.connect().get("/hello", "after").expect("the successor serves").status, 200);
    second.signal(Signal::TERM);
    second.expect_exit(0);
    assert_no_sockets(&folder);
}

#[test]
fn c17_successor_that_comes_too_soon_is_refused_and_disturbs_nothing() {
    let (folder, first) = start(&[]);
    let mut second = Service::spawn(addresses(&folder), &[]);
    let exit = second.wait_exit(PATIENCE);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(second.stderr().contains("ADMIN_ADDR=unix:"), "which one? {}", second.stderr());
    assert_eq!(first.connect().get("/hello", "still").expect("the first one serves").status, 200);
}

/// A service on two socket files of its own, in a folder that outlives it.
pub(crate) fn start(settings: Settings<'_>) -> (TempDir, Service) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let service = Service::start_at(addresses(&folder), settings);
    (folder, service)
}

fn addresses(folder: &TempDir) -> (Address, Address) {
    (Address::Unix(folder.path().join("http.sock")), Address::Unix(folder.path().join("admin.sock")))
}

fn sockets(folder: &Path) -> usize {
    folder.read_dir().expect("the folder is ours").count()
}

fn assert_no_sockets(folder: &TempDir) {
    assert_eq!(sockets(folder.path()), 0, "the socket files go with the service");
}
