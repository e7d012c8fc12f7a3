//! The values of a scenario; each refuses the impossible when it is read, so that the error has its line.

use std::{borrow::Borrow, collections::BTreeMap, fmt, time::Duration};

use loadtest::ledger::Kind;
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Percentages of the kinds of request; they add up to 100.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "BTreeMap<KindName, u32>")]
pub struct Mix(BTreeMap<KindName, u32>);

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct KindName(Kind);

/// A range of milliseconds, such as `100..400`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Millis(String);

/// A name that can be a folder's.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

/// A variable of the service's environment that a scenario may set. All others there are the runner's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting(&'static str);

const DURATIONS: [&str; 13] = [
    "GRACE_PERIOD",
    "LAME_DUCK",
    "DRAIN_TIMEOUT",
    "CANCEL_GRACE",
    "BACKGROUND_TIMEOUT",
    "RELEASE_TIMEOUT",
    "FLUSH_TIMEOUT",
    "EXIT_MARGIN",
    "HANDSHAKE_WINDOW",
    "IDLE_GRACE",
    "HEADER_TIMEOUT",
    "SETTLE_LEASE",
    "SETTLE_TAKES",
];
/// SABOTAGE is one where the service has the feature of that name, and nothing elsewhere.
const WORDS: [&str; 6] = ["FAREWELL", "SECOND_SIGNAL", "ENABLE_FAULTS", "FAULT_HOOK", "RUST_LOG", "SABOTAGE"];

/// A signal that stops a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// What every supervisor sends.
    #[default]
    Term,
    /// Ctrl-C.
    Int,
    /// Ctrl-\.
    Quit,
    /// The terminal went away.
    Hup,
    /// Not to be refused: nothing survives it.
    Kill,
}

impl Mix {
    /// Each kind that has a share.
    pub fn kinds(&self) -> impl Iterator<Item = (Kind, u32)> {
        self.0.iter().map(|(KindName(kind), share)| (*kind, *share)).filter(|(_, share)| *share > 0)
    }

    /// Whether orders are among them.
    pub fn has_orders(&self) -> bool {
        self.kinds().any(|(kind, _)| kind == Kind::Order)
    }

    /// The first that a service answers only when it is to misbehave.
    pub(super) fn of_faults(&self) -> Option<Kind> {
        let faults = [Kind::Panic, Kind::PanicBody, Kind::Block, Kind::Never];
        self.kinds().map(|(kind, _)| kind).find(|kind| faults.contains(kind))
    }

    /// As the load generator wants it: `fast=40,slow=60`.
    pub fn as_flag(&self) -> String {
        self.kinds().map(|(kind, share)| format!("{kind}={share}")).collect::<Vec<_>>().join(",")
    }
}

impl TryFrom<BTreeMap<KindName, u32>> for Mix {
    type Error = String;

    fn try_from(shares: BTreeMap<KindName, u32>) -> Result<Self, String> {
        match shares.values().try_fold(0_u32, |sum, share| sum.checked_add(*share)) {
            Some(100) => Ok(Self(shares)),
            sum => Err(format!("mix adds up to {} %: make it 100", sum.unwrap_or(u32::MAX))),
        }
    }
}

impl TryFrom<String> for KindName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Kind::parse(&text).map(Self).ok_or_else(|| {
            let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("{text} is no kind of request: use one of {}", kinds.join(", "))
        })
    }
}

impl TryFrom<String> for Millis {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bounds = text.split_once("..").and_then(|(from, to)| from.parse::<u32>().ok().zip(to.parse::<u32>().ok()));
        match bounds {
            Some((from, to)) if from <= to => Ok(Self(text)),
            _ => Err(format!("slow_ms = {text:?} is no range of milliseconds: write it as \"100..400\"")),
        }
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        if !text.is_empty() && text.chars().all(plain) {
            return Ok(Self(text));
        }
        Err(format!("name = {text:?} cannot name a folder: use letters, digits, - and _"))
    }
}

impl Setting {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        DURATIONS.into_iter().chain(WORDS).map(Self)
    }

    /// Its name in the environment.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::all().find(|setting| setting.0 == text).ok_or_else(|| {
            let known: Vec<_> = Self::all().map(Self::name).collect();
            D::Error::custom(format_args!("{text} is no setting of the service: use one of {}", known.join(", ")))
        })
    }
}

impl Borrow<str> for Setting {
    fn borrow(&self) -> &str {
        self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Millis {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Default for Millis {
    fn default() -> Self {
        Self("100..400".to_owned())
    }
}

impl From<StopSignal> for Signal {
    fn from(signal: StopSignal) -> Self {
        match signal {
            StopSignal::Term => Self::TERM,
            StopSignal::Int => Self::INT,
            StopSignal::Quit => Self::QUIT,
            StopSignal::Hup => Self::HUP,
            StopSignal::Kill => Self::KILL,
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", format!("{self:?}").to_uppercase())
    }
}

pub(super) fn percentage<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let percent = u32::deserialize(from)?;
    if percent <= 100 {
        return Ok(percent);
    }
    Err(D::Error::custom(format_args!("{percent} is no percentage: use 0 to 100")))
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

pub(super) fn settings<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Setting, String>, D::Error> {
    let settings = BTreeMap::<Setting, String>::deserialize(from)?;
    for (Setting(name), text) in settings.iter().filter(|(Setting(name), _)| DURATIONS.contains(name)) {
        parse_duration(text).map_err(|error| D::Error::custom(format_args!("{name}: {error}")))?;
    }
    Ok(settings)
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration ({error}): write it as 250ms or 5s"))
}
