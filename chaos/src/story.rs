//! A failing request, told by both ledgers in order of time.

use std::fmt;

use serde::Serialize;

use crate::{
    classify::Class,
    join::{Request, Step},
};

/// What happened to one request.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Its `x-request-id`.
    pub id: String,
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
    /// Everything that happened to it.
    pub events: Vec<Event>,
}

/// One step of a [`Story`].
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds after the signal; negative before it.
    pub ms: f64,
    /// `client` or `server`.
    pub side: &'static str,
    /// What happened.
    pub what: String,
}

impl Story {
    pub(crate) fn new(id: &str, class: Class, request: &Request, signal: u64) -> Self {
        let mut events = vec![(request.intent.at, "client", "is about to send it".to_owned())];
        events.extend(request.server.iter().map(|(at, step)| (*at, "server", step.to_string())));
        if let Some(outcome) = &request.outcome {
            let status = outcome.status.map_or_else(String::new, |status| format!(", status {status}"));
            let detail = outcome.detail.as_ref().map_or_else(String::new, |detail| format!(", {detail}"));
            events.push((outcome.at, "client", format!("says {}{status}{detail}", outcome.class)));
        }
        events.sort_by_key(|(at, ..)| *at);
        let since_signal = |at: u64| (i128::from(at) - i128::from(signal)) as f64 / 1e6;
        Self {
            id: id.to_owned(),
            class,
            kind: request.intent.kind.as_str(),
            protocol: request.intent.protocol.as_str(),
            connection: request.intent.connection,
            sequence: request.intent.sequence,
            reused: request.intent.reused,
            events: events.into_iter().map(|(at, side, what)| Event { ms: since_signal(at), side, what }).collect(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entered => f.write_str("begins it"),
            Self::HandlerDone(status) => write!(f, "has its response, status {status}"),
            Self::BodyEnd(outcome) => write!(f, "is through with the body: {}", outcome.as_str()),
            Self::Rejected => f.write_str("answers 503"),
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, class, kind, protocol, connection, sequence, .. } = self;
        let reused = if self.reused { "reused" } else { "fresh" };
        writeln!(
            f,
            "{}   {id}   {kind}, {protocol}, {reused} connection {connection}, request {sequence}",
            class.label()
        )?;
        self.events.iter().try_for_each(|Event { ms, side, what }| writeln!(f, "  {ms:>+10.3} ms  {side}  {what}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The story of a request that the client was about to send, and no more.
    pub(crate) fn story(id: &str, class: Class) -> Story {
        let event = Event { ms: -1.0, side: "client", what: "is about to send it".to_owned() };
        let (kind, protocol) = ("slow", "h1");
        Story {
            id: id.to_owned(),
            class,
            kind,
            protocol,
            connection: 1,
            sequence: 0,
            reused: true,
            events: vec![event],
        }
    }
}
