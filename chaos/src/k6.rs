//! What k6 tells of its requests, by `loadtest/k6/requests.js`, as records of a ledger.
//!
//! k6 shows a script the response or an error, and hides what carried the request. What that costs a verdict stands in
//! `docs/join.md`.

use std::borrow::Cow;

use loadtest::ledger::{Class, Event, Kind, Protocol, Record};
use serde::Deserialize;

/// One line of what the script prints.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    /// Milliseconds since 1970.
    at: u64,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum What {
    /// It is about to be sent.
    Asks { asks: Method },
    /// The response, or as much of it as there is.
    Got(Got),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Post,
}

#[derive(Debug, Deserialize)]
struct Got {
    /// 0 where k6 has no whole response.
    status: u16,
    /// k6's own number for what went wrong, 0 when nothing did, 1000 more than a status from 400 on.
    error_code: u32,
    /// Whether there is a body, or the beginning of one.
    body: bool,
    /// Whether `retry-after` is there. Of `connection: close` k6 hears nothing.
    retry_after: bool,
}

impl<'a> Line<'a> {
    pub(crate) fn parse(line: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// What it says, in the words of a ledger.
    pub(crate) fn record(&self) -> Record<'_> {
        let (at, id) = (self.at.saturating_mul(1_000_000), &*self.id);
        let event = match &self.what {
            What::Asks { asks } => {
                let kind = match asks {
                    Method::Get => Kind::Get,
                    Method::Post => Kind::Upload,
                };
                // Of the connection nothing is known; whoever judges asks no number of it.
                Event::Intent { connection: 0, sequence: 0, reused: false, protocol: Protocol::H1, kind, id }
            }
            What::Got(got) => {
                let (class, detail) = got.class();
                Event::Outcome { class, status: Some(got.status).filter(|status| *status > 0), detail, id }
            }
        };
        Record { at, event }
    }
}

impl Got {
    fn class(&self) -> (Class, Option<&'static str>) {
        match (self.status, self.error_code) {
            (0, _) if self.body => (Class::Truncated, Some("eof")),
            (0, 1212) => (Class::Refused, Some("econnrefused")),
            (0, 1050) => (Class::Timeout, None),
            (0, 1220) => (Class::NoResponse, Some("reset")),
            (0, 1201) => (Class::NoResponse, Some("broken_pipe")),
            // An EOF has no number of its own; names, dials and TLS have.
            (0, 1000) => (Class::NoResponse, Some("eof")),
            (0, _) => (Class::Error, Some("k6")),
            (503, _) if self.retry_after => (Class::Rejected, None),
            (503, _) => (Class::BadRejection, Some("no_retry_after")),
            (408, _) => (Class::Farewell, None),
            (..500, _) => (Class::Ok, None),
            _ => (Class::Error, Some("status")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What k6 1.1 was seen to say of a server that did each of these.
    #[test]
    fn each_end_that_k6_tells_has_its_class() {
        let whole = |status, retry_after| Got { status, error_code: 0, body: true, retry_after };
        let failed = |error_code, body| Got { status: 0, error_code, body, retry_after: false };
        let cases = [
            (whole(200, false), Class::Ok, None),
            (whole(404, false), Class::Ok, None),
            (whole(500, false), Class::Error, Some("status")),
            (whole(503, true), Class::Rejected, None),
            (whole(503, false), Class::BadRejection, Some("no_retry_after")),
            (whole(408, false), Class::Farewell, None),
            (failed(1212, false), Class::Refused, Some("econnrefused")),
            (failed(1220, false), Class::NoResponse, Some("reset")),
            (failed(1000, false), Class::NoResponse, Some("eof")),
            (failed(1000, true), Class::Truncated, Some("eof")),
            (failed(1050, false), Class::Timeout, None),
            (failed(1101, false), Class::Error, Some("k6")),
        ];
        for (got, class, detail) in cases {
            assert_eq!(got.class(), (class, detail), "{got:?}");
        }
    }

    #[test]
    fn its_lines_are_records() {
        let told = |line: &str| Line::parse(line).expect("it is a line").record().to_string();
        assert_eq!(
            told(r#"{"at":1764184763123,"id":"k6-a-1-0","asks":"POST"}"#),
            "1764184763123000000 intent 0 0 fresh h1 upload k6-a-1-0"
        );
        assert_eq!(
            told(r#"{"at":7,"id":"k6-a-1-0","status":200,"error_code":0,"body":true,"retry_after":false}"#),
            "7000000 outcome ok 200 - k6-a-1-0"
        );
        assert!(Line::parse("hello").is_err());
        assert!(Line::parse(r#"{"at":7,"id":"k6-a-1-0"}"#).is_err());
    }
}
