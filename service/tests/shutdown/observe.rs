//! What a run of the service shows: by its admin port, in the files that it writes, on stderr.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use winddown::audit::{Event, Record};

use crate::{
    harness::{PATIENCE, Service},
    wire::{Response, Wire},
};

impl Service {
    /// Asks the admin port; `None` when it does not answer.
    pub(crate) fn admin_get(&self, path: &str) -> Option<Response> {
        let mut wire = Wire::connect(&self.admin).ok()?;
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")).ok()?;
        wire.response().ok()
    }

    /// Whether the admin port says so soon that the process lives.
    pub(crate) fn answers_within(&self, patience: Duration) -> bool {
        let Ok(mut wire) = Wire::connect(&self.admin) else { return false };
        wire.be_patient_for(patience);
        wire.get("/livez", "alive").is_ok()
    }

    pub(crate) fn phase(&self) -> Option<String> {
        let status: Value = serde_json::from_str(&self.admin_get("/shutdown")?.body).expect("/shutdown answers JSON");
        Some(status["phase"].as_str().expect("/shutdown has a phase").to_owned())
    }

    /// Waits for a phase that something else keeps from ending.
    pub(crate) fn await_phase(&self, phase: &str) {
        eventually(phase, || (self.phase()? == phase).then_some(()));
    }

    /// A count as a scrape shows it, by its name, and its labels if it has any.
    pub(crate) fn metric(&self, name: &str) -> Option<u32> {
        let text = self.admin_get("/metrics")?.body;
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().map(|value| value.parse().expect("a count is a whole number"))
    }

    pub(crate) fn await_active_requests(&self, count: u32) {
        let what = format!("{count} active requests");
        eventually(&what, || (self.metric("http_server_active_requests")? == count).then_some(()));
    }

    /// Waits until the handler of this request runs.
    pub(crate) fn await_entered(&self, wanted: &str) {
        let entered = |record: Record<'_>| matches!(record.event, Event::Enter { id, .. } if id == wanted);
        eventually(wanted, || {
            self.audit().lines().filter_map(|line| Record::parse(line).ok()).any(entered).then_some(())
        });
    }

    /// The audit log so far, without a line that is just being written.
    pub(crate) fn audit(&self) -> String {
        let mut text = fs::read_to_string(self.folder.path().join("audit.log")).unwrap_or_default();
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    }

    /// The ids of every request that a handler was given, in order.
    pub(crate) fn entered(&self) -> Vec<String> {
        let id = |line| match Record::parse(line).expect("every line of the audit log is a record").event {
            Event::Enter { id, .. } => Some(id.to_owned()),
            _ => None,
        };
        self.audit().lines().filter_map(id).collect()
    }

    pub(crate) fn report(&self) -> Value {
        let text = fs::read_to_string(self.folder.path().join("report.json")).expect("the run left a report");
        serde_json::from_str(&text).expect("the report is JSON")
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr.log")).expect("the log was made before the process")
    }

    /// A file in the folder that it ran in.
    pub(crate) fn left(&self, name: &str) -> String {
        let path = self.folder.path().join("work").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// What the process left in the folder it ran in, and its report and its audit log.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        let files =
            |folder| fs::read_dir(folder).expect("the folder is ours").map(|entry| entry.expect("as above").path());
        let own = ["stderr.log", "work"].map(|name| self.folder.path().join(name));
        files(self.folder.path().to_owned())
            .chain(files(self.folder.path().join("work")))
            .filter(|path| !own.contains(path))
            .collect()
    }

    /// For the reader of a failed test.
    pub(crate) fn explain(&self) {
        eprintln!("--- the service said\n{}\n--- its audit log\n{}\n---", tail(&self.stderr()), tail(&self.audit()));
    }
}

/// Looks again and again until there is something to see.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Measures a few times, and the best must be within `bound`: on a loaded machine one run measures the neighbours.
pub(crate) fn best(bound: Duration, what: &str, mut measure: impl FnMut() -> Duration) {
    const TRIES: usize = 4;

    let all: Vec<_> = (0..TRIES).map(|_| measure()).collect();
    println!("{what}: {all:?}");
    assert!(all.iter().any(|taken| *taken <= bound), "{what}: more than {bound:?} every time, {all:?}");
}

/// As much as helps a reader; a storm writes thousands of lines.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
