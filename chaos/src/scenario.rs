//! What a run does, as a TOML file. Everything impossible is refused while it is read, with file and line.

mod values;

use std::{
    collections::BTreeMap,
    fmt, fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

pub use self::values::{Millis, Mix, Name, Setting, StopSignal};
use self::values::{duration, percentage, settings, some_duration};
use crate::server::Server;

/// The scenarios that are built in, the main job's first.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("chaos/scenarios/loadtest-shutdown.toml", include_str!("../scenarios/loadtest-shutdown.toml")),
    ("chaos/scenarios/sigkill.toml", include_str!("../scenarios/sigkill.toml")),
];

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Names its folder and its table.
    pub name: Name,
    /// What it does and what it wants, in one line.
    pub what: String,
    /// Which server is stopped. Defaults to `service`.
    #[serde(default)]
    pub server: Server,
    /// How often it is stopped. Defaults to 5.
    #[serde(default = "five")]
    pub stops: NonZeroU32,
    /// What all chance is drawn from. Defaults to 42.
    #[serde(default = "forty_two")]
    pub seed: u64,
    /// What stops it. Defaults to `TERM`.
    #[serde(default)]
    pub signal: StopSignal,
    /// How long after it the signal is sent once more, if it is.
    #[serde(default, deserialize_with = "some_duration")]
    pub again_after: Option<Duration>,
    /// The load at the signal.
    pub load: Load,
    /// Settings of the service, as in its environment.
    #[serde(default, deserialize_with = "settings")]
    pub service: BTreeMap<Setting, String>,
    /// What must hold.
    #[serde(default)]
    pub expect: Expect,
    /// A server that must be caught.
    pub control: Option<Control>,
}

/// The load at the signal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Users; over HTTP/1 each carries one request at a time, over HTTP/2 a few.
    pub users: NonZeroU32,
    /// What they ask for.
    pub mix: Mix,
    /// Percentage of users that speak HTTP/2. Defaults to 0.
    #[serde(default, deserialize_with = "percentage")]
    pub h2: u32,
    /// Percentage of HTTP/1 users that open a connection for every request. Defaults to 0.
    #[serde(default, deserialize_with = "percentage")]
    pub fresh: u32,
    /// How long slow requests take, in milliseconds. Defaults to `100..400`.
    #[serde(default)]
    pub slow_ms: Millis,
    /// When the load ends though nothing has refused it. Defaults to 30s.
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub run_time: Duration,
}

/// What must hold of every stop.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Fewer requests in flight at the signal prove nothing; more users make more. Defaults to 64.
    pub min_in_flight: u64,
    /// How the server ends; 128 + n for a signal n. Defaults to 0.
    pub exit_code: i32,
    /// Whether every stop loses requests, as a SIGKILL does: then that some are dropped is right, and that none is lost
    /// fails. No order may be lost. Defaults to false.
    pub lost: bool,
}

/// A server under the same load that must be caught losing requests.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Which server. Defaults to `naive`.
    #[serde(default = "Server::naive")]
    pub server: Server,
    /// How often it is stopped at most: the first loss is enough. Defaults to 3.
    #[serde(default = "three")]
    pub stops: NonZeroU32,
}

/// A scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario {path}: give the path of a TOML file, see `chaos list`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no scenario.
    #[error("{path}:{line}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl Scenario {
    /// The main job.
    pub fn loadtest_shutdown() -> Self {
        let (path, text) = BUILT_IN[0];
        Self::parse(text, path.as_ref()).expect("a test parses every scenario that is built in")
    }

    /// Reads the scenario at `path`.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text =
            fs::read_to_string(path).map_err(|source| ScenarioError::Unreadable { path: path.into(), source })?;
        Self::parse(&text, path)
    }

    /// Reads a scenario from `text`; `path` is what errors call it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScenarioError> {
        let invalid = |at: usize, message: &str| ScenarioError::Invalid {
            path: path.into(),
            line: text[..at].matches('\n').count() + 1,
            message: message.trim_end().replace('\n', ", "),
        };
        toml::from_str(text)
            .map_err(|error| invalid(error.span().map_or(0, |span| span.start.min(text.len())), error.message()))
    }

    /// How long the server may take to end: its grace period, and a margin for a busy machine.
    pub fn exit_bound(&self) -> Duration {
        const DEFAULT_GRACE: Duration = Duration::from_secs(30);
        const MARGIN: Duration = Duration::from_secs(5);
        let grace = self.service.get("GRACE_PERIOD").and_then(|text| humantime::parse_duration(text).ok());
        grace.unwrap_or(DEFAULT_GRACE) + MARGIN
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.mix.kinds().map(|(kind, share)| format!("{share} % {kind}")).collect();
        let protocols = match self.h2 {
            0 => "h1",
            100 => "h2",
            _ => "h1 + h2",
        };
        write!(f, "{} users: {}, {protocols}", self.users, kinds.join(" · "))
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self { min_in_flight: 64, exit_code: 0, lost: false }
    }
}

const fn three() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(2)
}

const fn five() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4)
}

const fn forty_two() -> u64 {
    42
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
name = \"small\"
what = \"a test\"
[load]
users = 100
mix = { fast = 100 }
[service]
GRACE_PERIOD = \"10s\"
[expect]
min_in_flight = 64
";

    fn error(find: &str, replace: &str) -> String {
        assert!(SMALL.contains(find), "{find:?} is in the text");
        let text = SMALL.replace(find, replace);
        Scenario::parse(&text, "small.toml".as_ref()).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let scenario = Scenario::parse(SMALL, "small.toml".as_ref()).expect("it is a scenario");
        assert_eq!((scenario.stops.get(), scenario.seed, scenario.signal), (5, 42, StopSignal::Term));
        assert_eq!(scenario.load.to_string(), "100 users: 100 % fast, h1");
        assert_eq!(scenario.exit_bound(), Duration::from_secs(15));
    }

    #[test]
    fn orders_are_a_kind_of_the_mix() {
        let text = SMALL.replace("fast = 100", "fast = 60, order = 40");
        let scenario = Scenario::parse(&text, "small.toml".as_ref()).expect("it is a scenario");
        assert_eq!(scenario.load.to_string(), "100 users: 60 % fast · 40 % order, h1");
        assert_eq!(scenario.load.mix.as_flag(), "fast=60,order=40");
        assert!(scenario.load.mix.has_orders());
    }

    #[test]
    fn every_built_in_scenario_is_one() {
        for (path, text) in BUILT_IN {
            Scenario::parse(text, path.as_ref()).expect("it is well formed");
        }
        assert_eq!(Scenario::loadtest_shutdown().load.to_string().lines().count(), 1);
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused_with_file_line_and_remedy() {
        let cases = [
            ("what =", "wat =", "small.toml:2: unknown field `wat`"),
            ("users = 100", "users = 0", "small.toml:4: invalid value: integer `0`"),
            ("fast = 100", "fast = 60, slow = 30", "small.toml:5: mix adds up to 90 %: make it 100"),
            ("fast = 100", "fats = 100", "small.toml:5: unknown field `fats`"),
            ("users = 100", "users = 100\nh2 = 130", "small.toml:5: 130 is no percentage: use 0 to 100"),
            (
                "users = 100",
                "users = 100\nslow_ms = \"9\"",
                "small.toml:5: slow_ms = \"9\" is no range of milliseconds",
            ),
            ("GRACE_PERIOD", "GRACE", "small.toml:7: GRACE is no setting of the service: use one of GRACE_PERIOD, "),
            ("GRACE_PERIOD", "HTTP_ADDR", "small.toml:7: HTTP_ADDR is no setting of the service"),
            ("\"10s\"", "\"ten\"", "small.toml:6: GRACE_PERIOD: \"ten\" is no duration"),
            ("= 64", "= -1", "small.toml:9: invalid value: integer `-1`"),
            ("\"small\"", "\"../small\"", "small.toml:1: name = \"../small\" cannot name a folder"),
            ("[expect]", "signal = \"STOP\"\n[expect]", "small.toml:8: "),
            ("[load]", "[load", "small.toml:3: "),
        ];
        for (find, replace, beginning) in cases {
            let error = error(find, replace);
            assert!(error.starts_with(beginning), "{error:?} begins with {beginning:?}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Scenario::read("no/such.toml".as_ref()).expect_err("there is no such file");
        assert!(error.to_string().starts_with("cannot read the scenario no/such.toml"), "{error}");
    }
}
