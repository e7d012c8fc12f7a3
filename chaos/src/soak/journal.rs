//! What every stop of a soak came to, a line of JSON each.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{
    classify::Counts,
    scenario::Scenario,
    stop::Stop,
    verdict::{Finding, Verdict},
};

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    lines: Vec<Line>,
}

/// Whose journal it is: its first line.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Header {
    schema: u32,
    scenario: String,
    seed: u64,
}

/// What a stop came to.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) verdict: Verdict,
    pub(super) reasons: Vec<String>,
    pub(super) in_flight: u64,
    pub(super) dropped: u64,
    pub(super) counts: Counts,
    pub(super) not_ready_ms: Option<f64>,
    pub(super) exit_ms: Option<f64>,
}

impl Journal {
    /// Opens the one at `path`, or begins it. That of another scenario is refused.
    pub(super) fn open(path: &Path, scenario: &Scenario) -> anyhow::Result<Self> {
        let header = Header { schema: 1, scenario: scenario.name.as_ref().to_owned(), seed: scenario.seed };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
        // A run that was killed in the middle of a line has not told that stop.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)?;
        file.seek(SeekFrom::End(0))?;

        let mut told = text.lines();
        let lines = match told.next() {
            None => {
                writeln!(file, "{}", serde_json::to_string(&header)?)?;
                Vec::new()
            }
            Some(first) => {
                let found: Header = serde_json::from_str(first).with_context(|| not_a_journal(path))?;
                anyhow::ensure!(
                    found == header,
                    "{} is of the scenario {} with seed {}: give another --folder for {} with seed {}",
                    path.display(),
                    found.scenario,
                    found.seed,
                    header.scenario,
                    header.seed
                );
                let lines = told.map(serde_json::from_str).collect::<Result<_, _>>();
                lines.with_context(|| not_a_journal(path))?
            }
        };
        Ok(Self { file, lines })
    }

    /// The stops that an earlier run has told.
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Tells one more.
    pub(super) fn append(&mut self, line: &Line) -> anyhow::Result<()> {
        let text = serde_json::to_string(line)? + "\n";
        self.file.write_all(text.as_bytes()).context("cannot write the journal of the soak")
    }
}

impl Line {
    pub(super) fn of(stop: &Stop, finding: Finding) -> Self {
        Self {
            number: stop.number,
            verdict: finding.verdict,
            reasons: finding.reasons,
            in_flight: stop.in_flight,
            dropped: stop.dropped(),
            counts: stop.counts.clone(),
            not_ready_ms: stop.not_ready_ms,
            exit_ms: stop.exit_ms,
        }
    }
}

fn not_a_journal(path: &Path) -> String {
    format!("{} is no journal of a soak: give another --folder", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(seed: u64) -> Scenario {
        let text = format!("name = \"s\"\nwhat = \"t\"\nseed = {seed}\n[load]\nusers = 9\nmix = {{ fast = 100 }}\n");
        Scenario::parse(&text, "s.toml".as_ref()).expect("it is a scenario")
    }

    fn line(number: u32) -> Line {
        let counts = Counts::new();
        let (verdict, reasons) = (Verdict::Pass, Vec::new());
        Line { number, verdict, reasons, in_flight: 7, dropped: 0, counts, not_ready_ms: None, exit_ms: Some(8.5) }
    }

    #[test]
    fn a_soak_goes_on_from_its_last_whole_line_and_no_other_takes_its_place() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("soak.jsonl");
        let mut journal = Journal::open(&path, &scenario(1)).expect("it can be begun");
        journal.append(&line(1)).expect("there is room");
        journal.append(&line(2)).expect("there is room");
        journal.file.write_all(b"{\"number\":3,").expect("there is room");
        drop(journal);

        let mut journal = Journal::open(&path, &scenario(1)).expect("it goes on");
        assert_eq!(journal.lines(), [line(1), line(2)]);
        journal.append(&line(3)).expect("there is room");
        drop(journal);
        assert_eq!(Journal::open(&path, &scenario(1)).expect("it goes on").lines().len(), 3);

        let error = Journal::open(&path, &scenario(2)).expect_err("it is another's").to_string();
        assert!(error.contains("with seed 1: give another --folder for s with seed 2"), "{error}");
    }
}
