//! The live answer to "what holds the stop?", for a person and for a scrape.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    budget::Part,
    hook::{HookReport, HookStatus},
    http::in_flight::RequestStatus,
    inner::Inner,
    lifecycle::{Cause, Phase},
    metrics::Snapshot,
    report::{PhaseReport, seconds},
    tasks::{TaskPanic, TaskStatus},
};

/// How many requests are listed; the rest is a number.
const LISTED: usize = 20;

/// The phases of a stop, and the parts of the grace period that they have.
const PLAN: [(Phase, Part); 5] = [
    (Phase::LameDuck, Part::LameDuck),
    (Phase::Drain, Part::Drain),
    (Phase::Background, Part::Background),
    (Phase::Release, Part::Release),
    (Phase::Flush, Part::Flush),
];

/// What a process is doing right now.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The version of the program, if it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The present phase.
    pub phase: Phase,
    /// How long it has been in this phase.
    #[serde(rename = "phase_seconds", serialize_with = "seconds")]
    pub in_phase: Duration,
    /// What this phase still has; absent before a stop.
    #[serde(rename = "phase_seconds_left", skip_serializing_if = "Option::is_none")]
    pub phase_left: Option<f64>,
    /// What is left until the watchdog ends the process; absent before a stop.
    #[serde(rename = "seconds_left", skip_serializing_if = "Option::is_none")]
    pub left: Option<f64>,
    /// How long a stop may take in all, until the supervisor's SIGKILL.
    #[serde(rename = "grace_period_seconds", serialize_with = "seconds")]
    pub grace_period: Duration,
    /// The phases of a stop, in order, and how long each may take.
    pub plan: Vec<PlannedPhase>,
    /// Who asked for the stop; absent before one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Open connections, those of admin servers excluded.
    pub connections: usize,
    /// Requests in flight, to the end of their response bodies.
    pub requests_in_flight: usize,
    /// The 20 oldest of them.
    pub requests: Vec<RequestStatus>,
    /// Background tasks that run.
    pub tasks_running: usize,
    /// The 20 oldest of them.
    pub tasks: Vec<TaskStatus>,
    /// The first 20 background tasks that panicked.
    pub task_panics: Vec<TaskPanic>,
    /// Hooks that are at work.
    pub hooks_running: Vec<HookStatus>,
    /// Phases of the stop that are over.
    pub phases_done: Vec<PhaseReport>,
    /// Hooks that are over.
    pub hooks_done: Vec<HookReport>,
}

/// A phase as it is planned.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PlannedPhase {
    /// Which one.
    pub phase: Phase,
    /// How long it may take.
    #[serde(rename = "budget_seconds", serialize_with = "seconds")]
    pub budget: Duration,
}

/// The traffic servers' sums.
pub(crate) struct Traffic {
    pub(crate) connections: usize,
    pub(crate) requests: usize,
}

pub(crate) fn traffic(inner: &Inner) -> Traffic {
    let servers = inner.traffic_servers();
    Traffic {
        connections: servers.iter().map(|running| running.server.connections.len()).sum(),
        requests: servers.iter().map(|running| running.server.gate.len()).sum(),
    }
}

/// The oldest requests in flight on traffic servers, [`LISTED`] at the most. Among ten thousand, only those are written out.
fn oldest_requests(inner: &Inner) -> Vec<RequestStatus> {
    let servers = inner.traffic_servers();
    let mut requests: Vec<_> = servers.iter().flat_map(|running| running.server.connections.requests()).collect();
    requests.sort_unstable_by_key(|request| request.started);
    requests.iter().take(LISTED).map(|request| RequestStatus::of(request)).collect()
}

pub(crate) fn live(inner: &Inner) -> Status {
    let status = inner.lifecycle.status().clone();
    let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_secs_f64();
    let Traffic { connections, requests: requests_in_flight } = traffic(inner);
    let plan = PLAN.map(|(phase, part)| PlannedPhase { phase, budget: inner.budget.part(part) });
    Status {
        version: inner.records.version.clone(),
        grace_period: inner.budget.grace_period(),
        plan: plan.into(),
        phase: status.phase,
        in_phase: status.since.elapsed(),
        phase_left: status.deadline.map(left),
        left: status.stop.as_ref().map(|stop| left(stop.hard_deadline)),
        cause: status.stop.map(|stop| stop.cause),
        connections,
        requests_in_flight,
        requests: oldest_requests(inner),
        tasks_running: inner.tasks.len(),
        tasks: inner.tasks.oldest(),
        task_panics: inner.tasks.panics().1,
        hooks_running: inner.hooks.working(),
        phases_done: inner.found(|found| found.phases.clone()),
        hooks_done: inner.hooks.reports(),
    }
}

pub(crate) fn publish(inner: &Inner) {
    let status = inner.lifecycle.status().clone();
    let phases = inner.found(|found| found.phases.clone());
    let traffic = traffic(inner);
    Snapshot {
        status,
        phases: &phases,
        requests: inner.totals.requests(),
        connections: inner.totals.connections(),
        active_requests: traffic.requests,
        active_connections: traffic.connections,
        background_tasks: inner.tasks.len(),
        scrapes: &inner.scrapes,
    }
    .publish();
}
