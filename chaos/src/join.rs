//! Joins the clients' ledgers with the servers' on the request id.
//!
//! One pass over each file, one table in memory (`requests`), no sampling: the cost is linear in the number of requests.
//! Ledgers of several machines lie on one time line (`clocks`); what became of each request is decided in `judge`.

mod clocks;
mod joined;
mod judge;
mod lines;
mod requests;

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use loadtest::ledger::{self, Kind};
use winddown::audit;

pub(crate) use self::requests::{Answer, Intent, Request, Step};
use self::{
    clocks::{Clock, Clocks},
    lines::Lines,
    requests::{Number, Requests},
};
pub use self::{
    joined::{Joined, ServerStep},
    judge::{Judgement, When},
};
use crate::{k6, orders::Told};

/// Ledgers of clients and of servers, joined.
#[derive(Debug, Default)]
pub struct Join {
    requests: Requests,
    clients: Vec<Client>,
    servers: Vec<Server>,
    clocks: Clocks,
    foreign: u64,
}

/// A file with what a client says of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ledger {
    /// As `loadtest` writes it.
    Own(PathBuf),
    /// As `loadtest/k6/requests.js` writes it, which sees less.
    K6(PathBuf),
}

/// A ledger of a client. Its requests lie together in the table.
#[derive(Debug)]
struct Client {
    ledger: Ledger,
    clock: Option<Clock>,
    first_request: usize,
    connected: HashSet<u64>,
}

/// What one process of a server has told. Its steps lie together in the table.
#[derive(Debug)]
struct Server {
    path: PathBuf,
    clock: Clock,
    first_step: usize,
    phases: Vec<(u64, String)>,
}

impl Join {
    /// Reads a client's ledger and a server's.
    pub fn read(client: &Path, server: &Path) -> anyhow::Result<Self> {
        Self::read_all(&[Ledger::Own(client.to_owned())], &[server.to_owned()])
    }

    /// Reads the ledgers of any number of clients, and those of all servers that they asked.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is no ledger; an id stands for two requests; times cannot be compared, because files of
    /// several machines do not all say what their clocks were.
    pub fn read_all(clients: &[Ledger], servers: &[PathBuf]) -> anyhow::Result<Self> {
        let mut join = Self::default();
        for ledger in clients {
            join.read_client(ledger).with_context(|| format!("cannot read the client's ledger {ledger}"))?;
        }
        for path in servers {
            join.read_server(path).with_context(|| format!("cannot read the server's ledger {}", path.display()))?;
        }
        join.clocks.check()?;
        Ok(join)
    }

    fn read_client(&mut self, ledger: &Ledger) -> anyhow::Result<()> {
        let first_request = self.requests.len();
        self.clients.push(Client { ledger: ledger.clone(), clock: None, first_request, connected: HashSet::new() });
        match ledger {
            Ledger::Own(path) => {
                let mut records = ledger::read(path)?;
                while let Some(record) = records.next_record()? {
                    self.add_to_client(record)?;
                }
            }
            Ledger::K6(path) => {
                // Its times are the wall clock's.
                self.add_to_client(ledger::Record { at: 0, event: ledger::Event::Clock { wall: 0, boot: None } })?;
                let mut lines = Lines::open(path)?;
                while let Some((number, line)) = lines.next_line()? {
                    let line = k6::Line::parse(line)
                        .with_context(|| format!("line {number} is not of requests.js: {line:?}"))?;
                    self.add_to_client(line.record())?;
                }
            }
        }
        Ok(())
    }

    fn add_to_client(&mut self, ledger::Record { at, event }: ledger::Record<'_>) -> anyhow::Result<()> {
        let client = self.clients.last_mut().context("a ledger is being read")?;
        if let ledger::Event::Clock { wall, boot } = event {
            client.clock = Some(self.clocks.named(at, wall, boot));
            return Ok(());
        }
        let clock = *client.clock.get_or_insert_with(|| self.clocks.unnamed(&client.ledger.to_string()));
        let at = clock.place(at);
        match event {
            ledger::Event::Clock { .. } => {}
            ledger::Event::Connected { connection, .. } => {
                client.connected.insert(connection);
            }
            ledger::Event::Intent { connection, sequence, reused, protocol, kind, id } => {
                let intent = Intent { at, connection, sequence, reused, protocol, kind };
                if let Err(other) = self.requests.announce(id, intent) {
                    return Err(self.taken(id, other));
                }
            }
            ledger::Event::Outcome { class, status, detail, id } => {
                let request = self.requests.find(id).with_context(|| format!("id {id} ends unannounced"))?;
                let is_first = self.requests.end(request, Answer { at, class, status, detail });
                anyhow::ensure!(is_first, "id {id} ends twice");
            }
        }
        Ok(())
    }

    /// What is wrong when a client announces an id that `other` has.
    fn taken(&self, id: &str, other: Number) -> anyhow::Error {
        let (this, other) = (&self.clients[self.clients.len() - 1], self.client_of(other.index()));
        if other.first_request == this.first_request {
            return anyhow::anyhow!("id {id} is used twice");
        }
        anyhow::anyhow!(
            "id {id} is also in {}: one of them is a copy, or give each load a --run-id of its own",
            other.ledger
        )
    }

    fn read_server(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut lines = Lines::open(path)?;
        let before = self.servers.len();
        while let Some((number, line)) = lines.next_line()? {
            let audit::Record { at, event } = audit::Record::parse(line)
                .with_context(|| format!("line {number} is not an audit record: {line:?}"))?;
            // Each process begins with the clock; one file may have several, one after the other.
            let clock = match event {
                audit::Event::Clock { wall, boot } => Some(self.clocks.named(at, wall, boot)),
                _ if self.servers.len() == before => Some(self.clocks.unnamed(&path.display().to_string())),
                _ => None,
            };
            if let Some(clock) = clock {
                self.begin_server(path, clock);
            }
            self.add_to_server(audit::Record { at, event });
        }
        // Who was killed before its first request was a server, too.
        if self.servers.len() == before {
            self.begin_server(path, Clock::default());
        }
        Ok(())
    }

    fn begin_server(&mut self, path: &Path, clock: Clock) {
        let first_step = self.requests.steps();
        self.servers.push(Server { path: path.to_owned(), clock, first_step, phases: Vec::new() });
    }

    fn add_to_server(&mut self, audit::Record { at, event }: audit::Record<'_>) {
        let Some(server) = self.servers.last_mut() else { return };
        let at = server.clock.place(at);
        let (id, step) = match event {
            audit::Event::Clock { .. } => return,
            audit::Event::Phase(phase) => return server.phases.push((at, phase.to_owned())),
            audit::Event::Enter { id, .. } => (id, Step::Entered),
            audit::Event::HandlerDone { status, id, .. } => (id, Step::HandlerDone(status)),
            audit::Event::BodyEnd { outcome, id, .. } => (id, Step::BodyEnd(outcome)),
            audit::Event::Rejected { id, .. } => (id, Step::Rejected),
        };
        match self.requests.find(id) {
            Some(request) => self.requests.step(request, at, step),
            // Whoever else asks, such as a probe, sends no id.
            None if id == "-" => {}
            None => self.foreign += u64::from(matches!(step, Step::Entered | Step::Rejected)),
        }
    }

    /// Every request that a client announced, in the order of the ledgers.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Request<'_>> {
        self.requests.iter()
    }

    /// What the clients were told of each order that they wanted to place, by its key.
    pub fn orders(&self) -> impl Iterator<Item = (&str, Told)> {
        let orders = self.requests().filter(|request| request.intent.kind == Kind::Order);
        orders.map(|Request { id, outcome, .. }| {
            (id, Told::by(outcome.map(|Answer { class, status, .. }| (class, status))))
        })
    }

    /// How many requests the clients announced.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When each process of a server was told to stop, by its own ledger, and where that is.
    pub fn stops(&self) -> impl Iterator<Item = (&Path, Option<u64>)> {
        self.servers.iter().map(|server| (server.path.as_path(), server.signal()))
    }

    /// Whether all servers ran on one machine.
    pub fn has_one_server_clock(&self) -> bool {
        self.servers.windows(2).all(|pair| pair[0].clock.is_of(pair[1].clock))
    }

    fn client_of(&self, request: usize) -> &Client {
        &self.clients[self.clients.partition_point(|client| client.first_request <= request) - 1]
    }

    /// The place among the servers of the one whose step this is.
    fn server_of(&self, step: usize) -> usize {
        self.servers.partition_point(|server| server.first_step <= step) - 1
    }
}

impl Server {
    fn phase(&self, name: &str) -> Option<u64> {
        self.phases.iter().find(|(_, phase)| phase == name).map(|(at, _)| *at)
    }

    /// The beginning of the stop, as it tells it itself.
    fn signal(&self) -> Option<u64> {
        self.phase("lame_duck").or_else(|| self.phase("drain"))
    }
}

impl Ledger {
    /// Where it is.
    pub fn path(&self) -> &Path {
        let (Self::Own(path) | Self::K6(path)) = self;
        path
    }

    /// Whether it says what carried each request.
    const fn sees_connections(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

#[cfg(test)]
mod tests;
