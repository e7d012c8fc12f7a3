//! The stop as one log line, wide and flat: for a log collector, as the table is for a person.
//!
//! Its field names are relied on by queries and alerts, and do not change. There are 32 at the most with the message, which is
//! what `tracing` takes.

use super::Report;
use crate::lifecycle::Phase;

/// How many hooks, requests or tasks are named in one field.
const NAMED: usize = 20;

impl Report {
    /// The target of the table that the log is told at the end, for people. Filter it out where nobody reads tables.
    pub const TABLE: &str = "winddown::table";

    /// The target of the line of fields that says the same to a log collector.
    pub const EVENT: &str = "winddown::stopped";

    /// Says in the log how the stop went: as a table, and as a line of fields.
    pub(crate) fn log(&self) {
        tracing::info!(target: Report::TABLE, "{self}");
        let hooks = self
            .hooks
            .iter()
            .map(|hook| format!("{} {:.3} s {}", hook.hook, hook.duration.as_secs_f64(), hook.outcome));
        let requests =
            self.cut_requests.iter().map(|cut| format!("{} {} of {}, id {}", cut.method, cut.path, cut.peer, cut.id));
        let overran = self.phases.iter().filter(|phase| phase.overran).map(|phase| phase.phase.to_string());
        tracing::info!(
            target: Report::EVENT,
            outcome = outcome(self.exit_code),
            exit_code = self.exit_code,
            cause = self.cause.word(),
            forced_by = self.forced_by.map(tracing::field::display),
            version = self.version,
            started_at = self.started_at,
            duration_seconds = self.duration.as_secs_f64(),
            lame_duck_seconds = self.seconds_of(Phase::LameDuck),
            drain_seconds = self.seconds_of(Phase::Drain),
            background_seconds = self.seconds_of(Phase::Background),
            release_seconds = self.seconds_of(Phase::Release),
            flush_seconds = self.seconds_of(Phase::Flush),
            phases_overran = listed(overran),
            requests_in_flight_at_start = self.requests.in_flight_at_start,
            requests_completed = self.requests.completed,
            requests_aborted = self.requests.aborted,
            requests_late = self.requests.late,
            requests_rejected = self.requests.rejected,
            requests_cut = self.requests.cut,
            cut_requests = listed(requests),
            connections_graceful = self.connections.graceful,
            connections_idle = self.connections.idle,
            connections_forced = self.connections.forced,
            connections_told_408 = self.connections.farewells,
            hooks = listed(hooks),
            hooks_failed = self.hooks.iter().filter(|hook| !hook.is_ok()).count(),
            tasks_cut = self.cut_tasks_total,
            cut_tasks = listed(self.cut_tasks.iter().map(|task| task.name.clone())),
            tasks_panicked = self.panicked_tasks,
            scrapers_due = self.last_scrape.map(|last| last.scrapers),
            scrapers_complete = self.last_scrape.map(|last| last.complete),
            "{}",
            self.headline()
        );
    }

    fn seconds_of(&self, phase: Phase) -> Option<f64> {
        self.phases.iter().find(|report| report.phase == phase).map(|report| report.duration.as_secs_f64())
    }
}

/// How it ended, in one of a few words, which label `last_shutdown_info`, too.
pub(crate) fn outcome(exit_code: u8) -> &'static str {
    match exit_code {
        0 => "clean",
        Report::FAILED => "failed",
        Report::CUT => "cut",
        Report::HOOK_FAILED => "hook_failed",
        _ => "forced",
    }
}

/// Names in one field, which is not there when there are none.
fn listed(names: impl Iterator<Item = String>) -> Option<String> {
    let first: Vec<_> = names.take(NAMED).collect();
    (!first.is_empty()).then(|| first.join("; "))
}
