//! The numbers that the service would have, and where each comes from.

use std::{
    collections::{HashMap, HashSet},
    error::Error as _,
    path::Path,
    sync::LazyLock,
    time::Duration,
};

use clap::{
    Command, CommandFactory, FromArgMatches,
    builder::Resettable,
    error::{ContextKind, ContextValue},
};
use winddown::Part;

use super::{
    finding::{Findings, Place},
    given::{Given, Origin},
};
use crate::{config::Config, final_metrics::Textfile};

/// Names within this many edits are taken for one name, misspelled.
const NEAR: usize = 2;

/// No setting has a name like that.
const LONG: usize = 64;

pub(super) struct Settings {
    pub(super) config: Config,
    origins: HashMap<String, Origin>,
}

impl Settings {
    /// Takes what was given, the first of equal names, and defaults for the rest and for what is wrong.
    pub(super) fn resolve(given: Vec<Given>, findings: &mut Findings) -> Self {
        let known: HashMap<_, _> = known().iter().map(|(name, flag)| (name.as_str(), flag)).collect();
        let (mut origins, mut seen) = (HashMap::new(), HashSet::new());
        let mut line = vec!["service".to_owned()];
        for Given { name, value, origin } in given {
            let Some(flag) = known.get(name.as_str()).filter(|_| seen.insert(name.clone())) else { continue };
            let word = format!("--{flag}={value}");
            match bare().try_get_matches_from(["service", &word]) {
                Ok(_) => {
                    line.push(word);
                    origins.insert(name, origin);
                }
                Err(error) => {
                    let place = if let Origin::File(place) = origin { Some(place) } else { None };
                    findings.error(place, format!("{name}: `{value}`: {}", reason(&error)));
                }
            }
        }
        // Each is sound by itself; what one of them asks of another can still be missing.
        if let Err(error) = quiet(Config::command()).try_get_matches_from(&line) {
            findings.error(None, reason(&error));
        }
        let matches = bare().try_get_matches_from(&line).expect("each was taken by itself, and none asks for another");
        let config = Config::from_arg_matches(&matches).expect("the matches are those of its own command");
        Self { config, origins }
    }

    /// Where a setting comes from; `None` when it is the default.
    pub(super) fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.get(name)
    }

    /// The line that sets it.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        match self.origin(name) {
            Some(Origin::File(place)) => Some(place.clone()),
            _ => None,
        }
    }

    /// `None` when the parts do not fit anyway.
    pub(super) fn lame_duck(&self) -> Option<Duration> {
        self.config.builder().plan().ok().map(|(budget, _)| budget.part(Part::LameDuck))
    }

    /// What belongs into tests, in a file that deploys.
    pub(super) fn check_deployment(&self, findings: &mut Findings) {
        if self.config.enable_faults {
            let why = "ENABLE_FAULTS lets everybody who can reach HTTP_ADDR break the service";
            findings.warning(self.place("ENABLE_FAULTS"), format!("{why}; drop it"));
        }
        if self.config.audit_log.is_some() {
            findings.note(
                self.place("AUDIT_LOG"),
                "AUDIT_LOG costs a system call for each step of a request; it is meant for tests",
            );
        }
    }

    /// What a start refuses besides the numbers, told without opening anything.
    pub(super) fn check_places(&self, findings: &mut Findings) {
        let config = &self.config;
        #[cfg(feature = "orders")]
        if let Err(refusal) = config.orders.database() {
            findings.error(self.place("DATABASE_URL"), said(&refusal.to_string()));
        }
        if let Err(refusal) = config.collector() {
            findings.error(self.place("OTEL_EXPORTER_OTLP_ENDPOINT"), said(&refusal.to_string()));
        }
        if let Err(refusal) = config.group() {
            findings.error(self.place("METRICS_PUSH"), said(&refusal.to_string()));
        }
        if config.http_addr == config.admin_addr {
            let text = format!("ADMIN_ADDR and HTTP_ADDR are both {}; give each its own", config.http_addr);
            findings.error(self.place("ADMIN_ADDR"), text);
        }
    }

    /// Whether the files that are read and written at a start are there, told without touching them.
    pub(super) fn check_files(&self) -> Findings {
        let mut findings = Findings::default();
        #[cfg(feature = "tls")]
        if let Err(refusal) = self.config.tls.tls() {
            findings.error(None, said(&refusal.to_string()));
        }
        let Config { shutdown_report, termination_message, audit_log, metrics_textfile, .. } = &self.config;
        let written = [
            ("SHUTDOWN_REPORT", shutdown_report.as_deref()),
            ("TERMINATION_MESSAGE", termination_message.as_deref()),
            ("AUDIT_LOG", audit_log.as_deref()),
            ("METRICS_TEXTFILE", metrics_textfile.as_ref().map(Textfile::path)),
        ];
        for (name, path) in written {
            let Some(path) = path else { continue };
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if path.is_dir() || !folder.is_dir() {
                let text =
                    format!("{name}={} cannot be written; choose a file in a folder that exists", path.display());
                findings.error(None, text);
            }
        }
        findings
    }
}

/// Every setting: its name in the environment, and its flag.
pub(super) fn known() -> &'static [(String, String)] {
    static KNOWN: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let both = |arg: &clap::Arg| Some((arg.get_env()?.to_str()?.to_owned(), arg.get_long()?.to_owned()));
        Config::command().get_arguments().filter_map(both).collect()
    });
    &KNOWN
}

pub(super) fn is_known(name: &str) -> bool {
    known().iter().any(|(known, _)| known == name)
}

/// The setting that somebody may have meant by a name that is none.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    if name == "RUST_LOG" || name.len() > LONG || is_known(name) {
        return None;
    }
    let upper = name.to_uppercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&upper, known);
    // GRACE_PERIOD_SECONDS means GRACE_PERIOD; SERVICE_HTTP_ADDR may well be somebody else's.
    let near = |known: &&str| distance(known) <= NEAR || upper.starts_with(&format!("{known}_"));
    let known = known().iter().map(|(known, _)| known.as_str());
    known.filter(near).min_by_key(|known| distance(known))
}

/// Settings that read no environment.
pub(super) fn quiet(command: Command) -> Command {
    command.mut_args(|arg| arg.env(Resettable::Reset))
}

/// Settings of which each can be read alone: from no environment, and without another that it asks for.
pub(super) fn bare() -> Command {
    quiet(Config::command()).mut_args(|arg| arg.requires(Resettable::Reset))
}

/// Why a command line was refused, on one line.
pub(super) fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue)
        && !valid.is_empty()
    {
        return format!("it is none of them; write {}", valid.join(" or "));
    }
    said(&error.to_string())
}

/// The first paragraph of an error, on one line.
pub(super) fn said(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}
