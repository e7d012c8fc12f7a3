//! What became of a request: one pure function over what both ledgers say of it.
//!
//! The classes are those of the conformance list; each one that fails a run has a test that it is caught.

use std::collections::BTreeMap;

use loadtest::ledger::Class as Client;
use serde::{Deserialize, Serialize};

/// What became of a request, by both ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A complete response of the handler's own.
    Ok,
    /// A complete 503 that says when to come back, after the lame duck.
    Rejected,
    /// A complete 408 on a kept connection: not processed, repeat it.
    Farewell,
    /// Nothing was ever accepted, or nothing was ever sent.
    Refused,
    /// HTTP/2 says that the stream was not processed.
    H2Nack,
    /// Cut at the shutdown's deadline, and counted there by the server.
    DeadlineCut,
    /// The server began it; no complete response came.
    Lost,
    /// The handler finished; no complete response came.
    Ghost,
    /// It went out, or was about to, on an established connection; the server never saw it.
    Unseen,
    /// The head arrived; the body is short, corrupt, or ended too early.
    Truncated,
    /// The client was told "not processed"; the server did process it.
    Lie,
    /// The server began it after its drain had closed.
    Late,
    /// A refusal that breaks its own rules: without its headers, on a fresh connection, or too early.
    BadRejection,
    /// An answer or a failure that no shutdown explains.
    Error,
    /// One id entered twice: somebody repeats requests behind the harness's back.
    Dup,
    /// The client's ledger knows no outcome.
    Unresolved,
    /// The client has its response, and the server's ledger does not know the request.
    Unlogged,
}

/// What a request of some [`Class`] does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Nothing: this is how a request may end.
    Allowed,
    /// One is enough to fail.
    Failing,
    /// The harness itself is at fault, so the run proves nothing.
    Doubtful,
}

/// How many requests came to which class.
pub type Counts = BTreeMap<Class, u64>;

/// What both ledgers say of one request.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The client's word, if it has one.
    pub client: Option<Client>,
    /// When that was said.
    pub said: Moment,
    /// What carried the request.
    pub connection: Connection,
    /// How often the server began it.
    pub entered: u32,
    /// The server began it after its drain had closed.
    pub entered_late: bool,
    /// Its handler returned.
    pub handler_done: bool,
    /// The server says that a deadline cut it.
    pub cut: bool,
}

/// A time within the life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nobody has asked it to stop.
    Running,
    /// It has been asked to, and still serves everybody.
    LameDuck,
    /// It may send requests away.
    Drain,
}

/// A connection, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It never was established.
    Absent,
    /// It had carried no response yet.
    Fresh,
    /// It had carried one.
    Kept,
    /// Its client does not say.
    Unknown,
}

/// What became of the request with these facts: the first rule that fits.
pub const fn classify(facts: Facts) -> Class {
    use Client::{BadRejection, Error, Farewell, H2Nack, NoResponse, Ok, Refused, Rejected, Timeout, Truncated};

    let entered = facts.entered > 0;
    let Some(client) = facts.client else { return Class::Unresolved };
    match (client, facts.said) {
        _ if facts.entered > 1 => Class::Dup,
        _ if facts.entered_late => Class::Late,

        (Ok, _) if entered => Class::Ok,
        (Ok, _) => Class::Unlogged,

        (Rejected | Farewell | Refused | H2Nack, _) if entered => Class::Lie,
        // A server that nobody has asked to stop has no reason to send a request away.
        (Rejected | Farewell | Refused | H2Nack, Moment::Running)
        | (Rejected, Moment::LameDuck)
        | (BadRejection, _) => Class::BadRejection,
        (Farewell, _) if matches!(facts.connection, Connection::Absent | Connection::Fresh) => Class::BadRejection,
        (Rejected, Moment::Drain) => Class::Rejected,
        (Farewell, _) => Class::Farewell,
        (Refused, _) => Class::Refused,
        (H2Nack, _) => Class::H2Nack,

        (NoResponse | Truncated | Timeout, Moment::LameDuck | Moment::Drain) if facts.cut => Class::DeadlineCut,
        (Truncated, _) => Class::Truncated,
        (NoResponse | Timeout, _) if facts.handler_done => Class::Ghost,
        (NoResponse | Timeout, _) if entered => Class::Lost,
        (NoResponse | Timeout, _) if !matches!(facts.connection, Connection::Absent) => Class::Unseen,
        (NoResponse | Timeout | Error, _) => Class::Error,
    }
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Rejected,
        Self::Farewell,
        Self::Refused,
        Self::H2Nack,
        Self::DeadlineCut,
        Self::Lost,
        Self::Ghost,
        Self::Unseen,
        Self::Truncated,
        Self::Lie,
        Self::Late,
        Self::BadRejection,
        Self::Error,
        Self::Dup,
        Self::Unresolved,
        Self::Unlogged,
    ];

    /// What one such request does to the verdict.
    pub const fn weight(self) -> Weight {
        match self {
            Self::Ok | Self::Rejected | Self::Farewell | Self::Refused | Self::H2Nack | Self::DeadlineCut => {
                Weight::Allowed
            }
            Self::Dup | Self::Unresolved | Self::Unlogged => Weight::Doubtful,
            _ => Weight::Failing,
        }
    }

    /// Whether the request was dropped: the failures that an ordinary server is known for.
    pub const fn is_dropped(self) -> bool {
        matches!(self, Self::Lost | Self::Ghost | Self::Unseen | Self::Truncated)
    }

    /// How a reader is told of it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Farewell => "farewell",
            Self::Refused => "refused",
            Self::H2Nack => "h2 nack",
            Self::DeadlineCut => "at deadline",
            Self::Lost => "lost",
            Self::Ghost => "ghost",
            Self::Unseen => "unseen",
            Self::Truncated => "cut short",
            Self::Lie => "lie",
            Self::Late => "late",
            Self::BadRejection => "bad rejection",
            Self::Error => "error",
            Self::Dup => "dup",
            Self::Unresolved => "unresolved",
            Self::Unlogged => "unlogged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that was under way when the server was told to stop, on a kept connection, seen after the lame duck.
    fn seen(client: Client) -> Facts {
        Facts {
            client: Some(client),
            said: Moment::Drain,
            connection: Connection::Kept,
            entered: 0,
            entered_late: false,
            handler_done: false,
            cut: false,
        }
    }

    fn entered(client: Client) -> Facts {
        Facts { entered: 1, ..seen(client) }
    }

    fn finished(client: Client) -> Facts {
        Facts { handler_done: true, ..entered(client) }
    }

    #[test]
    fn every_rule_of_the_table_holds() {
        let fresh = |facts| Facts { connection: Connection::Fresh, ..facts };
        let unknown = |facts| Facts { connection: Connection::Unknown, ..facts };
        let early = |facts| Facts { said: Moment::LameDuck, ..facts };
        let unasked = |facts| Facts { said: Moment::Running, ..facts };
        let cut = |facts| Facts { cut: true, ..facts };
        let cases = [
            (finished(Client::Ok), Class::Ok),
            (unasked(finished(Client::Ok)), Class::Ok),
            (seen(Client::Ok), Class::Unlogged),
            (Facts { client: None, ..entered(Client::Ok) }, Class::Unresolved),
            (Facts { entered: 2, ..finished(Client::Ok) }, Class::Dup),
            (Facts { entered: 2, ..seen(Client::NoResponse) }, Class::Dup),
            (Facts { entered_late: true, ..finished(Client::Ok) }, Class::Late),
            (seen(Client::Rejected), Class::Rejected),
            (fresh(seen(Client::Rejected)), Class::Rejected),
            (early(seen(Client::Rejected)), Class::BadRejection),
            (unasked(seen(Client::Rejected)), Class::BadRejection),
            (seen(Client::BadRejection), Class::BadRejection),
            (seen(Client::Farewell), Class::Farewell),
            (early(seen(Client::Farewell)), Class::Farewell),
            (fresh(seen(Client::Farewell)), Class::BadRejection),
            (unknown(seen(Client::Farewell)), Class::Farewell),
            (unknown(seen(Client::NoResponse)), Class::Unseen),
            (unasked(seen(Client::Farewell)), Class::BadRejection),
            (seen(Client::Refused), Class::Refused),
            (unasked(seen(Client::Refused)), Class::BadRejection),
            (seen(Client::H2Nack), Class::H2Nack),
            (entered(Client::Rejected), Class::Lie),
            (finished(Client::Farewell), Class::Lie),
            (entered(Client::Refused), Class::Lie),
            (entered(Client::H2Nack), Class::Lie),
            (finished(Client::NoResponse), Class::Ghost),
            (entered(Client::NoResponse), Class::Lost),
            (seen(Client::NoResponse), Class::Unseen),
            (fresh(seen(Client::NoResponse)), Class::Unseen),
            (Facts { connection: Connection::Absent, ..seen(Client::NoResponse) }, Class::Error),
            (entered(Client::Timeout), Class::Lost),
            (finished(Client::Timeout), Class::Ghost),
            (seen(Client::Timeout), Class::Unseen),
            (finished(Client::Truncated), Class::Truncated),
            (cut(entered(Client::NoResponse)), Class::DeadlineCut),
            (cut(finished(Client::Truncated)), Class::DeadlineCut),
            (cut(entered(Client::Timeout)), Class::DeadlineCut),
            (unasked(cut(entered(Client::NoResponse))), Class::Lost),
            (seen(Client::Error), Class::Error),
            (finished(Client::Error), Class::Error),
        ];
        for (facts, class) in cases {
            assert_eq!(classify(facts), class, "{facts:?}");
        }
    }

    #[test]
    fn what_fails_a_run_is_never_allowed_by_mistake() {
        let failing = [
            Class::Lost,
            Class::Ghost,
            Class::Unseen,
            Class::Truncated,
            Class::Lie,
            Class::Late,
            Class::BadRejection,
            Class::Error,
        ];
        for class in failing {
            assert_eq!(class.weight(), Weight::Failing, "{class:?}");
        }
        for class in [Class::Dup, Class::Unresolved, Class::Unlogged] {
            assert_eq!(class.weight(), Weight::Doubtful, "{class:?}");
        }
    }
}
