//! Joins the client's ledger with the server's on the request id.
//!
//! One pass over each file, one table in memory, no sampling: the cost is linear in the number of requests.

mod joined;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::Context;
use loadtest::ledger::{self, Class as Client, Kind, Protocol};
use winddown::audit::{self, Outcome};

pub use self::joined::{Joined, ServerStep};
use crate::{
    classify::{Class, Connection, Counts, Facts, Moment, Weight, classify},
    orders::Told,
    story::Story,
};

/// So many failing requests of each class are told in full.
const STORIES: usize = 5;

/// Both ledgers of one stop, joined.
#[derive(Debug, Default)]
pub struct Join {
    requests: HashMap<Box<str>, Request>,
    connected: HashSet<u64>,
    phases: Vec<(u64, String)>,
    foreign: u64,
}

/// What became of the requests of one stop.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Requests that were sent before the signal and ended after it.
    pub in_flight: u64,
    /// How many came to which class.
    pub counts: Counts,
    /// Of those that fail or cast doubt on the run the first of each class, then the second of each, and so on.
    pub stories: Vec<Story>,
    /// Requests that only the server knows.
    pub foreign: u64,
}

/// One request, by both ledgers.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) intent: Intent,
    pub(crate) outcome: Option<Answer>,
    pub(crate) server: Vec<(u64, Step)>,
}

#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) at: u64,
    pub(crate) connection: u64,
    pub(crate) sequence: u64,
    pub(crate) reused: bool,
    pub(crate) protocol: Protocol,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) at: u64,
    pub(crate) class: Client,
    pub(crate) status: Option<u16>,
    pub(crate) detail: Option<Box<str>>,
}

/// What the server did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Entered,
    HandlerDone(u16),
    BodyEnd(Outcome),
    Rejected,
}

impl Join {
    /// Reads both ledgers.
    pub fn read(client: &Path, server: &Path) -> anyhow::Result<Self> {
        let mut join = Self::default();
        join.read_client(client).with_context(|| format!("cannot read the client's ledger {}", client.display()))?;
        join.read_server(server).with_context(|| format!("cannot read the server's ledger {}", server.display()))?;
        Ok(join)
    }

    fn read_client(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut ledger = ledger::read(path)?;
        while let Some(ledger::Record { at, event }) = ledger.next_record()? {
            match event {
                ledger::Event::Connected { connection, .. } => {
                    self.connected.insert(connection);
                }
                ledger::Event::Intent { connection, sequence, reused, protocol, kind, id } => {
                    let intent = Intent { at, connection, sequence, reused, protocol, kind };
                    let request = Request { intent, outcome: None, server: Vec::new() };
                    anyhow::ensure!(self.requests.insert(id.into(), request).is_none(), "id {id} is used twice");
                }
                ledger::Event::Outcome { class, status, detail, id } => {
                    let request = self.requests.get_mut(id).with_context(|| format!("id {id} ends unannounced"))?;
                    anyhow::ensure!(request.outcome.is_none(), "id {id} ends twice");
                    request.outcome = Some(Answer { at, class, status, detail: detail.map(Into::into) });
                }
            }
        }
        Ok(())
    }

    fn read_server(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(path)?;
        // Without its newline the last line was cut short by a crash, and a cut id is an id too.
        for (number, line) in text.split_inclusive('\n').enumerate().filter(|(_, line)| line.ends_with('\n')) {
            let record = audit::Record::parse(line.trim_end_matches('\n'))
                .with_context(|| format!("line {} is not an audit record: {line:?}", number + 1))?;
            self.add(record);
        }
        Ok(())
    }

    fn add(&mut self, audit::Record { at, event }: audit::Record<'_>) {
        let (id, step) = match event {
            audit::Event::Phase(phase) => return self.phases.push((at, phase.to_owned())),
            audit::Event::Enter { id, .. } => (id, Step::Entered),
            audit::Event::HandlerDone { status, id, .. } => (id, Step::HandlerDone(status)),
            audit::Event::BodyEnd { outcome, id, .. } => (id, Step::BodyEnd(outcome)),
            audit::Event::Rejected { id, .. } => (id, Step::Rejected),
        };
        match self.requests.get_mut(id) {
            Some(request) => request.server.push((at, step)),
            // Whoever else asks, such as a probe, sends no id.
            None if id == "-" => {}
            None => self.foreign += u64::from(matches!(step, Step::Entered | Step::Rejected)),
        }
    }

    /// What the clients were told of each order that they wanted to place, by its key.
    pub fn orders(&self) -> impl Iterator<Item = (&str, Told)> {
        let orders = self.requests.iter().filter(|(_, request)| request.intent.kind == Kind::Order);
        orders.map(|(id, request)| {
            (&**id, Told::by(request.outcome.as_ref().map(|outcome| (outcome.class, outcome.status))))
        })
    }

    /// Says what became of every request, when the signal was sent at `signal`.
    pub fn judge(&self, signal: u64) -> Judgement {
        let mut judgement = Judgement { foreign: self.foreign, ..Judgement::default() };
        let mut told = BTreeMap::<Class, Vec<_>>::new();
        for (id, request) in &self.requests {
            let class = classify(self.facts(request, signal));
            *judgement.counts.entry(class).or_default() += 1;
            judgement.in_flight += u64::from(request.is_in_flight_at(signal));
            if class.weight() != Weight::Allowed {
                told.entry(class).or_default().push((request.intent.at, id, request));
            }
        }
        for told in told.values_mut() {
            told.sort_by_key(|(at, id, _)| (*at, *id));
        }
        for nth in 0..STORIES {
            let told = told.iter().filter_map(|(class, told)| Some((class, told.get(nth)?)));
            judgement.stories.extend(told.map(|(class, (_, id, request))| Story::new(id, *class, request, signal)));
        }
        judgement
    }

    fn facts(&self, request: &Request, signal: u64) -> Facts {
        let is = |wanted: fn(Step) -> bool| request.server.iter().filter(|(_, step)| wanted(*step)).count();
        let said = request.outcome.as_ref().map_or(u64::MAX, |outcome| outcome.at);
        // A server without phases has no lame duck: it may send requests away from the signal on.
        let drain = self.phase("drain").unwrap_or(signal);
        let entered = request.server.iter().filter(|(_, step)| *step == Step::Entered).map(|(at, _)| *at).max();
        Facts {
            client: request.outcome.as_ref().map(|outcome| outcome.class),
            said: match said {
                said if said < signal => Moment::Running,
                said if said < drain => Moment::LameDuck,
                _ => Moment::Drain,
            },
            connection: match request.intent {
                Intent { reused: true, .. } => Connection::Kept,
                Intent { connection, .. } if self.connected.contains(&connection) => Connection::Fresh,
                Intent { .. } => Connection::Absent,
            },
            entered: is(|step| step == Step::Entered) as u32,
            entered_late: entered.zip(self.phase("background")).is_some_and(|(entered, closed)| entered > closed),
            handler_done: is(|step| matches!(step, Step::HandlerDone(_))) > 0,
            cut: is(|step| step == Step::BodyEnd(Outcome::Cut)) > 0,
        }
    }

    fn phase(&self, name: &str) -> Option<u64> {
        self.phases.iter().find(|(_, phase)| phase == name).map(|(at, _)| *at)
    }
}

impl Request {
    fn is_in_flight_at(&self, signal: u64) -> bool {
        self.intent.at < signal && self.outcome.as_ref().is_none_or(|outcome| outcome.at >= signal)
    }
}

impl Judgement {
    /// How many requests came to `class`.
    pub fn count(&self, class: Class) -> u64 {
        self.counts.get(&class).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
