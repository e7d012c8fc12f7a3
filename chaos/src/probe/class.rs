//! What one client saw of a stop. It is all that a client can know: nobody asks the server.

use std::collections::BTreeMap;

use serde::Serialize;

/// The worst that a client saw, from harmless to harmful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nobody listened: nothing was sent.
    Refused,
    /// Complete answers, and a goodbye where the protocol has one.
    Ok,
    /// The connection was closed before the client had sent all of its request, and it saw that: nothing can have begun.
    Closed,
    /// A 408: not processed, repeat it.
    Farewell,
    /// A 503.
    Rejected,
    /// Sent, but not processed, by the protocol's own word: behind an answer that says `close`, or a GOAWAY.
    Unprocessed,
    /// A WebSocket's close frame with a code that says nothing of a restart.
    OtherGoodbye,
    /// A complete answer that tells of an error of the server's, where it usually answers otherwise.
    ServerError,
    /// The beginning of an answer.
    CutShort,
    /// A reset instead of an answer.
    Reset,
    /// An end instead of an answer.
    Eof,
    /// A WebSocket that ended without a close frame.
    NoGoodbye,
    /// Nothing, until the server was gone or had to be killed.
    Silence,
    /// Something that is not the protocol.
    Malformed,
}

/// How many clients saw which.
pub type Classes = BTreeMap<Class, u64>;

impl Class {
    /// Whether a request was written on an established connection and has no complete answer.
    pub const fn is_dropped(self) -> bool {
        matches!(
            self,
            Self::ServerError
                | Self::CutShort
                | Self::Reset
                | Self::Eof
                | Self::NoGoodbye
                | Self::Silence
                | Self::Malformed
        )
    }

    /// Of a complete answer with `status`, where it is `usual` while the server runs.
    pub(super) const fn of_status(status: u16, usual: u16) -> Self {
        match status {
            _ if status == usual => Self::Ok,
            503 => Self::Rejected,
            408 => Self::Farewell,
            500.. => Self::ServerError,
            _ => Self::Ok,
        }
    }

    /// How a reader is told of it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Ok => "answered",
            Self::Closed => "closed before it was sent",
            Self::Farewell => "408",
            Self::Rejected => "503",
            Self::Unprocessed => "not processed, and told",
            Self::OtherGoodbye => "another close code",
            Self::ServerError => "server error",
            Self::CutShort => "cut short",
            Self::Reset => "reset",
            Self::Eof => "closed unanswered",
            Self::NoGoodbye => "no close frame",
            Self::Silence => "silence",
            Self::Malformed => "not the protocol",
        }
    }
}

/// The classes of `classes` for which `wanted` is true, as `90 reset · 3 cut short`.
pub(super) fn list(classes: &Classes, wanted: impl Fn(Class) -> bool) -> String {
    let wanted = classes.iter().filter(|(class, _)| wanted(**class));
    wanted.map(|(class, n)| format!("{n} {}", class.label())).collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_answer_is_judged_by_what_is_usual() {
        let cases = [
            (200, 200, Class::Ok),
            (404, 404, Class::Ok),
            (404, 200, Class::Ok),
            (503, 200, Class::Rejected),
            (503, 503, Class::Ok),
            (408, 200, Class::Farewell),
            (500, 200, Class::ServerError),
            (502, 200, Class::ServerError),
        ];
        for (status, usual, class) in cases {
            assert_eq!(Class::of_status(status, usual), class, "{status} where {usual} is usual");
        }
    }

    #[test]
    fn the_worst_that_a_client_saw_outweighs_the_rest() {
        assert_eq!(Class::Ok.max(Class::Refused), Class::Ok, "every server refuses in the end");
        let allowed = [Class::Closed, Class::Farewell, Class::Rejected, Class::Unprocessed, Class::OtherGoodbye];
        let dropped = [Class::ServerError, Class::CutShort, Class::Reset, Class::Eof, Class::NoGoodbye, Class::Silence];
        for class in allowed {
            assert!(!class.is_dropped() && class > Class::Ok, "{class:?}");
            assert!(dropped.iter().all(|worse| worse.is_dropped() && *worse > class), "{class:?}");
        }
    }
}
