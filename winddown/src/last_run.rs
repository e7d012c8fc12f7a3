//! What the last run left beside the report file, which the next start tells: nobody can scrape a process that is gone.
//!
//! The report is there after a stop in good order. The marker is there while a process runs, under a lock that the kernel lets
//! go of whatever ends the process. So a marker that nobody holds is one of a process that was killed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::Deserialize;

use crate::{
    report::{self, SCHEMA},
    sync::lock,
};

/// The part of a report that the next start shows.
#[derive(Debug, Deserialize)]
pub(crate) struct LastStop {
    schema: u32,
    #[serde(default)]
    pub(crate) version: Option<String>,
    pub(crate) cause: LastCause,
    exit_code: u8,
    pub(crate) started_at: f64,
    pub(crate) seconds: f64,
    pub(crate) phases: Vec<LastPhase>,
    pub(crate) requests: LastRequests,
    last_scrape: Option<LastScrapes>,
    #[serde(default)]
    unclean_exits: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LastCause {
    kind: String,
    signal: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LastPhase {
    pub(crate) phase: String,
    pub(crate) seconds: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LastRequests {
    pub(crate) completed: u64,
    pub(crate) aborted: u64,
    pub(crate) rejected: u64,
}

#[derive(Debug, Deserialize)]
struct LastScrapes {
    scrapers: usize,
    complete: usize,
}

impl LastStop {
    /// Reads what the last stop left. None is left before the first; one that cannot be understood is as good as none.
    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read(path).ok()?;
        let stop = serde_json::from_slice(&text).map_err(|error| error.to_string());
        let stop =
            stop.and_then(|stop: Self| if stop.schema == SCHEMA { Ok(stop) } else { Err("another schema".into()) });
        stop.inspect_err(|error| tracing::warn!(path = %path.display(), error, "the last report is not understood"))
            .ok()
    }

    /// How it ended, in one of a few words.
    pub(crate) fn outcome(&self) -> &'static str {
        report::outcome(self.exit_code)
    }

    /// Who asked for it: the signal, or the kind of cause.
    pub(crate) fn cause(&self) -> &str {
        self.cause.signal.as_deref().unwrap_or(&self.cause.kind)
    }

    /// Whether every scraper whose turn came had the final values, and one did come.
    pub(crate) fn final_scrape_complete(&self) -> bool {
        self.last_scrape.as_ref().is_some_and(|last| last.scrapers > 0 && last.complete == last.scrapers)
    }
}

/// What is known of the runs before this one, and the mark that this one runs.
#[derive(Debug, Default)]
pub(crate) struct LastRun {
    pub(crate) stop: Option<LastStop>,
    /// Runs that ended without a report, so far.
    pub(crate) unclean_exits: u64,
    marker: Option<Marker>,
}

#[derive(Debug)]
struct Marker {
    path: PathBuf,
    /// Ours, for as long as it is open.
    file: Mutex<Option<File>>,
}

impl LastRun {
    /// Looks at what lies beside the report file, and changes nothing.
    pub(crate) fn look(report: &Path) -> Self {
        let mut path = report.as_os_str().to_owned();
        path.push(".running");
        let path = PathBuf::from(path);
        let stop = LastStop::read(report);
        let unclean_exits = stop.as_ref().map_or(0, |stop| stop.unclean_exits);
        let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&path) else {
            let marker = Some(Marker { path, file: Mutex::default() });
            return Self { stop, unclean_exits, marker };
        };
        if !is_ours(&file) {
            // Another instance runs with the same report, or just ended, as in a handoff: the mark is its own, and this one has none.
            return Self { stop, unclean_exits, marker: None };
        }
        // A crash before the count was written counts, too.
        let before = count(&mut file).unwrap_or(unclean_exits);
        Self { stop, unclean_exits: before + 1, marker: Some(Marker { path, file: Mutex::new(Some(file)) }) }
    }

    /// The process runs: from now on it has to end in good order.
    pub(crate) fn begin(&self) {
        let Some(Marker { path, file }) = &self.marker else { return };
        let mut file = lock(file);
        match mark(path, file.take(), self.unclean_exits) {
            Ok(marked) => *file = marked,
            Err(error) => tracing::warn!(path = %path.display(), %error, "a crash of this run will not be counted"),
        }
    }

    /// The process ends in good order.
    pub(crate) fn settle(&self) {
        if let Some(Marker { path, file }) = &self.marker
            && let Some(held) = lock(file).take()
        {
            // While it is held: a start that found it free would count a crash.
            let _ = std::fs::remove_file(path); // what stays is counted: rather one too many than none
            drop(held);
        }
    }
}

/// Writes the count into the file that is ours, or into a new one. `None` if another instance was faster.
fn mark(path: &Path, ours: Option<File>, unclean_exits: u64) -> io::Result<Option<File>> {
    let ours = match ours {
        Some(_) => ours,
        None => {
            Some(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?).filter(is_ours)
        }
    };
    let Some(mut file) = ours else { return Ok(None) };
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{unclean_exits}")?;
    Ok(Some(file))
}

/// Takes the lock, of a file that is still in its folder: whoever held it before may have taken it away.
fn is_ours(file: &File) -> bool {
    file.try_lock().is_ok() && file.metadata().is_ok_and(|file| file.nlink() > 0)
}

fn count(file: &mut File) -> Option<u64> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests;
