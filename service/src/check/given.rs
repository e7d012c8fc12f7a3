//! Settings that somebody gave: by flag, by the environment, in a file.

use std::{env, fmt};

use clap::{ArgMatches, parser::ValueSource};

use super::{
    finding::{Findings, Place},
    settings::{self, known},
};

/// A setting, by the name that it has in the environment.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Environment,
    File(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File(place) => place.fmt(f),
        }
    }
}

/// What was written on this command line.
pub(super) fn by_flag(matches: &ArgMatches) -> Vec<Given> {
    explicit(matches, &Origin::Flag)
}

/// What this environment has.
pub(super) fn by_environment() -> Vec<Given> {
    let given = |(name, _): &(String, String)| {
        let value = env::var_os(name)?.to_string_lossy().into_owned();
        Some(Given { name: name.clone(), value, origin: Origin::Environment })
    };
    known().iter().filter_map(given).collect()
}

/// What the command in a file says, without its program.
pub(super) fn by_command(words: &[String], place: &Place, findings: &mut Findings) -> Vec<Given> {
    let line = ["service"].into_iter().chain(words.iter().map(String::as_str));
    match settings::bare().try_get_matches_from(line) {
        Ok(matches) => explicit(&matches, &Origin::File(place.clone())),
        Err(error) => {
            let why = settings::reason(&error);
            findings.error(place.clone(), format!("the service does not understand its command: {why}"));
            Vec::new()
        }
    }
}

fn explicit(matches: &ArgMatches, origin: &Origin) -> Vec<Given> {
    let given = |(name, _): &(String, String)| {
        let id = name.to_lowercase();
        if matches.value_source(&id) != Some(ValueSource::CommandLine) {
            return None;
        }
        let value = matches.get_raw(&id)?.next_back()?.to_string_lossy().into_owned();
        Some(Given { name: name.clone(), value, origin: origin.clone() })
    };
    known().iter().filter_map(given).collect()
}
