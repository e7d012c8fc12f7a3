//! The client's ledger: what it meant to send, and what came of it.
//!
//! Every record is one line. Times are `CLOCK_MONOTONIC` nanoseconds, as in the server's audit log, so the two can be
//! joined without a correction.
//!
//! ```text
//! 81230140002 clock 1764184763000000000 9b4f2994-b2b9-4d4c-b967-87369e239220
//! 81230145877 intent 12 4 reused h1 slow 3f2a-0-7
//! 81230155940 outcome ok 200 - 3f2a-0-7
//! 81230160112 connected 13 h2
//! ```
//!
//! `clock` is the first record: the wall clock at the same moment, in nanoseconds since 1970, and the boot that
//! `CLOCK_MONOTONIC` counts from, so that ledgers of several machines can be put onto one time line. Behind `intent` stand the connection, the request's place on it, whether that connection had carried a response
//! before, protocol and kind; behind `outcome` the class, the status and a detail, `-` where there is none. The last
//! word of both is the request's `x-request-id`.
//!
//! # Invariants
//!
//! 1. A connection has its number before it is dialled; `connected` follows once the kernel has accepted it.
//! 2. An intent is appended before the first byte of its request is written.
//! 3. Each intent has exactly one outcome, later in the file.
//! 4. Records of one writer keep their order. Those of different writers may lie apart by one flush interval.

mod boot;
mod reader;
mod words;
mod writer;

use std::{fmt, str::FromStr};

pub use reader::{ReadError, Reader, read};
pub use words::{Class, Kind, Protocol};
pub use writer::{FLUSH_INTERVAL, Ledger, LedgerWriter, Progress};

/// One line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub at: u64,
    /// What happened.
    pub event: Event<'a>,
}

/// What a [`Record`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// What the wall clock says at this moment.
    Clock {
        /// Nanoseconds since 1970.
        wall: u64,
        /// The boot of the machine, which only its own processes know; `None` where the system has no such word.
        boot: Option<&'a str>,
    },
    /// The connection is established: the server's kernel has accepted it.
    Connected {
        /// Its number, unique in the process.
        connection: u64,
        /// What will be spoken on it.
        protocol: Protocol,
    },
    /// A request is about to be sent.
    Intent {
        /// The connection that is to carry it; it may not be dialled yet.
        connection: u64,
        /// Its place on that connection, from 0.
        sequence: u64,
        /// Whether that connection had carried a whole response before.
        reused: bool,
        /// What is spoken on it.
        protocol: Protocol,
        /// What is asked for.
        kind: Kind,
        /// The request's `x-request-id`.
        id: &'a str,
    },
    /// What came of a request.
    Outcome {
        /// The verdict of the client alone.
        class: Class,
        /// The response's status, if its head arrived.
        status: Option<u16>,
        /// One word about the cause, such as `eof` or `econnrefused`.
        detail: Option<&'a str>,
        /// The request's `x-request-id`.
        id: &'a str,
    },
}

/// `CLOCK_MONOTONIC` in nanoseconds, the clock of every [`Record`].
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Record<'_> {
    /// Appends the line, without its newline. It is written twice for every request, so by copies and not by a formatter.
    pub fn append_to(&self, line: &mut Vec<u8>) {
        append_number(line, self.at);
        match self.event {
            Event::Clock { wall, boot } => {
                line.extend_from_slice(b" clock ");
                append_number(line, wall);
                append_words(line, [boot.unwrap_or("-")]);
            }
            Event::Connected { connection, protocol } => {
                line.extend_from_slice(b" connected ");
                append_number(line, connection);
                append_words(line, [protocol.as_str()]);
            }
            Event::Intent { connection, sequence, reused, protocol, kind, id } => {
                line.extend_from_slice(b" intent ");
                append_number(line, connection);
                line.push(b' ');
                append_number(line, sequence);
                let reused = if reused { "reused" } else { "fresh" };
                append_words(line, [reused, protocol.as_str(), kind.as_str(), id]);
            }
            Event::Outcome { class, status, detail, id } => {
                line.extend_from_slice(b" outcome ");
                line.extend_from_slice(class.as_str().as_bytes());
                match status {
                    Some(status) => {
                        line.push(b' ');
                        append_number(line, status);
                    }
                    None => line.extend_from_slice(b" -"),
                }
                append_words(line, [detail.unwrap_or("-"), id]);
            }
        }
    }
}

fn append_number(line: &mut Vec<u8>, number: impl itoa::Integer) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn append_words<const N: usize>(line: &mut Vec<u8>, words: [&str; N]) {
    for word in words {
        line.push(b' ');
        line.extend_from_slice(word.as_bytes());
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Vec::new();
        self.append_to(&mut line);
        f.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

/// The line is not a [`Record`]; a last line that was cut short by a crash is the one honest reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a ledger record")]
pub struct ParseRecordError;

impl<'a> Record<'a> {
    /// Reads one line, without its newline.
    pub fn parse(line: &'a str) -> Result<Self, ParseRecordError> {
        let mut words = Words(line.split(' '));
        let record = Self { at: words.number()?, event: Event::parse(&mut words)? };
        words.0.next().map_or(Ok(record), |_| Err(ParseRecordError))
    }
}

impl<'a> Event<'a> {
    fn parse(words: &mut Words<'a>) -> Result<Self, ParseRecordError> {
        match words.word()? {
            "clock" => Ok(Self::Clock { wall: words.number()?, boot: words.optional()? }),
            "connected" => {
                Ok(Self::Connected { connection: words.number()?, protocol: words.one_of(Protocol::parse)? })
            }
            "intent" => Ok(Self::Intent {
                connection: words.number()?,
                sequence: words.number()?,
                reused: words.one_of(|word| match word {
                    "reused" => Some(true),
                    "fresh" => Some(false),
                    _ => None,
                })?,
                protocol: words.one_of(Protocol::parse)?,
                kind: words.one_of(Kind::parse)?,
                id: words.word()?,
            }),
            "outcome" => Ok(Self::Outcome {
                class: words.one_of(Class::parse)?,
                status: words.optional()?.map(|word| word.parse().map_err(|_| ParseRecordError)).transpose()?,
                detail: words.optional()?,
                id: words.word()?,
            }),
            _ => Err(ParseRecordError),
        }
    }
}

struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, ParseRecordError> {
        self.0.next().filter(|word| !word.is_empty()).ok_or(ParseRecordError)
    }

    fn number<N: FromStr>(&mut self) -> Result<N, ParseRecordError> {
        self.word()?.parse().map_err(|_| ParseRecordError)
    }

    fn one_of<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ParseRecordError> {
        parse(self.word()?).ok_or(ParseRecordError)
    }

    fn optional(&mut self) -> Result<Option<&'a str>, ParseRecordError> {
        Ok(Some(self.word()?).filter(|word| *word != "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_reads_back_as_it_was_written() {
        let id = "3f2a-0-7";
        let (protocol, kind) = (Protocol::H1, Kind::Slow);
        let mut events = vec![
            Event::Clock { wall: 1_764_184_763_000_000_000, boot: Some("9b4f2994-b2b9") },
            Event::Clock { wall: 1, boot: None },
            Event::Connected { connection: 13, protocol: Protocol::H2 },
            Event::Intent { connection: 12, sequence: 4, reused: true, protocol, kind, id },
            Event::Intent { connection: 12, sequence: 0, reused: false, protocol, kind, id },
            Event::Outcome { class: Class::Ok, status: Some(200), detail: None, id },
        ];
        events.extend(Class::ALL.iter().map(|&class| Event::Outcome { class, status: None, detail: Some("eof"), id }));
        events.extend(Kind::ALL.iter().map(|&kind| Event::Intent {
            connection: 1,
            sequence: 1,
            reused: true,
            protocol,
            kind,
            id,
        }));
        for event in events {
            let record = Record { at: 81_230_145_877, event };
            assert_eq!(Record::parse(&record.to_string()), Ok(record));
        }
    }

    #[test]
    fn a_record_is_written_as_the_documentation_shows_it() {
        let (protocol, kind, id) = (Protocol::H1, Kind::Slow, "3f2a-0-7");
        for (event, line) in [
            (Event::Connected { connection: 13, protocol: Protocol::H2 }, "8 connected 13 h2"),
            (
                Event::Intent { connection: 12, sequence: 4, reused: true, protocol, kind, id },
                "8 intent 12 4 reused h1 slow 3f2a-0-7",
            ),
            (Event::Outcome { class: Class::Ok, status: Some(200), detail: None, id }, "8 outcome ok 200 - 3f2a-0-7"),
            (
                Event::Outcome { class: Class::NoResponse, status: None, detail: Some("eof"), id },
                "8 outcome no_response - eof 3f2a-0-7",
            ),
        ] {
            assert_eq!(Record { at: 8, event }.to_string(), line);
        }
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_refused_and_not_guessed() {
        for whole in ["81 intent 12 4 reused h1 slow 3f2a", "82 outcome ok 200 - 3f2a", "83 connected 13 h2"] {
            assert!(Record::parse(whole).is_ok(), "{whole:?}");
            let last_word = whole.rfind(' ').expect("a record has many words") + 1;
            for end in 0..=last_word {
                assert_eq!(Record::parse(&whole[..end]), Err(ParseRecordError), "{:?}", &whole[..end]);
            }
            assert_eq!(Record::parse(&format!("{whole} more")), Err(ParseRecordError));
        }
    }
}
