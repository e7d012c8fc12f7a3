//! Clients that know what became of each of their requests: no pool, no retry.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    PATIENCE,
    connection::{Connection, Response},
    eventually,
    network::{Namespace, ROUND_TRIP},
};

/// How clients behave.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// The milliseconds for which a client thinks between two requests on a connection that it keeps. `None` is a new
    /// connection for each request.
    pub(crate) think: Option<RangeInclusive<u64>>,
}

impl Load {
    pub(crate) const ANEW: Self = Self { clients: 64, think: None };
    /// A request every 70 ms: most of the time it is on the wire.
    pub(crate) const BUSY: Self = Self { clients: 64, think: Some(20..=20) };
    /// A drain meets most of these connections idle, and many think for longer than an idle one has.
    pub(crate) const THINKING: Self = Self { clients: 256, think: Some(100..=300) };

    /// The longest time from a client's connect to its next one or to its next request.
    fn cycle(&self) -> Duration {
        let think = self.think.as_ref().map_or(0, |think| *think.end());
        ROUND_TRIP * 2 + Duration::from_millis(think)
    }
}

/// What became of the requests.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    /// The ids of those that were answered.
    pub(crate) ok: Vec<String>,
    pub(crate) rejected: usize,
    /// A 408 that crossed the request.
    pub(crate) farewell: usize,
    /// A 408 that came while the client was thinking, so no request at all.
    pub(crate) told: usize,
    /// The same without a 408, which only a server may do that does not promise one.
    pub(crate) wordless: usize,
    /// The connection was known to be gone when the request was to be written.
    pub(crate) unwritten: usize,
    pub(crate) refused: usize,
    /// An established connection, a request that was written, and no complete answer that a stop allows.
    pub(crate) dropped: Vec<String>,
}

/// All clients of one server, each on a thread of its own, until they are refused.
pub(crate) struct Clients {
    shared: Arc<Shared>,
    threads: JoinHandle<Tally>,
}

/// What the test watches of them.
#[derive(Default)]
struct Shared {
    answered: AtomicUsize,
    /// Clients that wait for a handshake or an answer.
    under_way: AtomicUsize,
}

impl Clients {
    /// Returns when each has had three answers or so, in the middle of a steady load.
    pub(crate) fn start_and_await_load(namespace: &Namespace, server: SocketAddr, load: Load) -> Self {
        let (namespace, shared, warm) = (namespace.clone(), Arc::<Shared>::default(), load.clients * 3);
        let watched = shared.clone();
        let threads = thread::spawn(move || {
            namespace.enter();
            run(server, &load, &shared)
        });
        eventually("a steady load", || watched.answered.load(Relaxed) >= warm);
        Self { shared: watched, threads }
    }

    pub(crate) fn under_way(&self) -> usize {
        self.shared.under_way.load(Relaxed)
    }

    pub(crate) fn end(self) -> Tally {
        self.threads.join().expect("no client panics")
    }
}

/// Runs all clients, in the namespace of the calling thread.
fn run(server: SocketAddr, load: &Load, shared: &Shared) -> Tally {
    thread::scope(|scope| {
        let client = |name| Client { server, name, sequence: 0, load, shared, tally: Tally::default() };
        let clients: Vec<_> = (0..load.clients).map(|name| scope.spawn(move || client(name).run())).collect();
        let tallies = clients.into_iter().map(|client| client.join().expect("a client counts, it does not panic"));
        tallies.fold(Tally::default(), Tally::add)
    })
}

/// One client.
struct Client<'a> {
    server: SocketAddr,
    name: usize,
    sequence: usize,
    load: &'a Load,
    shared: &'a Shared,
    tally: Tally,
}

impl Client<'_> {
    fn run(mut self) -> Tally {
        // In step, all would connect in one moment and none in another.
        thread::sleep(self.load.cycle() * self.name as u32 / self.load.clients as u32);
        let deadline = Instant::now() + PATIENCE;
        while let Some(mut connection) = self.connect() {
            while self.request(&mut connection) && self.thinks(&mut connection) {}
            assert!(Instant::now() < deadline, "never refused: {}", self.tally.summary());
        }
        self.tally
    }

    fn connect(&mut self) -> Option<Connection> {
        match self.shared.under_way(|| Connection::open(self.server)) {
            Ok(connection) => Some(connection),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                self.tally.refused += 1;
                None
            }
            Err(error) => panic!("neither connected nor refused: {error}"),
        }
    }

    /// Sends one request; whether the connection can carry another.
    fn request(&mut self, connection: &mut Connection) -> bool {
        self.sequence += 1;
        let id = format!("{}-{}", self.name, self.sequence);
        let kept = connection.is_used();
        if connection.send(&id).is_err() {
            self.tally.unwritten += 1;
            return false;
        }
        let response = match self.shared.under_way(|| connection.response()) {
            Ok(response) => response,
            Err(broken) => {
                self.tally.dropped.push(format!("{id}: {broken}"));
                return false;
            }
        };
        self.shared.answered.fetch_add(1, Relaxed);
        let closes = response.closes();
        match response.status {
            200 if response.body == id => self.tally.ok.push(id),
            503 if closes && response.head.contains("\r\nretry-after: ") => self.tally.rejected += 1,
            408 if closes && kept => self.tally.farewell += 1,
            _ => self.tally.dropped.push(format!("{id}: {response:?}")),
        }
        !closes
    }

    /// Thinks, if this client does; whether the connection is then still there.
    ///
    /// It looks before it writes, as good clients do. So a 408 that answers a request did cross it.
    fn thinks(&mut self, connection: &mut Connection) -> bool {
        let Some(think) = self.load.think.clone() else { return false };
        thread::sleep(Duration::from_millis(fastrand::u64(think)));
        if connection.is_silent() {
            return true;
        }
        match connection.response() {
            Ok(Response { status: 408, .. }) => self.tally.told += 1,
            _ => self.tally.wordless += 1,
        }
        false
    }
}

impl Shared {
    fn under_way<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.under_way.fetch_add(1, Relaxed);
        let done = wait();
        self.under_way.fetch_sub(1, Relaxed);
        done
    }
}

impl Tally {
    pub(crate) fn add(mut self, other: Self) -> Self {
        self.ok.extend(other.ok);
        self.dropped.extend(other.dropped);
        self.rejected += other.rejected;
        self.farewell += other.farewell;
        self.told += other.told;
        self.wordless += other.wordless;
        self.unwritten += other.unwritten;
        self.refused += other.refused;
        self
    }

    pub(crate) fn summary(&self) -> String {
        let Self { ok, rejected, farewell, told, wordless, unwritten, refused, dropped } = self;
        let (ok, dropped) = (ok.len(), dropped.len());
        format!(
            "ok {ok}, rejected {rejected}, farewell {farewell}, unwritten {unwritten}, refused {refused}, dropped \
             {dropped}; closed while idle {told} with a 408, {wordless} without"
        )
    }
}
