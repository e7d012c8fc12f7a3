//! Every metric of this crate: its name, what it means, and where its value comes from.
//!
//! Nothing on the path of a request touches the `metrics` facade but the duration histogram, whose handles are cached
//! (`http::timing`). All other values are counted in plain atomics and published at a scrape, by
//! [`Shutdown::publish_metrics`](crate::Shutdown::publish_metrics). With no recorder installed, all of it costs nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use tokio::time::Instant;

use crate::{
    hook::HookOutcome,
    last_run::LastRun,
    lifecycle::{Phase, Status},
    report::PhaseReport,
    scrapes::Scrapes,
    signal::Signal,
    totals::{ConnectionTotals, RequestTotals},
};

/// The names, which dashboards and alerts rely on. What each means is said where it is registered.
#[expect(missing_docs, reason = "the description that a scrape shows is the documentation")]
pub mod name {
    pub const LIFECYCLE_PHASE: &str = "lifecycle_phase";
    pub const SHUTDOWN_STARTED: &str = "shutdown_started_timestamp_seconds";
    pub const SHUTDOWN_DEADLINE: &str = "shutdown_deadline_timestamp_seconds";
    pub const PHASE_DURATION: &str = "shutdown_phase_duration_seconds";
    pub const PHASE_TIMEOUTS: &str = "shutdown_phase_timeouts_total";
    pub const SIGNALS: &str = "shutdown_signals_total";
    pub const IN_FLIGHT_AT_START: &str = "shutdown_inflight_requests_at_start";
    pub const REQUESTS: &str = "shutdown_requests_total";
    pub const LATE_REQUESTS: &str = "shutdown_late_requests_total";
    pub const CONNECTIONS_CLOSED: &str = "shutdown_connections_closed_total";
    pub const HOOK_DURATION: &str = "shutdown_hook_duration_seconds";
    pub const HOOK_FAILURES: &str = "shutdown_hook_failures_total";
    pub const HTTP_REQUESTS_REJECTED: &str = "http_server_requests_rejected_total";
    pub const HTTP_ACTIVE_REQUESTS: &str = "http_server_active_requests";
    pub const HTTP_ACTIVE_CONNECTIONS: &str = "http_server_active_connections";
    pub const HTTP_REQUEST_DURATION: &str = "http_server_request_duration_seconds";
    pub const BACKGROUND_TASKS: &str = "background_tasks_active";
    pub const SCRAPES: &str = "metrics_scrapes_total";
    pub const SCRAPERS: &str = "metrics_scrapers_known";
    pub const LAST_SHUTDOWN: &str = "last_shutdown_info";
    pub const LAST_SHUTDOWN_AT: &str = "last_shutdown_timestamp_seconds";
    pub const LAST_SHUTDOWN_DURATION: &str = "last_shutdown_duration_seconds";
    pub const LAST_SHUTDOWN_PHASE_DURATION: &str = "last_shutdown_phase_duration_seconds";
    pub const LAST_SHUTDOWN_REQUESTS: &str = "last_shutdown_requests";
    pub const LAST_SHUTDOWN_FINAL_SCRAPE: &str = "last_shutdown_final_scrape_complete";
    pub const UNCLEAN_EXITS: &str = "unclean_exits_total";
}

/// Describes every metric and registers the counters at zero: one that is born at 3 has an `increase()` of 0.
pub(crate) fn register(last: &LastRun) {
    describe_gauge!(name::LIFECYCLE_PHASE, "1 for the phase that the process is in, 0 for the others");
    describe_gauge!(name::SHUTDOWN_STARTED, "when the stop was asked for; 0 while none is under way");
    describe_gauge!(name::SHUTDOWN_DEADLINE, "when the watchdog ends the process; 0 while no stop is under way");
    describe_gauge!(name::PHASE_DURATION, "seconds that a phase of the stop has taken so far, final after it");
    describe_counter!(name::PHASE_TIMEOUTS, "phases of the stop that overran their budget");
    describe_counter!(name::SIGNALS, "stop signals received, repeats included");
    describe_gauge!(name::IN_FLIGHT_AT_START, "requests in flight when the stop was asked for");
    describe_counter!(name::REQUESTS, "fate of the requests that were in flight when the stop was asked for");
    describe_counter!(name::LATE_REQUESTS, "requests admitted after the stop was asked for");
    describe_counter!(name::CONNECTIONS_CLOSED, "connections ended, and how");
    describe_gauge!(name::HOOK_DURATION, "seconds that a hook took");
    describe_counter!(name::HOOK_FAILURES, "hooks that failed, panicked or timed out");
    describe_counter!(name::HTTP_REQUESTS_REJECTED, "requests answered 503 by admission");
    describe_gauge!(
        name::HTTP_ACTIVE_REQUESTS,
        "requests in flight, to the end of the response body or of the WebSocket"
    );
    describe_gauge!(name::HTTP_ACTIVE_CONNECTIONS, "open connections, admin excluded");
    describe_histogram!(name::HTTP_REQUEST_DURATION, "seconds from the request head to the end of the response body");
    describe_gauge!(name::BACKGROUND_TASKS, "background tasks that run");
    describe_counter!(name::SCRAPES, "times that the metrics were asked for, by Prometheus or by others");
    describe_gauge!(
        name::SCRAPERS,
        "scrapers that are known; those that come regularly get one more chance at the end"
    );
    describe_gauge!(name::LAST_SHUTDOWN, "1, labelled with how the last run was stopped, by whom, and its version");
    describe_gauge!(name::LAST_SHUTDOWN_AT, "when the stop of the last run was asked for");
    describe_gauge!(name::LAST_SHUTDOWN_DURATION, "seconds that the stop of the last run took");
    describe_gauge!(name::LAST_SHUTDOWN_PHASE_DURATION, "seconds that a phase of the last run's stop took");
    describe_gauge!(name::LAST_SHUTDOWN_REQUESTS, "fate of the requests of the last run's stop");
    describe_gauge!(
        name::LAST_SHUTDOWN_FINAL_SCRAPE,
        "1 if a scraper was due at the end of the last run, and all that were had the final values"
    );
    describe_counter!(name::UNCLEAN_EXITS, "runs that ended without a report: killed, or out of memory");
    for phase in Phase::ALL.into_iter().filter(Phase::is_of_the_stop) {
        counter!(name::PHASE_TIMEOUTS, "phase" => phase.as_str()).absolute(0);
        gauge!(name::PHASE_DURATION, "phase" => phase.as_str()).set(0.0);
    }
    for signal in Signal::ALL {
        counter!(name::SIGNALS, "signal" => signal.as_str()).absolute(0);
    }
    register_last_run(last);
}

/// What the last run left, which does not change any more.
fn register_last_run(last: &LastRun) {
    counter!(name::UNCLEAN_EXITS).absolute(last.unclean_exits);
    let Some(stop) = &last.stop else { return };
    let version = stop.version.clone().unwrap_or_else(|| "unknown".to_owned());
    let cause = stop.cause().to_owned();
    gauge!(name::LAST_SHUTDOWN, "outcome" => stop.outcome(), "cause" => cause, "version" => version).set(1);
    gauge!(name::LAST_SHUTDOWN_AT).set(stop.started_at);
    gauge!(name::LAST_SHUTDOWN_DURATION).set(stop.seconds);
    for phase in Phase::ALL.into_iter().filter(Phase::is_of_the_stop) {
        let found = stop.phases.iter().find(|last| last.phase == phase.as_str());
        let seconds = found.map_or(0.0, |last| last.seconds);
        gauge!(name::LAST_SHUTDOWN_PHASE_DURATION, "phase" => phase.as_str()).set(seconds);
    }
    let requests = &stop.requests;
    for (outcome, count) in
        [("completed", requests.completed), ("aborted", requests.aborted), ("rejected", requests.rejected)]
    {
        gauge!(name::LAST_SHUTDOWN_REQUESTS, "outcome" => outcome).set(count as f64);
    }
    gauge!(name::LAST_SHUTDOWN_FINAL_SCRAPE).set(f64::from(u8::from(stop.final_scrape_complete())));
}

pub(crate) fn register_hook(hook: &str) {
    for reason in ["error", "panic", "timeout"] {
        counter!(name::HOOK_FAILURES, "hook" => hook.to_owned(), "reason" => reason).absolute(0);
    }
}

pub(crate) fn signal(signal: Signal) {
    counter!(name::SIGNALS, "signal" => signal.as_str()).increment(1);
}

pub(crate) fn hook(phase: Phase, hook: &str, duration: Duration, outcome: &HookOutcome) {
    gauge!(name::HOOK_DURATION, "phase" => phase.as_str(), "hook" => hook.to_owned()).set(duration);
    let reason = match outcome {
        // A hook that was given up did not fail: whoever forced the stop wanted it so.
        HookOutcome::Ok | HookOutcome::Forced => return,
        HookOutcome::Error { .. } => "error",
        HookOutcome::Panic { .. } => "panic",
        HookOutcome::Timeout => "timeout",
    };
    counter!(name::HOOK_FAILURES, "hook" => hook.to_owned(), "reason" => reason).increment(1);
}

pub(crate) fn phase_timeout(phase: Phase) {
    counter!(name::PHASE_TIMEOUTS, "phase" => phase.as_str()).increment(1);
}

/// What is published at a scrape.
pub(crate) struct Snapshot<'a> {
    pub(crate) status: Status,
    pub(crate) phases: &'a [PhaseReport],
    pub(crate) requests: RequestTotals,
    pub(crate) connections: ConnectionTotals,
    pub(crate) active_requests: usize,
    pub(crate) active_connections: usize,
    pub(crate) background_tasks: usize,
    pub(crate) scrapes: &'a Scrapes,
}

impl Snapshot<'_> {
    pub(crate) fn publish(&self) {
        self.publish_lifecycle();
        let (requests, connections) = (&self.requests, &self.connections);
        gauge!(name::IN_FLIGHT_AT_START).set(requests.in_flight_at_start as f64);
        counter!(name::REQUESTS, "outcome" => "completed").absolute(requests.completed);
        counter!(name::REQUESTS, "outcome" => "aborted").absolute(requests.aborted);
        counter!(name::LATE_REQUESTS).absolute(requests.late);
        counter!(name::CONNECTIONS_CLOSED, "how" => "graceful").absolute(connections.graceful);
        counter!(name::CONNECTIONS_CLOSED, "how" => "idle").absolute(connections.idle);
        counter!(name::CONNECTIONS_CLOSED, "how" => "forced").absolute(connections.forced);
        counter!(name::HTTP_REQUESTS_REJECTED, "reason" => "draining").absolute(requests.rejected);
        counter!(name::HTTP_REQUESTS_REJECTED, "reason" => "overload").absolute(0);
        gauge!(name::HTTP_ACTIVE_REQUESTS).set(self.active_requests as f64);
        gauge!(name::HTTP_ACTIVE_CONNECTIONS).set(self.active_connections as f64);
        gauge!(name::BACKGROUND_TASKS).set(self.background_tasks as f64);
        let (prometheus, other) = self.scrapes.counts();
        counter!(name::SCRAPES, "kind" => "prometheus").absolute(prometheus);
        counter!(name::SCRAPES, "kind" => "other").absolute(other);
        gauge!(name::SCRAPERS).set(self.scrapes.len() as f64);
    }

    fn publish_lifecycle(&self) {
        let status = &self.status;
        for phase in Phase::ALL {
            gauge!(name::LIFECYCLE_PHASE, "phase" => phase.as_str()).set(f64::from(u8::from(phase == status.phase)));
        }
        let stop = status.stop.as_ref();
        gauge!(name::SHUTDOWN_STARTED).set(stop.map_or(0.0, |stop| unix_seconds(stop.at)));
        gauge!(name::SHUTDOWN_DEADLINE).set(stop.map_or(0.0, |stop| unix_seconds(stop.hard_deadline)));
        for phase in self.phases {
            gauge!(name::PHASE_DURATION, "phase" => phase.phase.as_str()).set(phase.duration);
        }
        if status.phase.is_of_the_stop() {
            gauge!(name::PHASE_DURATION, "phase" => status.phase.as_str()).set(status.since.elapsed());
        }
    }
}

/// A moment of the monotonic clock as seconds since 1970.
pub(crate) fn unix_seconds(at: Instant) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let instant = Instant::now();
    now + at.saturating_duration_since(instant).as_secs_f64() - instant.saturating_duration_since(at).as_secs_f64()
}
