//! A joined request as it is written down and drawn: by itself, in milliseconds around the signal.

use std::time::Duration;

use serde::Serialize;

use super::{Answer, Intent, Join, When, judge::Judged};
use crate::{
    classify::{Class, Weight},
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
    /// Every request of one machine, one at a time, when the signal was sent at `signal`.
    pub fn joined(&self, signal: u64) -> impl Iterator<Item = Joined<'_>> {
        let when = When { signal: Some(signal), clock_skew: Duration::ZERO };
        self.judged(when).map(move |judged| Joined::new(&judged, signal))
    }

    /// The phases that the servers have told, in milliseconds after `signal`.
    pub fn phases(&self, signal: u64) -> impl Iterator<Item = (f64, &str)> {
        let phases = self.servers.iter().flat_map(|server| &server.phases);
        phases.map(move |(at, phase)| (since(signal, *at), phase.as_str()))
    }
}

impl<'a> Joined<'a> {
    fn new(judged: &Judged<'a>, signal: u64) -> Self {
        let (request, class) = (judged.request, judged.class);
        let &Intent { at, connection, sequence, reused, protocol, kind } = request.intent;
        let answer = request.outcome;
        let mut server: Vec<_> =
            request.steps().map(|(at, step)| ServerStep { ms: since(signal, at), what: step.to_string() }).collect();
        server.reverse();
        Self {
            id: request.id,
            class,
            kind: kind.as_str(),
            protocol: protocol.as_str(),
            connection,
            sequence,
            reused,
            sent_ms: since(signal, at),
            ended_ms: answer.map(|Answer { at, .. }| since(signal, at)),
            client: answer.map(|Answer { class, .. }| class.as_str()),
            status: answer.and_then(|Answer { status, .. }| status),
            detail: answer.and_then(|Answer { detail, .. }| detail),
            server,
            story: (class.weight() != Weight::Allowed).then(|| judged.story(signal)),
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
