//! Clients at 50 ms of round trip: a stop meets what is on the wire, and not one request is lost.
//!
//! A request is *dropped* when its connection was established, the request was written, and no complete answer came
//! back. Near peers hardly leave a moment for that. Here handshakes, requests, answers and farewells are under way for
//! 25 ms each, so that every stop meets all of them.
//!
//! It takes root, `/dev/net/tun` and `ip`. Where they are missing, the tests say so and pass, or fail if
//! `REQUIRE_REAL_PARTS` is 1.
#![cfg(target_os = "linux")]

mod clients;
mod connection;
mod delay_line;
mod network;
mod server;

use std::{
    thread,
    time::{Duration, Instant},
};

use winddown::{ListenerClose, ListenerReport, Transport};

use crate::{
    clients::{Clients, Load, Tally},
    connection::Connection,
    delay_line::ONE_WAY,
    network::{Namespace, Network, ROUND_TRIP},
};

/// Longer than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many stops each load meets.
const STOPS: usize = 4;

/// So many handshakes and requests are on the wire, at all stops of a test together, or it proves nothing.
const AT_RISK: usize = 100;

const NO_LAME_DUCK: Duration = Duration::ZERO;
const LAME_DUCK: Duration = Duration::from_millis(500);

#[test]
fn c02_far_clients_that_connect_anew_lose_nothing() {
    connect_anew(LAME_DUCK);
}

#[test]
fn c02_far_clients_that_connect_anew_lose_nothing_without_a_lame_duck() {
    connect_anew(NO_LAME_DUCK);
}

fn connect_anew(lame_duck: Duration) {
    let Some((_, listeners)) = storm(lame_duck, Load::ANEW) else { return };
    assert!(listeners.iter().all(|listener| listener.closed == ListenerClose::BoundToNoInterface), "{listeners:?}");
    let saved: usize = listeners.iter().map(|listener| listener.saved).sum();
    assert!(saved >= Load::ANEW.clients / 2, "hardly a handshake was under way: {listeners:?}");
    // The youngest handshake decides, and it has hardly begun, as 64 clients connect in 100 ms. Not every time: load
    // brings them in step.
    let windows = || listeners.iter().map(|listener| listener.window);
    assert!(windows().max() > Some(ROUND_TRIP * 4 / 5), "no handshake was waited for: {listeners:?}");
    let default = Transport::default().handshake_window;
    assert!(windows().min() < Some(default), "the wait does not end with the handshakes: {listeners:?}");
}

#[test]
fn c04_far_kept_connections_lose_nothing() {
    storm(LAME_DUCK, Load::BUSY);
}

#[test]
fn c04_far_kept_connections_lose_nothing_without_a_lame_duck() {
    let Some((tally, _)) = storm(NO_LAME_DUCK, Load::THINKING) else { return };
    assert!(tally.farewell > 0, "no request crossed a farewell: {}", tally.summary());
}

#[test]
fn c04_far_idle_connection_has_twice_its_round_trip() {
    let Some(network) = Network::set_up() else { return };
    let (server, _) = server::start(&network.server, NO_LAME_DUCK);
    let rested = |place: &Namespace, requests: usize| {
        let mut connection = place.run(|| Connection::open(server.address)).expect("the server listens");
        for _ in 0..requests {
            connection.send("rests").expect("the connection is open");
            assert_eq!(connection.response().expect("an answer").body, "rests");
        }
        connection
    };
    let mut near = rested(&network.server, 1);
    // It is the silence since the drain began that counts, however much a connection has carried before.
    let far = [1, 2, 9].map(|requests| rested(&network.client, requests));

    let asked = Instant::now();
    server.signal();
    let told = |connection: &mut Connection| {
        let farewell = connection.response().expect("a farewell");
        assert_eq!((farewell.status, farewell.closes()), (408, true), "{farewell:?}");
        asked.elapsed()
    };
    let far = thread::scope(|scope| {
        let far = far.map(|mut connection| scope.spawn(move || told(&mut connection)));
        far.map(|far| far.join().expect("a farewell"))
    });
    assert!(!near.is_silent(), "a near peer waits as long as a far one");
    told(&mut near);
    println!("idle connections are told after {far:.1?}");
    for far in far {
        assert!(far >= ROUND_TRIP * 2 + ONE_WAY, "{far:?}: what was on the wire had no time to arrive");
        assert!(far < server::transport().idle_grace / 2, "{far:?}: the grace is not the connection's own");
    }
    assert_eq!(server.end().0.exit_code(), 0);
}

/// The control: without it nobody knows whether these loads could lose anything.
#[test]
fn far_clients_of_a_stock_server_lose_requests() {
    let Some(network) = Network::set_up() else { return };
    let loses = |load: &Load| {
        let server = server::start_stock(&network.server);
        let clients = Clients::start_and_await_load(&network.client, server.address, load.clone());
        server.signal();
        let tally = clients.end();
        println!("stock: {}", tally.summary());
        server.end();
        !tally.dropped.is_empty()
    };
    for load in [Load::ANEW, Load::BUSY] {
        // The first stop does it, unless all clients are in step.
        assert!((0..STOPS).any(|_| loses(&load)), "{} clients lost nothing", load.clients);
    }
}

/// Stops a server in the middle of a load, a few times. What became of all requests, and how each listener closed.
fn storm(lame_duck: Duration, load: Load) -> Option<(Tally, Vec<ListenerReport>)> {
    let network = Network::set_up()?;
    let (mut total, mut listeners, mut at_risk) = (Tally::default(), Vec::new(), 0);
    for _ in 0..STOPS {
        let (server, stop) = server::start(&network.server, lame_duck);
        let clients = Clients::start_and_await_load(&network.client, server.address, load.clone());
        let at_signal = clients.under_way();
        server.signal();
        server::await_drain(&stop);
        let at_drain = clients.under_way();
        let mut tally = clients.end();
        let (report, entered) = server.end();
        let listener = &report.listeners[0];
        println!(
            "on the wire {at_signal} at the signal, {at_drain} at the drain; {}; {} saved in {:.1?}; stopped in {:.1?}",
            tally.summary(),
            listener.saved,
            listener.window,
            report.duration
        );
        assert!(tally.dropped.is_empty(), "{}\n{:#?}", tally.summary(), tally.dropped);
        assert_eq!(tally.wordless, 0, "a used connection was closed without a word: {}", tally.summary());
        assert_eq!(tally.refused, load.clients, "every client went on until it was refused: {}", tally.summary());
        tally.ok.sort();
        assert_eq!(entered, tally.ok, "handlers ran for other requests than those that got an answer");
        assert_eq!(report.exit_code(), 0, "{report}");
        at_risk += at_signal.min(at_drain);
        listeners.push(listener.clone());
        total = total.add(tally);
    }
    network.assert_lossless();
    println!("{at_risk} at risk: {}", total.summary());
    assert!(at_risk >= AT_RISK, "only {at_risk} at risk");
    Some((total, listeners))
}

/// Polls until it is true; for states that nobody announces.
fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
