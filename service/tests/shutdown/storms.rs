//! Load from many clients at once, a signal in the middle of it, and not one request without a complete answer.
//!
//! A request is *dropped* when its connection was established, the request was written, and no complete response
//! came back. Each storm runs with a lame duck and, harder, without one. In the end the client's count and the
//! service's audit log must agree: a handler ran for exactly those requests that got its answer.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{PATIENCE, Service, Settings, Signal},
    observe::eventually,
    wire::{End, Wire},
};

const CLIENTS: usize = 32;
/// The signal comes when this many requests have been answered, so in the middle of a steady load.
const WARM: usize = 20 * CLIENTS;

#[test]
fn c01_storm_of_new_connections() {
    storm(&[("LAME_DUCK", "500ms")], one_request_each);
}

#[test]
fn c01_storm_of_new_connections_without_a_lame_duck() {
    storm(&[], one_request_each);
}

fn one_request_each(client: &mut Client<'_>, mut wire: Wire) {
    client.request(&mut wire);
}

#[test]
fn c04_storm_of_busy_keep_alive_connections() {
    storm(&[("LAME_DUCK", "500ms")], one_after_another);
}

#[test]
fn c04_storm_of_busy_keep_alive_connections_without_a_lame_duck() {
    storm(&[], one_after_another);
}

fn one_after_another(client: &mut Client<'_>, mut wire: Wire) {
    while client.request(&mut wire) {}
}

#[test]
fn c04_storm_of_clients_that_think() {
    storm(&[("LAME_DUCK", "500ms")], with_a_pause_between);
}

#[test]
fn c04_storm_of_clients_that_think_without_a_lame_duck() {
    storm(&[], with_a_pause_between);
}

/// The least careful client there is: it never looks whether the connection is still there before it writes. Some
/// think for less time than an idle connection has, so that the drain meets their requests; some for longer, so that
/// the farewell does.
fn with_a_pause_between(client: &mut Client<'_>, mut wire: Wire) {
    while client.request(&mut wire) {
        thread::sleep(Duration::from_millis(2 + client.name as u64 % 8 * 3));
    }
}

#[test]
fn c03_storm_of_connections_that_are_silent_at_first() {
    storm(&[("LAME_DUCK", "500ms"), ("IDLE_GRACE", "2s")], silent_at_first);
}

#[test]
fn c03_storm_of_connections_that_are_silent_at_first_without_a_lame_duck() {
    storm(&[("IDLE_GRACE", "2s")], silent_at_first);
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

/// One client: it connects again whenever it has to, until it is refused.
struct Client<'a> {
    service: SocketAddr,
    name: usize,
    sequence: usize,
    answered: &'a AtomicUsize,
    tally: Tally,
}

/// What became of the requests, by id.
#[derive(Default, Debug)]
struct Tally {
    ok: Vec<String>,
    rejected: usize,
    farewell: usize,
    /// The connection was gone before the request could be written.
    unwritten: usize,
    refused: usize,
    dropped: Vec<String>,
}

fn storm(settings: Settings<'_>, pattern: fn(&mut Client<'_>, Wire)) {
    let mut service = Service::start(settings);
    let (http, answered) = (service.http, AtomicUsize::new(0));
    let tally = thread::scope(|scope| {
        let answered = &answered;
        let client = |name| Client { service: http, name, sequence: 0, answered, tally: Tally::default() };
        let clients: Vec<_> = (0..CLIENTS).map(|name| scope.spawn(move || client(name).run(pattern))).collect();
        eventually("a steady load", || (answered.load(Ordering::Relaxed) >= WARM).then_some(()));
        service.signal(Signal::TERM);
        let tallies = clients.into_iter().map(|client| client.join().expect("a client counts, it does not panic"));
        tallies.fold(Tally::default(), Tally::add)
    });
    println!("{}", tally.summary());
    assert!(tally.dropped.is_empty(), "{}\n{:#?}", tally.summary(), tally.dropped);
    assert_eq!(tally.refused, CLIENTS, "every client went on until it was refused: {}", tally.summary());
    service.expect_exit(0);
    let (mut entered, mut ok) = (service.entered(), tally.ok);
    entered.sort();
    ok.sort();
    assert_eq!(entered.len(), ok.len(), "handlers ran for other requests than those that got an answer");
    assert_eq!(entered, ok);
}

impl Client<'_> {
    fn run(mut self, pattern: fn(&mut Self, Wire)) -> Tally {
        let deadline = Instant::now() + PATIENCE;
        while let Some(wire) = self.connect() {
            pattern(&mut self, wire);
            assert!(Instant::now() < deadline, "never refused: {}", self.tally.summary());
        }
        self.tally
    }

    fn connect(&mut self) -> Option<Wire> {
        match Wire::connect(self.service) {
            Ok(wire) => Some(wire),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                self.tally.refused += 1;
                None
            }
            Err(error) => panic!("neither connected nor refused: {error}"),
        }
    }

    /// Sends one request; whether the connection can carry another.
    fn request(&mut self, wire: &mut Wire) -> bool {
        self.sequence += 1;
        let id = format!("{}-{}", self.name, self.sequence);
        if wire.send(crate::wire::get("/hello", &id)).is_err() {
            self.tally.unwritten += 1;
            return false;
        }
        let Ok(response) = wire.response().map_err(|broken| self.tally.dropped.push(format!("{id}: {broken:?}")))
        else {
            return false;
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        match response.status {
            200 => self.tally.ok.push(id),
            503 => {
                response.assert_rejected();
                self.tally.rejected += 1;
            }
            408 => {
                assert!(response.closes(), "{response:?}");
                self.tally.farewell += 1;
            }
            _ => self.tally.dropped.push(format!("{id}: {response:?}")),
        }
        !response.closes()
    }
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        self.ok.extend(other.ok);
        self.dropped.extend(other.dropped);
        self.rejected += other.rejected;
        self.farewell += other.farewell;
        self.unwritten += other.unwritten;
        self.refused += other.refused;
        self
    }

    fn summary(&self) -> String {
        let Self { ok, rejected, farewell, unwritten, refused, dropped } = self;
        let (ok, dropped) = (ok.len(), dropped.len());
        format!(
            "ok {ok}, rejected {rejected}, farewell {farewell}, unwritten {unwritten}, refused {refused}, dropped {dropped}"
        )
    }
}
