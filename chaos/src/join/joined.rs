//! A joined request as it is written down and drawn: by itself, in milliseconds around the signal.

use serde::Serialize;

use super::{Join, Request, Step};
use crate::{
    classify::{Class, Weight, classify},
    story::Story,
};

/// One request, by both ledgers: a line of `ledger.jsonl`. All times are milliseconds after the signal, negative before it.
#[derive(Clone, Debug, Serialize)]
pub struct Joined<'a> {
    /// Its `x-request-id`.
    pub id: &'a str,
    /// What became of it.
    pub class: Class,
    /// What was asked for.
    pub kind: &'static str,
    /// `h1` or `h2`.
    pub protocol: &'static str,
    /// The client's number of its connection.
    pub connection: u64,
    /// Its place on that connection, from 0.
    pub sequence: u64,
    /// Whether the connection had carried a response before.
    pub reused: bool,
    /// When the client was about to send it.
    pub sent_ms: f64,
    /// When the client knew what came of it, if it ever did.
    pub ended_ms: Option<f64>,
    /// What the client alone says of it.
    pub client: Option<&'static str>,
    /// The response's status, if its head arrived.
    pub status: Option<u16>,
    /// One word about the cause.
    pub detail: Option<&'a str>,
    /// What the server did with it, in order of time.
    pub server: Vec<ServerStep>,
    /// All that as a reader is told it, where it is not how a request may end.
    #[serde(skip)]
    pub story: Option<Story>,
}

/// A line of the server's ledger.
#[derive(Clone, Debug, Serialize)]
pub struct ServerStep {
    /// When.
    pub ms: f64,
    /// What, in the words of a story.
    pub what: String,
}

impl Join {
    /// Every request, one at a time and in no order, when the signal was sent at `signal`.
    pub fn joined(&self, signal: u64) -> impl Iterator<Item = Joined<'_>> {
        self.requests.iter().map(move |(id, request)| self.join_one(id, request, signal))
    }

    /// The phases that the server has told, in milliseconds after `signal`.
    pub fn phases(&self, signal: u64) -> impl Iterator<Item = (f64, &str)> {
        self.phases.iter().map(move |(at, phase)| (since(signal, *at), phase.as_str()))
    }

    fn join_one<'a>(&self, id: &'a str, request: &'a Request, signal: u64) -> Joined<'a> {
        let class = classify(self.facts(request, signal));
        let Request { intent, outcome, server } = request;
        let outcome = outcome.as_ref();
        let step = |(at, step): &(u64, Step)| ServerStep { ms: since(signal, *at), what: step.to_string() };
        Joined {
            id,
            class,
            kind: intent.kind.as_str(),
            protocol: intent.protocol.as_str(),
            connection: intent.connection,
            sequence: intent.sequence,
            reused: intent.reused,
            sent_ms: since(signal, intent.at),
            ended_ms: outcome.map(|outcome| since(signal, outcome.at)),
            client: outcome.map(|outcome| outcome.class.as_str()),
            status: outcome.and_then(|outcome| outcome.status),
            detail: outcome.and_then(|outcome| outcome.detail.as_deref()),
            server: server.iter().map(step).collect(),
            story: (class.weight() != Weight::Allowed).then(|| Story::new(id, class, request, signal)),
        }
    }
}

impl Joined<'_> {
    /// Whether it was sent before the signal and had not ended then.
    pub fn is_in_flight(&self) -> bool {
        self.sent_ms < 0.0 && self.ended_ms.is_none_or(|ended| ended >= 0.0)
    }
}

/// Milliseconds from `signal` to `at`, to the microsecond: more digits are noise in a file that has a line per request.
fn since(signal: u64, at: u64) -> f64 {
    let us = (i128::from(at) - i128::from(signal)) / 1_000;
    us as f64 / 1e3
}
