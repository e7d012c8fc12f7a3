//! What a process can say of its stop at any moment: in its report, and in its last words.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{CutTasks, Found, Inner, Records};
use crate::{
    hook::HookStatus,
    lifecycle::Cause,
    metrics,
    report::{PhaseReport, Report, SCHEMA},
    termination,
};

impl Inner {
    /// Counts and names whatever is still in flight as cut.
    pub(crate) fn cut_requests(&self) {
        for running in self.traffic_servers() {
            running.server.connections.cut_requests(&self.totals);
        }
    }

    /// Counts and names the background tasks that still run as cut. Once: those that do not even go when they are aborted
    /// are the same.
    pub(crate) fn cut_tasks(&self) {
        let cut = CutTasks { total: self.tasks.len(), oldest: self.tasks.oldest() };
        self.found(|found| {
            if found.cut_tasks.total == 0 {
                found.cut_tasks = cut;
            }
        });
    }

    /// The report as it stands: final after the last phase, and true at any moment of a stop.
    pub(crate) fn report(&self) -> Option<Report> {
        let stop = self.lifecycle.status().stop.clone()?;
        let Found { phases, listeners, cut_tasks, last_scrape } = self.found(|found| found.clone());
        let (panicked_tasks, task_panics) = self.tasks.panics();
        let report = Report {
            schema: SCHEMA,
            version: self.records.version.clone(),
            unclean_exits: self.records.last_run.unclean_exits,
            exit_code: 0,
            guards: None,
            started_at: metrics::unix_seconds(stop.at),
            duration: stop.at.elapsed(),
            cause: stop.cause,
            forced_by: self.forced_by.get().copied(),
            phases,
            requests: self.totals.requests(),
            cut_requests: self.totals.cut_requests(),
            connections: self.totals.connections(),
            listeners,
            hooks: self.hooks.reports(),
            cut_tasks_total: cut_tasks.total,
            cut_tasks: cut_tasks.oldest,
            panicked_tasks,
            task_panics,
            last_scrape,
        };
        Some(report.judged())
    }

    /// Adds the phase that the process does not come out of, and the hooks that it does not finish.
    fn with_what_is_under_way(&self, mut report: Report) -> Report {
        let status = self.lifecycle.status().clone();
        if status.phase.is_of_the_stop() && report.phases.iter().all(|phase| phase.phase != status.phase) {
            let budget = status.deadline.map_or(Duration::ZERO, |deadline| deadline - status.since);
            let (phase, duration) = (status.phase, status.since.elapsed());
            let at = report.duration.saturating_sub(duration);
            report.phases.push(PhaseReport { phase, at, duration, budget, overran: duration > budget });
        }
        report.hooks.extend(self.hooks.working().into_iter().map(HookStatus::unfinished));
        report
    }

    /// Leaves what is said of the stop where it is wanted: the report in full, and its table for the supervisor.
    pub(crate) fn leave(&self, report: &Report) -> io::Result<()> {
        let told = self.records.termination_message.as_deref();
        let told = told.map_or(Ok(()), |path| termination::write(path, &report.to_string()));
        self.write_report(report).and(told)
    }

    /// Writes the report, and takes away the mark of a process that runs. A process that could not start must not overwrite what
    /// the last stop left.
    fn write_report(&self, report: &Report) -> io::Result<()> {
        let Records { report_file, last_run, .. } = &self.records;
        match report_file {
            Some(path) if !matches!(report.cause, Cause::StartFailed { .. }) => {
                let written = report.write(path);
                last_run.settle();
                written
            }
            _ => Ok(()),
        }
    }

    /// Says on standard error what there is to say, for the logger may need a worker that is blocked, and leaves the
    /// report. Its exit code is the one that the process ends with, whatever the report would come to by itself.
    pub(super) fn last_words(&self, what: &str, exit_code: u8) {
        self.cut_requests();
        self.cut_tasks();
        let report = self.report().map(|report| Report { exit_code, ..self.with_what_is_under_way(report) });
        // The report first: whoever reads standard error may be gone, or asleep.
        let written = report.as_ref().map_or(Ok(()), |report| self.leave(report));
        let mut stderr = io::stderr();
        let _ = writeln!(stderr, "winddown: in phase {}: {what}", self.lifecycle.status().phase);
        if let Some(report) = report {
            let _ = writeln!(stderr, "{report}");
        }
        if let Err(error) = written {
            let _ = writeln!(stderr, "winddown: the report cannot be written: {error}");
        }
    }
}
