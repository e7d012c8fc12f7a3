//! What a run does, as a TOML file. Everything impossible is refused while it is read, with file and line.

mod expect;
mod fault;
mod library;
mod values;

use std::{
    collections::BTreeMap,
    fmt, fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use self::values::{duration, percentage, settings};
pub use self::{
    expect::{ExitCodes, Expect},
    fault::{Action, ClientKind, Clients, Fault, FaultSignal, Phase, When},
    library::BUILT_IN,
    values::{Millis, Mix, Name, Setting, StopSignal},
};
use crate::server::Server;

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
    /// The load at the signal. Without one the server is stopped while it starts, as soon as it catches the signal.
    pub load: Option<Load>,
    /// Settings of the service, as in its environment.
    #[serde(default, deserialize_with = "settings")]
    pub service: BTreeMap<Setting, String>,
    /// What stands around the server.
    #[serde(default)]
    pub surroundings: Surroundings,
    /// What else happens to it, and when.
    #[serde(default)]
    pub faults: Vec<Fault>,
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
    /// How long slow requests and blocks take, in milliseconds. Defaults to `100..400`.
    #[serde(default)]
    pub slow_ms: Millis,
    /// How long a user rests between an answer and its next request. Defaults to 0s.
    #[serde(default, deserialize_with = "duration")]
    pub think: Duration,
    /// How long it runs before the signal, at least; up to half a second comes on top by chance. Defaults to 1s.
    #[serde(default = "one_second", deserialize_with = "duration")]
    pub steady: Duration,
    /// When the load ends though nothing has refused it. Defaults to 30s.
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub run_time: Duration,
}

/// What stands around the server. Defaults to nothing that matters.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Surroundings {
    /// Who is to take the traces.
    pub collector: Option<Collector>,
}

/// A collector of traces that does not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collector {
    /// Nobody listens there.
    Dead,
    /// Its connections are established, and nothing is ever read from them.
    Mute,
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
    #[error("cannot read the scenario {path}: give the path of a TOML file, or a name that `chaos list` has")]
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
        Self::library().next().expect("it is the first")
    }

    /// Those that are built in.
    pub fn library() -> impl Iterator<Item = Self> {
        BUILT_IN.iter().map(|(path, text)| {
            Self::parse(text, path.as_ref()).expect("a test parses every scenario that is built in")
        })
    }

    /// The built-in scenario of this name, or the one in the file there.
    pub fn find(name: &Path) -> Result<Self, ScenarioError> {
        let built_in = Self::library().find(|scenario| Path::new(scenario.name.as_ref()) == name);
        built_in.map_or_else(|| Self::read(name), Ok)
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
        let scenario: Self = toml::from_str(text)
            .map_err(|error| invalid(error.span().map_or(0, |span| span.start.min(text.len())), error.message()))?;
        match scenario.contradiction() {
            Some((key, message)) => Err(invalid(text.find(key).unwrap_or(0), &message)),
            None => Ok(scenario.resolved()),
        }
    }

    /// With what follows from other values where nothing is said.
    fn resolved(mut self) -> Self {
        const DEFAULT_GRACE: Duration = Duration::from_secs(30);
        let grace = self.service.get("GRACE_PERIOD").and_then(|text| humantime::parse_duration(text).ok());
        self.expect.exit_within.get_or_insert(grace.unwrap_or(DEFAULT_GRACE));
        if self.load.is_none() {
            self.expect.min_in_flight = 0;
            self.expect.not_ready = false;
        }
        self
    }

    /// What no value shows by itself, and the key that it is to be seen at.
    fn contradiction(&self) -> Option<(&'static str, String)> {
        let of_faults = self.load.as_ref().and_then(|load| load.mix.of_faults());
        if let Some(kind) = of_faults.filter(|_| !self.service.contains_key("ENABLE_FAULTS")) {
            return Some(("mix", format!("the service answers {kind} only with ENABLE_FAULTS = \"1\" in [service]")));
        }
        if self.load.is_none() && !self.faults.is_empty() {
            return Some(("[[faults]]", "a stop without [load] is over too soon for faults: give a load".to_owned()));
        }
        if self.load.is_none() && self.control.is_some() {
            return Some(("[control]", "a control without [load] has nothing to lose: give a load".to_owned()));
        }
        None
    }

    /// How long the server is waited for: a margin more than it may take, so that being late has a number.
    pub fn exit_bound(&self) -> Duration {
        const MARGIN: Duration = Duration::from_secs(5);
        self.expect.exit_within.unwrap_or_default() + MARGIN
    }

    /// The load in words.
    pub fn load_in_words(&self) -> String {
        self.load.as_ref().map_or_else(|| "while it starts".to_owned(), Load::to_string)
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

const fn three() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(2)
}

const fn five() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4)
}

const fn forty_two() -> u64 {
    42
}

const fn one_second() -> Duration {
    Duration::from_secs(1)
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
        assert_eq!(scenario.load_in_words(), "100 users: 100 % fast, h1");
        assert_eq!(scenario.expect.exit_within, Some(Duration::from_secs(10)));
        assert_eq!(scenario.exit_bound(), Duration::from_secs(15));
    }

    #[test]
    fn orders_are_a_kind_of_the_mix() {
        let text = SMALL.replace("fast = 100", "fast = 60, order = 40");
        let scenario = Scenario::parse(&text, "small.toml".as_ref()).expect("it is a scenario");
        let load = scenario.load.expect("it has one");
        assert_eq!(load.to_string(), "100 users: 60 % fast · 40 % order, h1");
        assert_eq!(load.mix.as_flag(), "fast=60,order=40");
        assert!(load.mix.has_orders());
    }

    #[test]
    fn every_built_in_scenario_is_one() {
        let guide = include_str!("../../docs/scenarios.md");
        let mut names = BTreeSet::new();
        for (path, text) in BUILT_IN {
            let scenario = Scenario::parse(text, path.as_ref()).expect("it is well formed");
            assert_eq!(*path, format!("chaos/scenarios/{}.toml", scenario.name), "a file is called as what it has");
            assert!(names.insert(*path), "{path} is there twice");
            let row = format!("| `{}` | ", scenario.name);
            assert!(guide.contains(&row), "docs/scenarios.md tells of {}", scenario.name);
        }
        let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).expect("they have a folder");
        let files = files.filter_map(|file| Some(file.ok()?.path()));
        assert_eq!(
            files.filter(|path| path.extension().is_some_and(|end| end == "toml")).count(),
            names.len(),
            "each file is built in"
        );
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused_with_file_line_and_remedy() {
        let cases = [
            ("what =", "wat =", "small.toml:2: unknown field `wat`"),
            ("users = 100", "users = 0", "small.toml:4: invalid value: integer `0`"),
            ("fast = 100", "fast = 60, slow = 30", "small.toml:5: mix adds up to 90 %: make it 100"),
            ("fast = 100", "fats = 100", "small.toml:5: fats is no kind of request: use one of fast, slow, "),
            ("fast = 100", "never = 100", "small.toml:5: the service answers never only with ENABLE_FAULTS"),
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
            (
                "[expect]",
                "[[faults]]\nwhen = \"soon\"\nsignal = \"INT\"\n[expect]",
                "small.toml:9: when = \"soon\" is no moment",
            ),
            (
                "[expect]",
                "[[faults]]\nwhen = \"steady\"\n[expect]",
                "small.toml:8: a fault does one thing: give one of ",
            ),
            (
                "[expect]",
                "[[faults]]\nwhen = \"drain\"\nsignal = \"USR1\"\n[expect]",
                "small.toml:10: signal = \"USR1\"",
            ),
            ("[expect]", "[expect]\nneed = [\"lots\"]", "small.toml:9: unknown variant `lots`"),
            ("[expect]", "[expect]\nexit_code = []", "small.toml:9: exit_code = [] allows no end"),
            (
                "[load]\nusers = 100\nmix = { fast = 100 }\n",
                "[[faults]]\nwhen = \"drain\"\nsignal = \"INT\"\n",
                "small.toml:3: a stop without [load]",
            ),
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
