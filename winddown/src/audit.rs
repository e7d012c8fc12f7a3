//! The server's ledger: what it did with each request, written so that a SIGKILL cannot take it back.
//!
//! Every record is one line, handed to the kernel with one `write(2)` on a file opened for appending, before the
//! step that it announces goes on. The page cache outlives the process, so a record is lost only with the machine.
//! Times are `CLOCK_MONOTONIC` nanoseconds: the same clock for every process of one machine, so a client's ledger
//! can be joined with this one without a correction.
//!
//! ```text
//! 81230045110 clock 1764184763000000000 9b4f2994-b2b9-4d4c-b967-87369e239220
//! 81230045112 phase lame_duck
//! 81230145877 enter 12 3f2a-0007
//! 81230155001 handler_done 12 200 3f2a-0007
//! 81230155940 body_end 12 complete 3f2a-0007
//! 81230160212 rejected 12 3f2a-0008
//! ```
//!
//! `clock` is a process's first record: the wall clock at the same moment, in nanoseconds since 1970, and the boot that
//! `CLOCK_MONOTONIC` counts from, for ledgers that come from several machines. The number behind `enter`, `handler_done`, `body_end` and `rejected` is the connection; the last word is the
//! request's `x-request-id`, or `-` when it has none.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::SystemTime,
};

/// An append-only log of [`Record`]s. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: Arc<Path>,
    file: Arc<OnceLock<File>>,
    opening: Arc<Mutex<()>>,
}

/// One line of the log.
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
    /// A process begins to write, and says what the wall clock says.
    Clock {
        /// Nanoseconds since 1970.
        wall: u64,
        /// The boot of the machine, which only its own processes know; `None` where the system has no such word.
        boot: Option<&'a str>,
    },
    /// The process entered this phase of its life.
    Phase(&'a str),
    /// A request was admitted; its handler runs next.
    Enter {
        /// The connection's number, unique in the process.
        connection: u64,
        /// The request's id.
        id: &'a str,
    },
    /// The handler returned a response; its body follows.
    HandlerDone {
        /// The connection's number.
        connection: u64,
        /// The response's status code.
        status: u16,
        /// The request's id.
        id: &'a str,
    },
    /// The request is over.
    BodyEnd {
        /// The connection's number.
        connection: u64,
        /// How it ended.
        outcome: Outcome,
        /// The request's id.
        id: &'a str,
    },
    /// Admission answered 503: the handler never saw the request.
    Rejected {
        /// The connection's number.
        connection: u64,
        /// The request's id.
        id: &'a str,
    },
}

/// How an admitted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole response body was handed to the transport.
    Complete,
    /// The client went away, or the handler or its body failed.
    Aborted,
    /// A deadline of the shutdown cut it.
    Cut,
}

impl AuditLog {
    /// A log at `path`, which is opened for appending, and created when it is missing, by the first record.
    ///
    /// # Errors
    ///
    /// The file could not be opened or created. It is tried at once, and leaves nothing behind.
    pub fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        appending(path)?;
        if is_new {
            std::fs::remove_file(path)?;
        }
        Ok(Self { path: path.into(), file: Arc::default(), opening: Arc::default() })
    }

    /// Whether there is a record.
    pub(crate) fn has_begun(&self) -> bool {
        self.file.get().is_some()
    }

    /// Appends one event, stamped with the present time.
    ///
    /// A failing disk must not fail requests: an error is logged, and the request goes on.
    pub fn write(&self, event: Event<'_>) {
        let line = format!("{}\n", Record { at: now(), event });
        if let Err(error) = self.file().and_then(|mut file| file.write_all(line.as_bytes())) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }

    /// Opens it with the record of the clock, which stands before all others of this process.
    fn file(&self) -> io::Result<&File> {
        if self.file.get().is_none() {
            let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
            if self.file.get().is_none() {
                let mut file = appending(&self.path)?;
                let (at, boot) = (now(), boot());
                let event = Event::Clock { wall: wall(), boot: boot.as_deref() };
                file.write_all(format!("{}\n", Record { at, event }).as_bytes())?;
                let _ = self.file.set(file);
            }
        }
        Ok(self.file.get().expect("it was just set"))
    }
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// `CLOCK_MONOTONIC` in nanoseconds, the clock of every [`Record`].
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds since 1970.
fn wall() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The boot that [`now`] counts from. Linux alone has a word for it.
fn boot() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned()).filter(|boot| !boot.is_empty() && !boot.contains(' '))
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Complete, Self::Aborted, Self::Cut];

    /// The word that stands for it in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Cut => "cut",
        }
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        match self.event {
            Event::Clock { wall, boot } => write!(f, "clock {wall} {}", boot.unwrap_or("-")),
            Event::Phase(phase) => write!(f, "phase {phase}"),
            Event::Enter { connection, id } => write!(f, "enter {connection} {id}"),
            Event::HandlerDone { connection, status, id } => write!(f, "handler_done {connection} {status} {id}"),
            Event::BodyEnd { connection, outcome, id } => {
                write!(f, "body_end {connection} {} {id}", outcome.as_str())
            }
            Event::Rejected { connection, id } => write!(f, "rejected {connection} {id}"),
        }
    }
}

/// The line is not a [`Record`]; a last line that was cut short by a crash is the one honest reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an audit record")]
pub struct ParseRecordError;

impl<'a> Record<'a> {
    /// Reads one line, without its newline.
    pub fn parse(line: &'a str) -> Result<Self, ParseRecordError> {
        let mut words = line.split(' ');
        let record = Self { at: number(words.next())?, event: Event::parse(&mut words)? };
        words.next().map_or(Ok(record), |_| Err(ParseRecordError))
    }
}

impl<'a> Event<'a> {
    fn parse(words: &mut std::str::Split<'a, char>) -> Result<Self, ParseRecordError> {
        let kind = words.next().ok_or(ParseRecordError)?;
        if kind == "phase" {
            return words.next().map(Event::Phase).ok_or(ParseRecordError);
        }
        if kind == "clock" {
            let wall = number(words.next())?;
            let boot = words.next().filter(|word| !word.is_empty()).ok_or(ParseRecordError)?;
            return Ok(Self::Clock { wall, boot: Some(boot).filter(|word| *word != "-") });
        }
        let connection = number(words.next())?;
        let mut word = || words.next().filter(|word| !word.is_empty()).ok_or(ParseRecordError);
        match kind {
            "enter" => Ok(Event::Enter { connection, id: word()? }),
            "handler_done" => Ok(Event::HandlerDone { connection, status: number(Some(word()?))?, id: word()? }),
            "body_end" => Ok(Event::BodyEnd { connection, outcome: outcome(word()?)?, id: word()? }),
            "rejected" => Ok(Event::Rejected { connection, id: word()? }),
            _ => Err(ParseRecordError),
        }
    }
}

fn outcome(word: &str) -> Result<Outcome, ParseRecordError> {
    Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or(ParseRecordError)
}

fn number<N: FromStr>(word: Option<&str>) -> Result<N, ParseRecordError> {
    word.and_then(|word| word.parse().ok()).ok_or(ParseRecordError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_reads_back_as_it_was_written() {
        let id = "3f2a-0007";
        for event in [
            Event::Clock { wall: 1_764_184_763_000_000_000, boot: Some("9b4f2994-b2b9") },
            Event::Clock { wall: 1, boot: None },
            Event::Phase("lame_duck"),
            Event::Enter { connection: 12, id },
            Event::HandlerDone { connection: 12, status: 200, id },
            Event::BodyEnd { connection: 12, outcome: Outcome::Complete, id },
            Event::BodyEnd { connection: 12, outcome: Outcome::Cut, id },
            Event::Rejected { connection: 12, id },
        ] {
            let record = Record { at: 81_230_045_112, event };
            assert_eq!(Record::parse(&record.to_string()), Ok(record));
        }
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_refused_and_not_guessed() {
        for line in
            ["", "812", "812 enter", "812 enter 12", "812 enter 12 ", "812 body_end 12 done x", "812 enter 12 a b"]
        {
            assert_eq!(Record::parse(line), Err(ParseRecordError), "{line:?}");
        }
    }

    #[test]
    fn records_of_many_threads_never_share_a_line() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("audit.log");
        let log = AuditLog::open(&path).expect("a new file in a temporary folder opens");
        std::thread::scope(|scope| {
            for connection in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for _ in 0..500 {
                        log.write(Event::Enter { connection, id: "some-request-id" });
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).expect("the log was just written");
        let records: Vec<_> = text.lines().filter_map(|line| Record::parse(line).ok()).collect();
        assert_eq!(records.len(), 1 + 2000);
        let is_clock = |record: &Record<'_>| matches!(record.event, Event::Clock { .. });
        assert!(is_clock(&records[0]), "the clock comes first: {}", records[0]);
        assert_eq!(records.iter().filter(|record| is_clock(record)).count(), 1);
    }
}
