//! The clients' ledger, joined with those of all lives of all instances.
//!
//! Clients only know the balancer, which nobody has told to stop: it has no reason to send a request away. Its own 502,
//! 503 or 504 stands for an instance's answer that it never had.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::Context;
use loadtest::ledger::{self, Class as Client, Kind};
use serde::Serialize;
use winddown::audit::{self, Event};

use super::instance::Life;
use crate::{
    classify::{Class, Connection, Counts, Facts, Moment, classify},
    orders::Told,
};

/// So many failing requests are told.
const TOLD: usize = 20;

/// What became of the requests of a load.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How many came to which class.
    pub(super) counts: Counts,
    /// Requests that an instance had or was given after it was told to stop.
    pub(super) at_risk: u64,
    /// The first that failed.
    pub(super) failed: Vec<Failed>,
    /// What clients were told of the orders that they placed, by their keys.
    pub(super) orders: Vec<(String, Told)>,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its `x-request-id`.
    pub id: String,
    /// What became of it.
    pub class: Class,
    /// What its client says.
    pub client: String,
    /// The ledgers of the lives that began it.
    pub begun_by: Vec<String>,
}

#[derive(Debug)]
struct Request {
    connection: u64,
    reused: bool,
    kind: Kind,
    answer: Option<(Client, Option<u16>, Option<Box<str>>)>,
    begun_by: Vec<usize>,
    handler_done: bool,
}

/// Joins the ledger of the clients with those of `lives`.
pub(super) fn join(client: &Path, lives: &[&Life]) -> anyhow::Result<Outcome> {
    let (mut requests, connected) =
        read_client(client).with_context(|| format!("cannot read the client's ledger {}", client.display()))?;
    let mut outcome = Outcome::default();
    for (number, life) in lives.iter().enumerate() {
        let at_risk = read_life(number, life, &mut requests);
        outcome.at_risk +=
            at_risk.with_context(|| format!("cannot read the server's ledger {}", life.audit.display()))?;
    }
    for (id, request) in requests {
        let class = request.class(&connected);
        *outcome.counts.entry(class).or_default() += 1;
        if class != Class::Ok && outcome.failed.len() < TOLD {
            outcome.failed.push(request.failed(&id, class, lives));
        }
        if request.kind == Kind::Order {
            let told = Told::by(request.answer.map(|(class, status, _)| (class, status)));
            outcome.orders.push((id, told));
        }
    }
    outcome.failed.sort_by(|a, b| (a.class, &a.id).cmp(&(b.class, &b.id)));
    Ok(outcome)
}

fn read_client(path: &Path) -> anyhow::Result<(HashMap<String, Request>, HashSet<u64>)> {
    let (mut requests, mut connected) = (HashMap::new(), HashSet::new());
    let mut ledger = ledger::read(path)?;
    while let Some(record) = ledger.next_record()? {
        match record.event {
            ledger::Event::Clock { .. } => {}
            ledger::Event::Connected { connection, .. } => {
                connected.insert(connection);
            }
            ledger::Event::Intent { connection, reused, kind, id, .. } => {
                let request =
                    Request { connection, reused, kind, answer: None, begun_by: Vec::new(), handler_done: false };
                anyhow::ensure!(requests.insert(id.to_owned(), request).is_none(), "id {id} is used twice");
            }
            ledger::Event::Outcome { class, status, detail, id } => {
                let request = requests.get_mut(id).with_context(|| format!("id {id} ends unannounced"))?;
                request.answer = Some((class, status, detail.map(Into::into)));
            }
        }
    }
    Ok((requests, connected))
}

/// Adds what one life tells; how many requests it had or was given after it was told to stop.
fn read_life(number: usize, life: &Life, requests: &mut HashMap<String, Request>) -> anyhow::Result<u64> {
    let (mut begun, mut at_risk) = (HashSet::new(), 0);
    let text = fs::read_to_string(&life.audit)?;
    // Without its newline the last line was cut short by a crash.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let record = audit::Record::parse(line).with_context(|| format!("no audit record: {line:?}"))?;
        match record.event {
            Event::Enter { id, .. } => {
                if let Some(request) = requests.get_mut(id) {
                    request.begun_by.push(number);
                    begun.insert(id);
                }
            }
            Event::HandlerDone { id, .. } => {
                if let Some(request) = requests.get_mut(id) {
                    request.handler_done = true;
                }
            }
            Event::BodyEnd { id, .. } if begun.remove(id) => {
                at_risk += u64::from(life.signal.is_some_and(|signal| record.at >= signal));
            }
            _ => {}
        }
    }
    // What was begun and never ended was at risk, too, of a life that was told to stop.
    Ok(at_risk + life.signal.map_or(0, |_| begun.len() as u64))
}

impl Request {
    fn class(&self, connected: &HashSet<u64>) -> Class {
        classify(Facts {
            client: self.answer.as_ref().map(|(class, status, _)| match (class, status) {
                (Client::Error | Client::BadRejection, Some(502..=504)) => Client::NoResponse,
                (class, _) => *class,
            }),
            said: Moment::Running,
            connection: match self {
                Self { reused: true, .. } => Connection::Kept,
                Self { connection, .. } if connected.contains(connection) => Connection::Fresh,
                Self { .. } => Connection::Absent,
            },
            entered: self.begun_by.len() as u32,
            entered_late: false,
            handler_done: self.handler_done,
            cut: false,
        })
    }

    fn failed(&self, id: &str, class: Class, lives: &[&Life]) -> Failed {
        let name = |life: usize| lives[life].audit.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let client = self.answer.as_ref().map_or_else(String::new, |(class, status, detail)| {
            let status = status.map_or_else(String::new, |status| format!(", status {status}"));
            let detail = detail.as_ref().map_or_else(String::new, |detail| format!(", {detail}"));
            format!("{class}{status}{detail}")
        });
        Failed { id: id.to_owned(), class, client, begun_by: self.begun_by.iter().copied().map(name).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The classes that these ledgers give, when the life was told to stop at 50, and how many it had then.
    fn joined(client: &str, lives: &[&str]) -> (Vec<(Class, u64)>, u64) {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let write = |name: String, text: &str| {
            let path = folder.path().join(name);
            let trimmed: String = text.lines().map(|line| line.trim().to_owned() + "\n").collect();
            fs::write(&path, trimmed).expect("it can be written");
            path
        };
        let ledger = write("client.ledger".to_owned(), client);
        let lives: Vec<_> = lives
            .iter()
            .enumerate()
            .map(|(n, text)| Life { audit: write(format!("{n}.log"), text), signal: Some(50) })
            .collect();
        let outcome = join(&ledger, &lives.iter().collect::<Vec<_>>()).expect("they are ledgers");
        (outcome.counts.into_iter().collect(), outcome.at_risk)
    }

    const ASKED: &str = "1 connected 1 h1\n2 intent 1 0 fresh h1 fast t-0-0\n";

    fn class(outcome: &str, lives: &[&str]) -> Class {
        joined(&format!("{ASKED}9 outcome {outcome} t-0-0"), lives).0[0].0
    }

    #[test]
    fn c47_request_that_one_instance_has_answered_is_ok() {
        assert_eq!(class("ok 200 -", &["", "3 enter 1 t-0-0"]), Class::Ok);
    }

    #[test]
    fn c47_gateway_error_is_a_request_that_an_instance_has_lost() {
        for said in ["error 502 status", "bad_rejection 503 no_retry_after", "error 504 status", "no_response - eof"] {
            assert_eq!(class(said, &["", ""]), Class::Unseen, "{said}");
            assert_eq!(class(said, &["3 enter 1 t-0-0"]), Class::Lost, "{said}");
            assert_eq!(class(said, &["3 enter 1 t-0-0\n4 handler_done 1 200 t-0-0"]), Class::Ghost, "{said}");
        }
    }

    #[test]
    fn c47_refusal_that_a_balancer_hands_on_fails_though_an_instance_may_refuse() {
        for said in ["rejected 503 -", "farewell 408 -", "refused - econnrefused"] {
            assert_eq!(class(said, &[""]), Class::BadRejection, "{said}");
        }
    }

    #[test]
    fn c47_request_that_two_instances_began_was_repeated_behind_its_client() {
        assert_eq!(class("ok 200 -", &["3 enter 1 t-0-0", "4 enter 1 t-0-0"]), Class::Dup);
    }

    #[test]
    fn at_risk_is_what_an_instance_had_at_its_signal_or_was_given_after_it() {
        let life = "10 enter 1 t-0-0\n20 body_end 1 complete t-0-0\n30 enter 1 t-0-1\n60 body_end 1 complete t-0-1\n\
                    70 enter 1 t-0-2\n80 body_end 1 complete t-0-2\n90 enter 1 t-0-3";
        let client = ["t-0-0", "t-0-1", "t-0-2", "t-0-3"]
            .map(|id| format!("2 intent 1 0 reused h1 fast {id}\n99 outcome ok 200 - {id}\n"))
            .concat();
        assert_eq!(joined(&client, &[life]), (vec![(Class::Ok, 4)], 3));
    }
}
