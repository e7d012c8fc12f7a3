//! What the controls came to: a table, and the same as JSON.

use std::{
    fmt::{self, Write},
    fs,
    path::PathBuf,
};

use anyhow::Context;
use serde::Serialize;

use super::Sign;
use crate::{
    report::relative,
    verdict::{Finding, Verdict},
};

/// The version of the JSON form. A field may be added without a new one; none changes its meaning.
const SCHEMA: u32 = 1;

/// So much of what was seen is told in the table; the JSON has all.
const TOLD: usize = 90;

/// The controls, judged.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    started: String,
    /// The word.
    pub verdict: Verdict,
    clean: Vec<Row>,
    controls: Vec<Row>,
    #[serde(skip)]
    folder: PathBuf,
}

/// One control, or one clean load.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    what: String,
    expected: String,
    pub(super) outcome: Outcome,
    pub(super) tries: u32,
    /// The reasons of the last verdict.
    seen: Vec<String>,
}

/// What one came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A control that was seen as what it is.
    Caught,
    /// A control that was not.
    NotCaught,
    /// A clean load that passed.
    Passed,
    /// A clean load that did not.
    Failed,
    /// The machine, or the load, leaves it open.
    Inconclusive,
}

impl Row {
    pub(super) fn new(name: String, what: String, expected: String) -> Self {
        Self { name, what, expected, outcome: Outcome::Inconclusive, tries: 0, seen: Vec::new() }
    }

    /// One more try. One that tells nothing does not take back what an earlier one told.
    pub(super) fn add(&mut self, finding: &Finding, outcome: Outcome) {
        self.tries += 1;
        if outcome != Outcome::Inconclusive || self.outcome == Outcome::Inconclusive {
            self.outcome = outcome;
            self.seen.clone_from(&finding.reasons);
        }
    }

    fn seen(&self) -> String {
        // Each try is one stop, and which is in the name of its folder.
        let reasons = self.seen.iter().map(|reason| reason.split_once(": ").map_or(reason.as_str(), |(_, what)| what));
        let mut text = reasons.collect::<Vec<_>>().join("; ");
        if text.chars().count() > TOLD {
            text = text.chars().take(TOLD - 1).chain(['…']).collect();
        }
        if self.tries > 1 {
            let _ = write!(text, " ({} tries)", self.tries);
        }
        text
    }
}

impl Report {
    pub(super) fn new(started: String, clean: Vec<Row>, controls: Vec<Row>, folder: PathBuf) -> Self {
        let verdict = clean.iter().chain(&controls).map(|row| row.outcome.verdict()).max().unwrap_or(Verdict::Pass);
        Self { schema: SCHEMA, started, verdict, clean, controls, folder }
    }

    pub(super) fn save(&self) -> anyhow::Result<()> {
        let path = self.folder.join("controls.json");
        fs::write(&path, self.json()?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// As `controls.json` has it.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let rows = || self.clean.iter().chain(&self.controls);
        let width = |of: fn(&Row) -> &str| rows().map(|row| of(row).chars().count()).max().unwrap_or_default();
        let (name, what, expected) = (width(|row| &row.name), width(|row| &row.what), width(|row| &row.expected));
        let mut text =
            format!("  {:<name$}  {:<what$}  {:<expected$}  {:<12}  seen\n", "control", "wrong", "caught by", "");
        for row in rows() {
            let outcome = row.outcome.as_str();
            let line = format!(
                "  {:<name$}  {:<what$}  {:<expected$}  {outcome:<12}  {}",
                row.name,
                row.what,
                row.expected,
                row.seen()
            );
            text += line.trim_end();
            text.push('\n');
        }
        let caught = self.controls.iter().filter(|row| row.outcome == Outcome::Caught).count();
        let passed = self.clean.iter().filter(|row| row.outcome == Outcome::Passed).count();
        let _ = writeln!(
            text,
            "verdict   {}   {caught} of {} caught as what they are; without a fault {passed} of {} loads passed",
            self.verdict.as_str(),
            self.controls.len(),
            self.clean.len()
        );
        let _ = writeln!(text, "reports   {}", relative(&self.folder).display());
        text
    }
}

impl Outcome {
    const fn verdict(self) -> Verdict {
        match self {
            Self::Caught | Self::Passed => Verdict::Pass,
            Self::NotCaught | Self::Failed => Verdict::Fail,
            Self::Inconclusive => Verdict::Inconclusive,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::NotCaught => "NOT CAUGHT",
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => f.write_str(class.label()),
            Self::Reason(words) => f.write_str(words),
        }
    }
}
