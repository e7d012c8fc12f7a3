//! A failing request, told by both ledgers in order of time.

use std::fmt;

use serde::Serialize;

use crate::{
    classify::Class,
    join::{Answer, Intent, Request, Step},
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
    /// What carried it, where the client knows that.
    #[serde(flatten)]
    pub carrier: Option<Carrier>,
    /// Everything that happened to it.
    pub events: Vec<Event>,
}

/// The connection of a request.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Carrier {
    /// The client's number of it.
    pub connection: u64,
    /// The request's place on it, from 0.
    pub sequence: u64,
    /// Whether it had carried a response before.
    pub reused: bool,
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
    /// Tells `request`, in milliseconds after `signal`; of its connection only where the client `sees_connections`.
    pub(crate) fn new(request: Request<'_>, class: Class, sees_connections: bool, signal: u64) -> Self {
        let &Intent { at, connection, sequence, reused, protocol, kind } = request.intent;
        let mut events = vec![(at, "client", "is about to send it".to_owned())];
        events.extend(request.steps().map(|(at, step)| (at, "server", step.to_string())));
        if let Some(Answer { at, class, status, detail }) = request.outcome {
            let status = status.map_or_else(String::new, |status| format!(", status {status}"));
            let detail = detail.map_or_else(String::new, |detail| format!(", {detail}"));
            events.push((at, "client", format!("says {class}{status}{detail}")));
        }
        events.sort_by_key(|(at, ..)| *at);
        let since_signal = |at: u64| (i128::from(at) - i128::from(signal)) as f64 / 1e6;
        Self {
            id: request.id.to_owned(),
            class,
            kind: kind.as_str(),
            protocol: protocol.as_str(),
            carrier: sees_connections.then_some(Carrier { connection, sequence, reused }),
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
        let Self { id, class, kind, protocol, .. } = self;
        write!(f, "{}   {id}   {kind}, {protocol}, ", class.label())?;
        match self.carrier {
            Some(Carrier { connection, sequence, reused }) => {
                let reused = if reused { "reused" } else { "fresh" };
                writeln!(f, "{reused} connection {connection}, request {sequence}")?;
            }
            None => writeln!(f, "unknown connection")?,
        }
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
            carrier: Some(Carrier { connection: 1, sequence: 0, reused: true }),
            events: vec![event],
        }
    }
}
