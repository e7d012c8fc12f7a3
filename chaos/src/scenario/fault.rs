//! What happens to a server beside its load and its signal, and when.

use std::{fmt, num::NonZeroU32, time::Duration};

use rustix::process::Signal;
use serde::Deserialize;

use super::values::{optional_duration, parse_duration};

/// One thing that happens to a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawFault")]
pub struct Fault {
    /// When.
    pub when: When,
    /// What.
    pub action: Action,
}

/// A moment of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum When {
    /// The load is steady, the signal still to come.
    Steady,
    /// So long before the signal.
    Before(Duration),
    /// So long after the signal.
    After(Duration),
    /// So long after the service has begun this phase.
    Phase(Phase, Duration),
}

/// A phase of the service's stop, as its ledger calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase(&'static str);

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The server gets a signal.
    Signal(FaultSignal),
    /// Clients that misbehave, or that are only there, outside of both ledgers.
    Clients(Clients),
    /// For so long nobody can write to the service's database.
    LockDatabase(Duration),
    /// Where the report is to go stands a folder.
    BlockReport,
    /// The file system that the report is to go to fills up. Needs root, for one of its own.
    FillReportDisk,
    /// The wall clock jumps forward by so much, for the server alone. Needs libfaketime.
    ClockJump(Duration),
}

/// Clients, all of one kind. They stay until the stop is over, or the server ends their connections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// What they do.
    pub kind: ClientKind,
    /// How many.
    pub count: NonZeroU32,
    /// What they ask for. Defaults to `/hello`, for `deaf` to a long stream.
    pub path: Option<String>,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// Connects, and says nothing.
    Silent,
    /// Sends half a request head, and no more.
    PartialHead,
    /// Sends a byte of its head now and then.
    SlowHead,
    /// Sends a byte of its upload now and then.
    SlowUpload,
    /// Asks, and waits for the answer.
    Get,
    /// Asks for a long answer, and reads nothing of it.
    Deaf,
    /// Asks, and is gone before the answer.
    Vanishing,
}

/// A signal that is no end by itself, or comes on top of the one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FaultSignal(Signal);

const SIGNALS: [(&str, Signal); 7] = [
    ("TERM", Signal::TERM),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("HUP", Signal::HUP),
    ("KILL", Signal::KILL),
    ("STOP", Signal::STOP),
    ("CONT", Signal::CONT),
];

const PHASES: [&str; 5] = ["lame_duck", "drain", "background", "release", "flush"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFault {
    when: When,
    signal: Option<FaultSignal>,
    clients: Option<Clients>,
    #[serde(default, deserialize_with = "optional_duration")]
    lock_database: Option<Duration>,
    #[serde(default)]
    block_report: bool,
    #[serde(default)]
    fill_report_disk: bool,
    #[serde(default, deserialize_with = "optional_duration")]
    clock_jump: Option<Duration>,
}

impl TryFrom<RawFault> for Fault {
    type Error = &'static str;

    fn try_from(raw: RawFault) -> Result<Self, &'static str> {
        let RawFault { when, signal, clients, lock_database, block_report, fill_report_disk, clock_jump } = raw;
        let actions = [
            signal.map(Action::Signal),
            clients.map(Action::Clients),
            lock_database.map(Action::LockDatabase),
            block_report.then_some(Action::BlockReport),
            fill_report_disk.then_some(Action::FillReportDisk),
            clock_jump.map(Action::ClockJump),
        ];
        let mut actions = actions.into_iter().flatten();
        match (actions.next(), actions.next()) {
            (Some(action), None) => Ok(Self { when, action }),
            _ => Err("a fault does one thing: give one of signal, clients, lock_database, block_report, \
                      fill_report_disk, clock_jump"),
        }
    }
}

impl TryFrom<String> for When {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || {
            let phases = PHASES.join(", ");
            format!(
                "when = {text:?} is no moment: use steady, signal, signal-300ms, signal+1s, or a phase ({phases}) as \
                 drain or drain+100ms"
            )
        };
        if text == "steady" {
            return Ok(Self::Steady);
        }
        let (begin, sign, offset) = match text.find(['+', '-']) {
            Some(at) => (&text[..at], &text[at..=at], &text[at + 1..]),
            None => (text.as_str(), "+", "0s"),
        };
        let offset = parse_duration(offset).map_err(|_| refused())?;
        match (begin, sign) {
            ("signal", "+") => Ok(Self::After(offset)),
            ("signal", _) => Ok(Self::Before(offset)),
            (phase, "+") => PHASES
                .into_iter()
                .find(|known| *known == phase)
                .map(|phase| Self::Phase(Phase(phase), offset))
                .ok_or_else(refused),
            _ => Err(refused()),
        }
    }
}

impl TryFrom<String> for FaultSignal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        SIGNALS.into_iter().find(|(name, _)| *name == text).map(|(_, signal)| Self(signal)).ok_or_else(|| {
            let known: Vec<_> = SIGNALS.iter().map(|(name, _)| *name).collect();
            format!("signal = {text:?} is not known here: use one of {}", known.join(", "))
        })
    }
}

impl From<FaultSignal> for Signal {
    fn from(signal: FaultSignal) -> Self {
        signal.0
    }
}

impl AsRef<str> for Phase {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(FaultSignal(signal)) => {
                let name = SIGNALS.iter().find(|(_, known)| known == signal).map_or("?", |(name, _)| *name);
                write!(f, "SIG{name}")
            }
            Self::Clients(Clients { kind, count, .. }) => write!(f, "{count} {kind} clients"),
            Self::LockDatabase(time) => write!(f, "the database is locked for {}", humantime::format_duration(*time)),
            Self::BlockReport => f.write_str("a folder stands where the report is to go"),
            Self::FillReportDisk => f.write_str("the disk of the report is full"),
            Self::ClockJump(by) => write!(f, "the wall clock jumps by {}", humantime::format_duration(*by)),
        }
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "silent",
            Self::PartialHead => "half-said",
            Self::SlowHead | Self::SlowUpload => "slow",
            Self::Get => "waiting",
            Self::Deaf => "deaf",
            Self::Vanishing => "vanishing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_load_s_the_signal_s_or_a_phase_s() {
        let ms = Duration::from_millis;
        for (text, when) in [
            ("steady", When::Steady),
            ("signal", When::After(ms(0))),
            ("signal+1s", When::After(ms(1000))),
            ("signal-300ms", When::Before(ms(300))),
            ("drain", When::Phase(Phase("drain"), ms(0))),
            ("flush+5ms", When::Phase(Phase("flush"), ms(5))),
        ] {
            assert_eq!(When::try_from(text.to_owned()), Ok(when), "{text}");
        }
        for text in ["", "signal+", "drain-1s", "later", "steady+1s", "signal 1s"] {
            assert!(When::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
