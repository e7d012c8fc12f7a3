//! "What holds the stop?", as a log line every few seconds while a phase waits.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, interval_at};

use crate::{
    hook::HookStatus, http::in_flight::RequestStatus, inner::Inner, lifecycle::Phase,
    server::connection::ConnectionStatus, status, status::Status, tasks::TaskStatus,
};

/// From one line to the next, and from the begin of a phase to its first.
const EVERY: Duration = Duration::from_secs(2);

/// Says what the present phase waits for, until it is dropped.
pub(crate) async fn keep_saying(inner: Arc<Inner>) {
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    loop {
        ticks.tick().await;
        let status = status::live(&inner);
        if let Some(Waits { count, named }) = Waits::of(&status) {
            let (phase, left) = (status.phase, status.phase_left.unwrap_or_default());
            tracing::info!(%phase, phase_seconds_left = left, held_by = named, "{phase} waits for {count}; {left:.1} s left");
        }
    }
}

/// What a phase waits for.
struct Waits {
    /// How many of what.
    count: String,
    /// The oldest by name, and how many more there are.
    named: String,
}

impl Waits {
    /// `None` when it is only time that has to pass: the lame duck has all of its own, by design.
    fn of(status: &Status) -> Option<Self> {
        let hooks: Vec<_> = status.hooks_running.iter().filter(|hook| hook.phase == status.phase).collect();
        let (requests, connections, tasks) = match status.phase {
            Phase::Drain => (status.requests_in_flight, status.connections, 0),
            Phase::Background => (0, 0, status.tasks_running),
            _ => (0, 0, 0),
        };
        let counts =
            [(requests, "request"), (connections, "connection"), (tasks, "background task"), (hooks.len(), "hook")];
        let count: Vec<_> =
            counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| plural(count, what)).collect();
        let mut named: Vec<_> = hooks.into_iter().map(hook).collect();
        if requests > 0 {
            named.extend(status.requests.iter().map(request));
        } else if connections > 0 {
            named.extend(status.connections_without_request.iter().map(connection));
        }
        if tasks > 0 {
            named.extend(status.tasks.iter().map(task));
        }
        let more =
            (requests + tasks).saturating_sub(status.requests.len().min(requests) + status.tasks.len().min(tasks));
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        (!count.is_empty()).then(|| Self { count: count.join(", "), named: named.join("; ") })
    }
}

pub(crate) fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn request(request: &RequestStatus) -> String {
    let RequestStatus { method, route, path, peer, id, age, .. } = request;
    let route = route.as_ref().filter(|route| *route != path).map(|route| format!(" ({route})")).unwrap_or_default();
    format!("{method} {path}{route} of {peer}, id {id}, for {age:.1?}")
}

fn connection(ConnectionStatus { peer, age }: &ConnectionStatus) -> String {
    format!("connection of {peer} without a whole request, for {age:.1?}")
}

fn task(TaskStatus { name, age }: &TaskStatus) -> String {
    format!("task {name:?} for {age:.1?}")
}

fn hook(HookStatus { hook, age, left, .. }: &HookStatus) -> String {
    format!("hook {hook:?} for {age:.1?}, {left:.1?} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: Phase) -> Status {
        let request = |n: u64| RequestStatus {
            server: "public".into(),
            peer: "127.0.0.1:5312".into(),
            method: "GET".into(),
            route: Some("/work/{ms}".into()),
            path: format!("/work/{n}"),
            id: format!("r-{n}"),
            age: Duration::from_millis(4200),
        };
        let hook = |phase, name: &str| HookStatus {
            phase,
            hook: name.into(),
            at: Duration::from_secs(1),
            age: Duration::from_secs(3),
            left: Duration::from_secs(2),
        };
        Status {
            version: None,
            grace_period: Duration::from_secs(30),
            plan: Vec::new(),
            phase,
            in_phase: Duration::from_secs(4),
            phase_left: Some(7.0),
            left: Some(15.0),
            cause: None,
            connections: 23,
            connections_without_request: vec![ConnectionStatus {
                peer: "127.0.0.1:5313".into(),
                age: Duration::from_secs(6),
            }],
            requests_in_flight: 22,
            requests: (0..20).map(request).collect(),
            tasks_running: 1,
            tasks: vec![TaskStatus { name: "settle orders".into(), age: Duration::from_mins(1) }],
            task_panics: Vec::new(),
            hooks_running: vec![hook(Phase::Drain, "deregister"), hook(Phase::Background, "leader lease")],
            phases_done: Vec::new(),
            hooks_done: Vec::new(),
        }
    }

    #[test]
    fn the_drain_waits_for_requests_connections_and_its_own_hooks() {
        let Waits { count, named } = Waits::of(&status(Phase::Drain)).expect("it waits");
        assert_eq!(count, "22 requests, 23 connections, 1 hook");
        assert!(named.starts_with("hook \"deregister\" for 3.0s, 2.0s left; GET /work/0 (/work/{ms}) of 127.0.0.1:5312, id r-0, for 4.2s; "), "{named}");
        assert!(named.ends_with("id r-19, for 4.2s; and 2 more"), "{named}");
    }

    #[test]
    fn a_drain_without_requests_waits_for_connections_by_their_peers() {
        let status =
            Status { requests_in_flight: 0, connections: 1, hooks_running: Vec::new(), ..status(Phase::Drain) };
        let Waits { count, named } = Waits::of(&status).expect("it waits");
        assert_eq!(count, "1 connection");
        assert_eq!(named, "connection of 127.0.0.1:5313 without a whole request, for 6.0s");
    }

    #[test]
    fn the_background_phase_waits_for_tasks() {
        let Waits { count, named } = Waits::of(&status(Phase::Background)).expect("it waits");
        assert_eq!(count, "1 background task, 1 hook");
        assert_eq!(named, "hook \"leader lease\" for 3.0s, 2.0s left; task \"settle orders\" for 60.0s");
    }

    #[test]
    fn time_that_passes_by_design_is_nothing_to_tell() {
        assert!(Waits::of(&status(Phase::LameDuck)).is_none());
    }
}
