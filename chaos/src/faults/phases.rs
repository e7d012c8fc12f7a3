//! The phases of a service, as its ledger tells them while it runs.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    time::Instant,
};

use winddown::audit::{Event, Record};

/// The phases that have begun so far.
pub(super) struct Phases {
    path: PathBuf,
    ledger: Option<BufReader<File>>,
    line: String,
    begun: BTreeMap<String, Instant>,
}

impl Phases {
    /// Those in the ledger at `path`, which need not be there yet.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), ledger: None, line: String::new(), begun: BTreeMap::new() }
    }

    /// When `phase` was seen to begin.
    pub(super) fn begun(&mut self, phase: &str) -> io::Result<Option<Instant>> {
        self.read_on()?;
        Ok(self.begun.get(phase).copied())
    }

    fn read_on(&mut self) -> io::Result<()> {
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            none => none.insert(BufReader::new(File::open(&self.path)?)),
        };
        // What has no newline yet stays, and is read on next time.
        while ledger.read_line(&mut self.line)? > 0 && self.line.ends_with('\n') {
            if let Ok(Record { event: Event::Phase(phase), .. }) = Record::parse(self.line.trim_end()) {
                self.begun.entry(phase.to_owned()).or_insert_with(Instant::now);
            }
            self.line.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_phase_has_begun_when_its_line_is_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("audit.log");
        let mut ledger = File::create(&path).expect("a new file can be made");
        let mut phases = Phases::of(&path);
        let mut write = |text: &str| ledger.write_all(text.as_bytes()).expect("there is room");

        let record = |phase| Record { at: 7, event: Event::Phase(phase) };
        let lines = format!("{}\n{}", record("lame_duck"), record("drain"));
        write(&lines);
        assert!(phases.begun("drain").expect("it can be read").is_none(), "its line may go on");
        assert!(phases.begun("lame_duck").expect("it can be read").is_some());
        write("\n");
        assert!(phases.begun("drain").expect("it can be read").is_some());
    }
}
