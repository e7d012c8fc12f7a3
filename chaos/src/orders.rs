//! Orders: what the clients were told of them, against what a successor finds in the database.
//!
//! An order's key is the id of the request that placed it, so the client's ledger says of each key what its client was
//! told. A server's own ledger is not asked: an order that was acknowledged must be there, whatever became of the process
//! that took it.

pub mod successor;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use loadtest::ledger::Class as Client;
use serde::{Deserialize, Serialize};

use crate::process::Exit;

/// So many orders with each fault are named.
const NAMED: usize = 5;

/// An order, as the service tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// The key under which it was placed.
    pub key: String,
    /// How often it was settled.
    pub settlements: u64,
}

/// What a client knows of an order that it wanted to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is placed: the answer, or at least its head, said so.
    Acknowledged,
    /// It was not processed.
    NotProcessed,
    /// Nothing that decides it: no answer, a time-out, a status that says nothing.
    Nothing,
}

/// What is wrong with an order. Each fails the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It was acknowledged, and it is not there.
    LostOrder,
    /// Its key is there twice, or it was settled twice.
    Double,
    /// Nobody has settled it in the time that there was.
    Unsettled,
    /// No client wanted to place it.
    Unknown,
    /// The client was told "not processed", and it is there.
    Lie,
}

/// What became of the orders of one stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Orders {
    /// Clients that were told that their order is placed.
    pub acknowledged: u64,
    /// Different orders in the database.
    pub found: u64,
    /// Of those, the ones whose clients have no answer. They may be there.
    pub unanswered: u64,
    /// How many have which fault.
    pub faults: BTreeMap<Fault, u64>,
    /// The first of each, in the order of their keys.
    pub named: BTreeMap<Fault, Vec<String>>,
    /// How the successor that told them ended: its exit code, or 128 + n; none when it had to be killed.
    pub successor: Option<i32>,
}

/// Compares what the clients were `told`, by key, with the orders that were `found`. `successor` is the end of whoever
/// found them.
pub fn reconcile<'a>(
    told: impl IntoIterator<Item = (&'a str, Told)>,
    found: &[Order],
    successor: Option<Exit>,
) -> Orders {
    let mut orders = Orders { successor: successor.map(|exit| exit.code), ..Orders::default() };
    let mut by_key = HashMap::<&str, Vec<&Order>>::new();
    for order in found {
        by_key.entry(&order.key).or_default().push(order);
    }
    orders.found = by_key.len() as u64;
    let faults = by_key.iter().flat_map(|(key, copies)| faults_of(copies).map(move |fault| (fault, *key)));
    let mut faults: Vec<_> = faults.collect();

    for (key, told) in told {
        let is_there = by_key.remove(key).is_some();
        orders.acknowledged += u64::from(told == Told::Acknowledged);
        match (told, is_there) {
            (Told::Acknowledged, false) => faults.push((Fault::LostOrder, key)),
            (Told::NotProcessed, true) => faults.push((Fault::Lie, key)),
            (Told::Nothing, true) => orders.unanswered += 1,
            (Told::Acknowledged, true) | (Told::NotProcessed | Told::Nothing, false) => {}
        }
    }
    faults.extend(by_key.into_keys().map(|key| (Fault::Unknown, key)));
    faults.sort_unstable();
    for (fault, key) in faults {
        *orders.faults.entry(fault).or_default() += 1;
        let named = orders.named.entry(fault).or_default();
        if named.len() < NAMED {
            named.push(key.to_owned());
        }
    }
    orders
}

/// What is wrong with what is there under one key, whoever asked for it.
fn faults_of(copies: &[&Order]) -> impl Iterator<Item = Fault> {
    let double = copies.len() > 1 || copies.iter().any(|order| order.settlements > 1);
    let unsettled = copies.iter().any(|order| order.settlements == 0);
    [double.then_some(Fault::Double), unsettled.then_some(Fault::Unsettled)].into_iter().flatten()
}

impl Told {
    /// What a client with this outcome knows; it has no outcome when its ledger has none.
    pub fn by(outcome: Option<(Client, Option<u16>)>) -> Self {
        let placed = |status| matches!(status, Some(200 | 201));
        match outcome {
            // The head is sent after the commit: a body that broke off behind it takes nothing back.
            Some((Client::Ok | Client::Truncated, status)) if placed(status) => Self::Acknowledged,
            Some((Client::Rejected | Client::Farewell | Client::Refused | Client::H2Nack, _)) => Self::NotProcessed,
            _ => Self::Nothing,
        }
    }
}

impl Orders {
    /// Those of all stops together.
    pub fn sum<'a>(stops: impl Iterator<Item = &'a Self>) -> Option<Self> {
        stops.fold(None, |sum, orders| {
            let mut sum: Self = sum.unwrap_or_default();
            sum.acknowledged += orders.acknowledged;
            sum.found += orders.found;
            sum.unanswered += orders.unanswered;
            for (fault, n) in &orders.faults {
                *sum.faults.entry(*fault).or_default() += n;
            }
            Some(sum)
        })
    }

    /// How many have `fault`.
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// Why they fail the run.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let faults = self.faults.iter().map(|(fault, n)| {
            let first = self.named.get(fault).and_then(|named| named.first()).map_or("?", String::as_str);
            format!("orders: {n} {}, the first is {first}", fault.what())
        });
        let end = match self.successor {
            Some(0) => None,
            Some(code) => Some(format!("the successor that told the orders ended with code {code}")),
            None => Some("the successor that told the orders did not end in time and was killed".to_owned()),
        };
        faults.chain(end)
    }
}

impl Fault {
    const ALL: [Self; 5] = [Self::LostOrder, Self::Double, Self::Unsettled, Self::Unknown, Self::Lie];

    const fn label(self) -> &'static str {
        match self {
            Self::LostOrder => "lost",
            Self::Double => "double",
            Self::Unsettled => "unsettled",
            Self::Unknown => "unknown",
            Self::Lie => "lie",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::LostOrder => "acknowledged and lost",
            Self::Double => "placed or settled twice",
            Self::Unsettled => "never settled",
            Self::Unknown => "that no client wanted to place",
            Self::Lie => "there, though their clients were told that they were not processed",
        }
    }
}

impl fmt::Display for Orders {
    /// All that must be none is said, so that nobody has to ask whether it was looked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, found, unanswered, .. } = self;
        write!(f, "{acknowledged} acknowledged, {found} found ({unanswered} unanswered)")?;
        Fault::ALL.into_iter().try_for_each(|fault| write!(f, " · {} {}", self.count(fault), fault.label()))
    }
}

#[cfg(test)]
mod tests;
