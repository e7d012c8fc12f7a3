//! What must hold of every stop of a scenario.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;

use super::values::optional_duration;
use crate::classify::Class;

/// What must hold of every stop.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Fewer requests in flight at the signal prove nothing; more users make more. Defaults to 64.
    pub min_in_flight: u64,
    /// How the server ends, or a list of how it may; 128 + n for a signal n. Defaults to 0.
    pub exit_code: ExitCodes,
    /// From the signal to the exit, at most: every deadline has to hold. Defaults to the service's `GRACE_PERIOD`.
    #[serde(deserialize_with = "optional_duration")]
    pub exit_within: Option<Duration>,
    /// From the signal to the exit, at least: what holds the stop has to be seen to hold it. Defaults to no time.
    #[serde(deserialize_with = "optional_duration")]
    pub exit_after: Option<Duration>,
    /// Classes that otherwise fail, and here may occur.
    pub allow: BTreeSet<Class>,
    /// Classes of which every stop has at least one request, allowed or not: a stop without them has not met its fault.
    pub need: BTreeSet<Class>,
    /// Whether readiness is seen to fail. Defaults to true.
    pub not_ready: bool,
    /// Whether the service leaves its report. Not looked at when left out.
    pub report: Option<bool>,
}

/// Exit codes, each of which will do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMany")]
pub struct ExitCodes(Vec<i32>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(i32),
    Many(Vec<i32>),
}

impl Expect {
    /// Whether a request of this class, which otherwise fails, is right here.
    pub fn allows(&self, class: Class) -> bool {
        self.allow.contains(&class) || self.need.contains(&class)
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            min_in_flight: 64,
            exit_code: 0.into(),
            exit_within: None,
            exit_after: None,
            allow: BTreeSet::new(),
            need: BTreeSet::new(),
            not_ready: true,
            report: None,
        }
    }
}

impl ExitCodes {
    /// Whether `code` is among them.
    pub fn contains(&self, code: i32) -> bool {
        self.0.contains(&code)
    }

    /// In words: `0 or 10`.
    pub fn in_words(&self) -> String {
        self.0.iter().map(i32::to_string).collect::<Vec<_>>().join(" or ")
    }
}

impl From<i32> for ExitCodes {
    fn from(code: i32) -> Self {
        Self(vec![code])
    }
}

impl TryFrom<OneOrMany> for ExitCodes {
    type Error = &'static str;

    fn try_from(codes: OneOrMany) -> Result<Self, &'static str> {
        match codes {
            OneOrMany::One(code) => Ok(code.into()),
            OneOrMany::Many(codes) if codes.is_empty() => Err("exit_code = [] allows no end: give one code at least"),
            OneOrMany::Many(codes) => Ok(Self(codes)),
        }
    }
}
