//! Clients that go on until they are refused, and the count of what became of their requests.
//!
//! A request is *dropped* when its connection was established and no complete response came back, unless the connection
//! had been used before and was gone when the request was to be written. In the end the clients' count and the service's
//! audit log must agree: a handler ran for exactly those requests that got its answer.

use std::{
    io::{self, ErrorKind},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{PATIENCE, Service, Signal},
    observe::eventually,
    wire::{Wire, get},
};

const CLIENTS: usize = 32;
/// The signal comes when this many requests have been answered, so in the middle of a steady load.
const WARM: usize = 20 * CLIENTS;

/// What a client does with each of its connections.
pub(crate) type Pattern = fn(&mut Client<'_>, Wire);

/// How the client of this number connects.
pub(crate) type Connect<'a> = &'a (dyn Fn(usize) -> io::Result<Wire> + Sync);

/// One client: it connects again whenever it has to.
pub(crate) struct Client<'a> {
    name: usize,
    pub(crate) sequence: usize,
    connect: Connect<'a>,
    /// The connection has not carried a response yet.
    fresh: bool,
    now: &'a Now,
    pub(crate) tally: Tally,
}

/// What the clients are doing at this moment, all together.
#[derive(Default)]
pub(crate) struct Now {
    /// Requests that have been answered so far.
    pub(crate) answered: AtomicUsize,
    /// Connections that are established.
    pub(crate) connected: AtomicUsize,
    /// Requests that are written and not answered.
    pub(crate) unanswered: AtomicUsize,
}

/// What became of the requests, by id.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) ok: Vec<String>,
    rejected: usize,
    farewell: usize,
    /// A used connection was gone before the request could be written.
    unwritten: usize,
    refused: usize,
    pub(crate) dropped: Vec<String>,
}

/// Stops the service in the middle of a load from many clients, and returns what it left. Every request that entered a handler was
/// answered, and no other.
pub(crate) fn storm(mut service: Service, pattern: Pattern) -> Service {
    let (http, now) = (service.http.clone(), Now::default());
    let connect = |_| Wire::connect(&http);
    let tally = thread::scope(|scope| {
        let client = |name| Client::new(name, &connect, &now);
        let clients: Vec<_> = (0..CLIENTS).map(client).map(|client| scope.spawn(move || client.run(pattern))).collect();
        eventually("a steady load", || (now.answered.load(Relaxed) >= WARM).then_some(()));
        service.signal(Signal::TERM);
        let tallies = clients.into_iter().map(|client| client.join().expect("a client counts, it does not panic"));
        tallies.fold(Tally::default(), Tally::add)
    });
    println!("{}", tally.summary());
    assert!(tally.dropped.is_empty(), "{}\n{:#?}", tally.summary(), tally.dropped);
    assert_eq!(tally.refused, CLIENTS, "every client went on until it was refused: {}", tally.summary());
    service.expect_exit(0);
    tally.assert_agrees_with(service.entered());
    service
}

/// A connection for every request.
pub(crate) fn one_request_each(client: &mut Client<'_>, mut wire: Wire) {
    client.request(&mut wire);
}

/// A connection for as many requests as it takes.
pub(crate) fn one_after_another(client: &mut Client<'_>, mut wire: Wire) {
    while client.request(&mut wire) {}
}

/// The least careful client there is: it never looks whether the connection is still there before it writes. Some
/// think for less time than an idle connection has, so that the drain meets their requests; some for longer, so that
/// the farewell does.
pub(crate) fn with_a_pause_between(client: &mut Client<'_>, mut wire: Wire) {
    while client.request(&mut wire) {
        thread::sleep(Duration::from_millis(2 + client.name as u64 % 8 * 3));
    }
}

impl<'a> Client<'a> {
    pub(crate) fn new(name: usize, connect: Connect<'a>, now: &'a Now) -> Self {
        Self { name, sequence: 0, connect, fresh: true, now, tally: Tally::default() }
    }

    fn run(mut self, pattern: Pattern) -> Tally {
        self.until_refused(pattern);
        self.tally
    }

    /// Connects again and again until it is refused.
    pub(crate) fn until_refused(&mut self, pattern: Pattern) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(wire) = self.connect() {
            self.now.connected.fetch_add(1, Relaxed);
            pattern(self, wire);
            self.now.connected.fetch_sub(1, Relaxed);
            assert!(Instant::now() < deadline, "never refused: {}", self.tally.summary());
        }
    }

    fn connect(&mut self) -> Option<Wire> {
        self.fresh = true;
        match (self.connect)(self.name) {
            Ok(wire) => Some(wire),
            // A Unix socket is not even found once its file is gone.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                self.tally.refused += 1;
                None
            }
            Err(error) => panic!("neither connected nor refused: {error}"),
        }
    }

    /// Sends one request; whether the connection can carry another.
    pub(crate) fn request(&mut self, wire: &mut Wire) -> bool {
        self.sequence += 1;
        let (id, fresh) = (format!("{}-{}", self.name, self.sequence), std::mem::take(&mut self.fresh));
        if let Err(error) = wire.send(get("/hello", &id)) {
            if fresh {
                self.tally.dropped.push(format!("{id}: could not be written: {error}"));
            } else {
                self.tally.unwritten += 1;
            }
            return false;
        }
        self.now.unanswered.fetch_add(1, Relaxed);
        let response = wire.response();
        self.now.unanswered.fetch_sub(1, Relaxed);
        let Ok(response) = response.map_err(|broken| self.tally.dropped.push(format!("{id}: {broken:?}"))) else {
            return false;
        };
        self.now.answered.fetch_add(1, Relaxed);
        match response.status {
            200 if response.header("x-request-id") == Some(&id) => self.tally.ok.push(id),
            503 => {
                response.assert_rejected();
                self.tally.rejected += 1;
            }
            408 if !fresh => {
                assert!(response.closes(), "{response:?}");
                self.tally.farewell += 1;
            }
            _ => self.tally.dropped.push(format!("{id}: {response:?}")),
        }
        !response.closes()
    }
}

impl Tally {
    pub(crate) fn add(mut self, other: Self) -> Self {
        self.ok.extend(other.ok);
        self.dropped.extend(other.dropped);
        self.rejected += other.rejected;
        self.farewell += other.farewell;
        self.unwritten += other.unwritten;
        self.refused += other.refused;
        self
    }

    pub(crate) fn assert_agrees_with(mut self, mut entered: Vec<String>) {
        entered.sort();
        self.ok.sort();
        assert_eq!(entered.len(), self.ok.len(), "handlers ran for other requests than those that got an answer");
        assert!(entered == self.ok, "as many as got an answer, but others");
    }

    pub(crate) fn summary(&self) -> String {
        let Self { ok, rejected, farewell, unwritten, refused, dropped } = self;
        let (ok, dropped) = (ok.len(), dropped.len());
        format!(
            "ok {ok}, rejected {rejected}, farewell {farewell}, unwritten {unwritten}, refused {refused}, dropped {dropped}"
        )
    }
}
