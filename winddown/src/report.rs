//! What a stop did: typed, as JSON, as a table, as an exit code.

mod event;

use std::{
    fmt, io,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use serde::{Serialize, Serializer};

pub(crate) use self::event::outcome;
use crate::{
    hook::HookReport,
    http::in_flight::RequestStatus,
    lifecycle::{Cause, Phase},
    sabotage::{self, Fault},
    scrapes::LastScrape,
    server::close::ListenerReport,
    signal::{Forwarding, Signal},
    tasks::{TaskPanic, TaskStatus},
    totals::{ConnectionTotals, RequestTotals},
    waits::plural,
    watchdog::Watchdog,
};

/// The version of the JSON form. It grows when a key changes its meaning or goes.
pub(crate) const SCHEMA: u32 = 1;

/// What a stop did, and what it could not do.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    pub(crate) schema: u32,
    /// The version of the program, if it was told.
    pub version: Option<String>,
    /// Who asked.
    pub cause: Cause,
    /// The repeated signal that forced it, if one did.
    pub forced_by: Option<Signal>,
    /// T0, in seconds since 1970.
    pub started_at: f64,
    /// From T0 to now.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// What [`Report::exit_code`] says.
    pub(crate) exit_code: u8,
    /// Every phase that was gone through.
    pub phases: Vec<PhaseReport>,
    /// Counts of requests.
    pub requests: RequestTotals,
    /// The first 20 that were cut.
    pub cut_requests: Vec<RequestStatus>,
    /// Counts of connections.
    pub connections: ConnectionTotals,
    /// How each listener was closed.
    pub listeners: Vec<ListenerReport>,
    /// Every hook, also one that was given up, never began or came too late.
    pub hooks: Vec<HookReport>,
    /// How many background tasks were aborted.
    pub cut_tasks_total: usize,
    /// The 20 oldest of them.
    pub cut_tasks: Vec<TaskStatus>,
    /// How many background tasks, and turns of periodic ones, have panicked since the start.
    pub panicked_tasks: u64,
    /// The first 20 of them.
    pub task_panics: Vec<TaskPanic>,
    /// The wait for a last scrape; none when the stop did not come so far.
    pub last_scrape: Option<LastScrape>,
    /// Runs before this one that ended without a report, so far.
    pub unclean_exits: u64,
    /// What stands outside the runtime and outlives it: the hard deadline, and who listens for a signal that forces.
    #[serde(skip)]
    pub(crate) guards: Option<(Watchdog, Forwarding)>,
}

/// One phase of a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PhaseReport {
    /// Which one.
    pub phase: Phase,
    /// When it began, from T0.
    #[serde(rename = "at_seconds", serialize_with = "seconds")]
    pub at: Duration,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// How long it might have taken.
    #[serde(rename = "budget_seconds", serialize_with = "seconds")]
    pub budget: Duration,
    /// Its time ran out before its work was done.
    pub overran: bool,
}

impl Report {
    /// Failed to start, or a server failed.
    pub const FAILED: u8 = 1;
    /// Something was cut at a deadline.
    pub const CUT: u8 = 10;
    /// A hook failed or timed out; nothing was cut.
    pub const HOOK_FAILED: u8 = 11;
    /// The configuration was refused (`EX_CONFIG` of sysexits.h). Said by programs, never by a report.
    pub const CONFIG_REFUSED: u8 = 78;

    /// Sets the exit code, which follows from the rest.
    pub(crate) fn judged(mut self) -> Self {
        self.exit_code = self.judge();
        self
    }

    fn judge(&self) -> u8 {
        if self.cause.is_failure() || sabotage::is(Fault::WrongExitCode) {
            Self::FAILED
        } else if let Some(signal) = self.forced_by {
            128 + signal.number()
        } else if self.has_cut() {
            Self::CUT
        } else if self.hooks.iter().any(|hook| !hook.is_ok()) {
            Self::HOOK_FAILED
        } else {
            0
        }
    }

    fn has_cut(&self) -> bool {
        self.requests.cut > 0 || self.cut_tasks_total > 0 || self.connections.forced_by_the_stop > 0
    }

    /// 0 clean · 1 failed to start or a server failed · 10 something was cut at a deadline · 11 a hook failed or timed
    /// out, nothing was cut · 128 + n forced by a repeated signal n.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Writes the JSON form to `path`, all of it or nothing: into a file beside it first, which then takes its name.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let beside = beside(path);
        let written = std::fs::write(&beside, serde_json::to_vec_pretty(self)?);
        // On a full disk each restart would leave one more of them.
        written.and_then(|()| std::fs::rename(&beside, path)).inspect_err(|_| drop(std::fs::remove_file(&beside)))
    }
}

/// Whether a report could be written to `path`. Leaves nothing behind.
pub(crate) fn check_path(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let beside = beside(path);
    // A page: a disk that is full takes a file, and nothing into it.
    let written = std::fs::write(&beside, [b' '; 4096]);
    let removed = std::fs::remove_file(beside);
    written.and(removed)
}

/// A name that no other write has: the last words may come while the flush is writing.
fn beside(path: &Path) -> std::path::PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Relaxed)));
    name.into()
}

/// The exit code, for `main` to return. The watchdog stays armed on the way out: a runtime waits for its blocking
/// tasks when it is dropped, and one that hangs must not hold the process past the hard deadline.
impl From<Report> for ExitCode {
    fn from(report: Report) -> Self {
        let code = report.exit_code;
        // Both end with the process.
        std::mem::forget(report.guards);
        code.into()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        for PhaseReport { phase, duration, budget, overran, .. } in &self.phases {
            let note = if *overran { "  overran" } else { "" };
            writeln!(f, "  {phase:<11} {:>8} of {:>8}{note}", brief(*duration), brief(*budget))?;
        }
        let RequestTotals { in_flight_at_start, completed, aborted, late, rejected, cut } = self.requests;
        write!(f, "  requests    {in_flight_at_start} in flight: {completed} completed, {aborted} aborted; ")?;
        writeln!(f, "{late} late, {rejected} rejected, {cut} cut")?;
        let ConnectionTotals { graceful, idle, forced, farewells, .. } = self.connections;
        write!(f, "  connections {graceful} graceful, {idle} idle ({farewells} told 408), {forced} forced")?;
        if let Some(LastScrape { scrapers, complete, waited }) = self.last_scrape.filter(|last| last.scrapers > 0) {
            write!(f, "\n  scrapes     {complete} of {scrapers} due had the final values, waited {}", brief(waited))?;
        }
        for hook in self.hooks.iter().filter(|hook| !hook.is_ok()) {
            write!(f, "\n  hook        {}: {}", hook.hook, hook.outcome)?;
        }
        for request in &self.cut_requests {
            let RequestStatus { method, path, peer, id, age, .. } = request;
            write!(f, "\n  cut         {method} {path} of {peer}, id {id}, after {age:.1?}")?;
        }
        for task in &self.cut_tasks {
            write!(f, "\n  cut         task {}, after {:.1?}", task.name, task.age)?;
        }
        self.say_how_many_more(f)?;
        for TaskPanic { name, message } in &self.task_panics {
            write!(f, "\n  panicked    task {name}: {message}")?;
        }
        Ok(())
    }
}

impl Report {
    /// How it went, in one line.
    fn headline(&self) -> String {
        let verdict = match self.exit_code {
            0 => "clean",
            Self::FAILED => "failed",
            Self::CUT => "cut at a deadline",
            Self::HOOK_FAILED => "a hook failed",
            _ => "forced by a repeated signal",
        };
        format!("stopped in {:.3?} by {}: {verdict}, exit code {}", self.duration, self.cause, self.exit_code)
    }

    fn say_how_many_more(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = (self.requests.cut as usize).saturating_sub(self.cut_requests.len());
        let tasks = self.cut_tasks_total.saturating_sub(self.cut_tasks.len());
        for more in [(requests, "more request"), (tasks, "more task")].into_iter().filter(|(more, _)| *more > 0) {
            write!(f, "\n  cut         and {}", plural(more.0, more.1))?;
        }
        Ok(())
    }
}

/// A duration for a table: milliseconds up to a second, then seconds.
fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// Durations are JSON numbers of seconds.
pub(crate) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
