//! From what a connection gave to the class of the outcome.

use std::{error::Error as StdError, io};

use http::{HeaderMap, StatusCode, header, response::Parts};

use crate::{
    ledger::{Class, Kind, Protocol},
    request::{Catalogue, Question, REQUEST_ID},
};

/// The detail of a connect that met a closed port.
const ECONNREFUSED: &str = "econnrefused";
/// The detail of a connection that was reset.
const RESET: &str = "reset";

/// What came of a request: the part of an outcome that is not its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) class: Class,
    pub(crate) status: Option<u16>,
    pub(crate) detail: Option<&'static str>,
}

/// What ended a connection, or a stream of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    H1(#[from] hyper::Error),
    #[error(transparent)]
    H2(#[from] h2::Error),
}

/// What a connection gave for a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The request was handed back: not one byte of it was written.
    Unsent,
    /// No complete head.
    Nothing(Failure),
    /// A head, and the whole body or what ended it.
    Response(Parts, Result<Vec<u8>, Failure>),
    /// A head, and more body than any question asks for.
    Overlong(Parts),
}

/// What a request was and what carried it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) question: Question,
    pub(crate) protocol: Protocol,
    pub(crate) reused: bool,
    pub(crate) id: &'a str,
}

impl Verdict {
    pub(crate) const UNSENT: Self = Self::without_head(Class::Refused, "never_sent");
    pub(crate) const TIMEOUT: Self = Self { class: Class::Timeout, status: None, detail: None };

    const fn without_head(class: Class, detail: &'static str) -> Self {
        Self { class, status: None, detail: Some(detail) }
    }

    /// A connect that failed.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::without_head(Class::Refused, ECONNREFUSED),
            // A closed port refuses; what is reset had been established, and waited to be accepted.
            io::ErrorKind::ConnectionReset => Self::without_head(Class::NoResponse, RESET),
            _ => Self::without_head(Class::Error, word(error)),
        }
    }

    /// A connection or a stream that failed before it could give a complete head.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        if let Some(detail) = unprocessed(failure) {
            return Self::without_head(Class::H2Nack, detail);
        }
        match (cut(failure), failure) {
            (Some(detail), _) => Self::without_head(Class::NoResponse, detail),
            (None, Failure::H1(error)) if error.is_parse() => Self::without_head(Class::Error, "parse"),
            (None, _) => Self::without_head(Class::Error, "unexpected"),
        }
    }

    /// Whether a connect that came to this had been established by then.
    pub(crate) fn is_reset_connect(&self) -> bool {
        self.class == Class::NoResponse && self.detail == Some(RESET)
    }

    /// Whether a connect met a closed port.
    pub(crate) fn is_refused_connect(&self) -> bool {
        self.detail == Some(ECONNREFUSED)
    }

    /// What `reply` means for the request that was `sent`.
    pub(crate) fn of_reply(catalogue: &Catalogue, sent: Sent<'_>, reply: &Reply) -> Self {
        let (parts, class, detail) = match reply {
            Reply::Unsent => return Self::UNSENT,
            Reply::Nothing(failure) => return Self::of_failure(failure),
            Reply::Overlong(parts) => (parts, Class::Truncated, Some("long_body")),
            // It was asked to break off, and whoever reads it can tell.
            Reply::Response(parts, Err(_)) if sent.question.kind == Kind::PanicBody => {
                (parts, Class::Ok, Some("broken_off"))
            }
            Reply::Response(parts, Err(failure)) => {
                (parts, Class::Truncated, Some(cut(failure).unwrap_or("unexpected")))
            }
            Reply::Response(parts, Ok(body)) => {
                let (class, detail) = whole(catalogue, sent, parts, body);
                (parts, class, detail)
            }
        };
        Self { class, status: Some(parts.status.as_u16()), detail }
    }
}

fn whole(catalogue: &Catalogue, sent: Sent<'_>, parts: &Parts, body: &[u8]) -> (Class, Option<&'static str>) {
    let closes = closes(&parts.headers);
    let h1 = sent.protocol == Protocol::H1;
    if parts.headers.get(REQUEST_ID).is_some_and(|echo| echo != sent.id) {
        return (Class::Error, Some("wrong_id"));
    }
    match parts.status {
        StatusCode::SERVICE_UNAVAILABLE if !parts.headers.contains_key(header::RETRY_AFTER) => {
            (Class::BadRejection, Some("no_retry_after"))
        }
        StatusCode::SERVICE_UNAVAILABLE if h1 && !closes => (Class::BadRejection, Some("no_close")),
        StatusCode::SERVICE_UNAVAILABLE => (Class::Rejected, None),
        StatusCode::REQUEST_TIMEOUT if h1 && closes && sent.reused => (Class::Farewell, None),
        // On a fresh connection it says that the request was slow, and on one that stays open it says nothing.
        StatusCode::REQUEST_TIMEOUT => (Class::Error, Some(if sent.reused { "no_close" } else { "fresh" })),
        status if sent.question.kind == Kind::Get && !status.is_server_error() => (Class::Ok, None),
        StatusCode::INTERNAL_SERVER_ERROR if sent.question.kind == Kind::Panic => (Class::Ok, None),
        _ if sent.question.kind == Kind::Panic => (Class::Error, Some("status")),
        StatusCode::OK => right(catalogue.flaw(sent.question, sent.id, body)),
        // A key that the service knows already is answered with 200.
        StatusCode::CREATED if sent.question.kind == Kind::Order => right(catalogue.flaw(sent.question, sent.id, body)),
        _ => (Class::Error, Some("status")),
    }
}

fn right(flaw: Option<&'static str>) -> (Class, Option<&'static str>) {
    (if flaw.is_some() { Class::Truncated } else { Class::Ok }, flaw)
}

/// Whether `connection: close` stands in `headers`.
pub(crate) fn closes(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("close"))
}

/// The peer's own word that it did nothing for the stream, if `failure` is that.
fn unprocessed(failure: &Failure) -> Option<&'static str> {
    match failure {
        // h2 gives it to the streams above its last-stream-id, and to no other.
        Failure::H2(error) if error.is_remote() && error.is_go_away() => Some("goaway"),
        Failure::H2(error) if error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) => {
            Some("refused_stream")
        }
        _ => None,
    }
}

/// How the connection or the stream ended, if it is that what `failure` tells.
fn cut(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::H1(error) => cut_h1(error),
        Failure::H2(error) => cut_h2(error),
    }
}

fn cut_h1(error: &hyper::Error) -> Option<&'static str> {
    if let Some(io) = source::<io::Error>(error) {
        return Some(word(io));
    }
    if error.is_incomplete_message() {
        return Some("eof");
    }
    (error.is_canceled() || error.is_closed()).then_some("closed")
}

fn cut_h2(error: &h2::Error) -> Option<&'static str> {
    if let Some(io) = error.get_io() {
        return Some(word(io));
    }
    let detail = if error.is_go_away() { "goaway" } else { "rst_stream" };
    error.is_remote().then_some(detail)
}

fn source<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn word(error: &io::Error) -> &'static str {
    match error.kind() {
        // h2 makes up a broken pipe for streams whose connection ended in an orderly way.
        io::ErrorKind::BrokenPipe if error.raw_os_error().is_none() => "eof",
        io::ErrorKind::ConnectionReset => RESET,
        io::ErrorKind::BrokenPipe => "epipe",
        io::ErrorKind::UnexpectedEof => "eof",
        io::ErrorKind::ConnectionAborted => "aborted",
        io::ErrorKind::TimedOut => "etimedout",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        io::ErrorKind::AddrNotAvailable => "no_free_port",
        _ => "io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_that_is_reset_had_been_established_and_one_that_is_refused_had_not() {
        let of = |kind: io::ErrorKind| Verdict::of_connect(&kind.into());
        let (reset, refused) = (of(io::ErrorKind::ConnectionReset), of(io::ErrorKind::ConnectionRefused));
        assert_eq!((reset.class, reset.is_reset_connect()), (Class::NoResponse, true));
        assert_eq!((refused.class, refused.is_reset_connect()), (Class::Refused, false));
        assert_eq!(of(io::ErrorKind::TimedOut).class, Class::Error);
    }

    #[test]
    fn close_is_found_among_other_tokens_and_in_any_case() {
        for (value, found) in [("close", true), ("Close", true), ("x, close", true), ("closed", false), ("x", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, value.parse().expect("a header value"));
            assert_eq!(closes(&headers), found, "{value}");
        }
    }
}
