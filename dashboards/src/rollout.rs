//! The dashboard of a rolling restart: the instances beside each other.

use serde_json::json;

use crate::{
    dashboard::{Dashboard, Row, line, row},
    names,
    panel::{Panel, Unit, value},
    query::{Query, count, highest, max, of, rate, sum, with},
    rows::{now, phases, requests},
};

pub(crate) fn rollout() -> Dashboard {
    Dashboard {
        uid: "winddown-rollout",
        title: "winddown / Roll-out",
        description: "A rolling restart, its instances beside each other: how far it is, whether it loses anything, and which \
                      instance is unlike the others.",
        rows: vec![how_far(), what_clients_see(), instances()],
    }
}

fn how_far() -> Row {
    row(
        "How far",
        [
            line(4, [(6, now::lost()), (6, now::ready()), (6, stopped()), (6, failed())]),
            line(9, [(24, timeline())]),
            line(7, [(12, ready()), (12, versions())]),
        ],
    )
}

fn timeline() -> Panel {
    phases::timeline(
        "Phases",
        "The phase of each instance. In a good roll-out there is always enough green below each other.",
    )
}

fn stopped() -> Panel {
    let about = "Instances that began to stop in the range.";
    let stopped = format!(
        "count({} > 0) or 0 * {}",
        highest(&of(names::SHUTDOWN_STARTED)),
        count("", &highest(&of(names::SHUTDOWN_STARTED)))
    );
    Panel::stat("Stops begun", Unit::Count, about).neutral().query(Query::instant("", stopped))
}

fn failed() -> Panel {
    let about = "Hooks that failed, panicked or timed out, and phases that overran their budget.";
    let failed = [names::HOOK_FAILURES, names::PHASE_TIMEOUTS].map(|metric| sum("", &highest(&of(metric))));
    Panel::stat("Failures", Unit::Count, about).none_is_good().query(Query::instant("", failed.join(" + ")))
}

fn ready() -> Panel {
    let about = "Instances that want traffic, and those that stop.";
    let in_phase = |phases: &str| sum("", &with(names::LIFECYCLE_PHASE, &format!("phase=~\"{phases}\"")));
    let stopping: Vec<_> = phases::of_a_stop().map(|phase| phase.to_string()).collect();
    Panel::lines("Instances", Unit::Count, about)
        .color("ready", "green")
        .color("starting", "blue")
        .color("stopping", "orange")
        .stacked()
        .stepped()
        .query(Query::range("ready", in_phase("running")))
        .query(Query::range("starting", in_phase("starting")))
        .query(Query::range("stopping", in_phase(&stopping.join("|"))))
}

fn versions() -> Panel {
    let about = "Instances of each version.";
    Panel::lines("Versions", Unit::Count, about)
        .stacked()
        .stepped()
        .query(Query::range("{{version}} {{revision}}", count("version, revision", &of(names::BUILD))))
}

fn what_clients_see() -> Row {
    row("What clients see", [line(8, [(8, answered()), (8, rejected()), (8, slowness())])])
}

fn answered() -> Panel {
    let about = "Requests answered, each second, by instance: what one gives up, the others must take.";
    let by_instance = sum("instance", &rate(&requests::answered()));
    Panel::lines("Answered", Unit::RequestsPerSecond, about).stacked().query(Query::range("{{instance}}", by_instance))
}

fn rejected() -> Panel {
    let about = "Requests answered with 503 by instances that drain. Many of them, and the balancer looks away too late: lengthen \
                 LAME_DUCK.";
    let rejected = sum("instance", &rate(&with(names::HTTP_REQUESTS_REJECTED, "reason=\"draining\"")));
    Panel::lines("Rejected", Unit::RequestsPerSecond, about)
        .mostly_zero(1.0)
        .query(Query::range("{{instance}}", rejected))
}

fn slowness() -> Panel {
    let about = "What nineteen of twenty requests took at the most, by instance. New ones are often slower at first.";
    let buckets = sum("le, instance", &rate(&requests::durations()));
    Panel::lines("Duration (p95)", Unit::Seconds, about)
        .query(Query::range("{{instance}}", format!("histogram_quantile(0.95, {buckets})")))
}

fn instances() -> Row {
    row("Instance by instance", [line(9, [(24, stops())]), line(8, [(12, drains()), (12, in_flight())])])
}

fn stops() -> Panel {
    let about = "The stop of each instance, as it was scraped: what it took, and what it did with requests. An instance that did not \
                 stop in the range has zeros.";
    let by = "job, instance";
    let phase = |phase: &str| max(by, &highest(&with(names::PHASE_DURATION, &format!("phase=\"{phase}\""))));
    let fate = |outcome: &str| max(by, &highest(&with(names::REQUESTS, &format!("outcome=\"{outcome}\""))));
    let queries = [
        phase("drain"),
        phase("background"),
        phase("release"),
        max(by, &highest(&of(names::IN_FLIGHT_AT_START))),
        fate("completed"),
        fate("aborted"),
        max(by, &highest(&of(names::LATE_REQUESTS))),
        max(by, &highest(&with(names::HTTP_REQUESTS_REJECTED, "reason=\"draining\""))),
        sum(by, &highest(&of(names::HOOK_FAILURES))),
    ];
    let names =
        ["drain", "background", "release", "in flight", "completed", "aborted", "late", "rejected", "hooks failed"];
    let panel = Panel::table("Stops", Unit::Count, about).none_is_good();
    let panel = queries.into_iter().fold(panel, |panel, query| panel.query(Query::table(query)));
    let values: Vec<_> = (0..names.len()).map(value).collect();
    let columns: Vec<_> =
        std::iter::once(("instance", "instance")).chain(values.iter().map(String::as_str).zip(names)).collect();
    let seconds = ["drain", "background", "release"];
    let panel = seconds
        .into_iter()
        .fold(panel.columns(&columns), |panel, name| panel.by_name(name, &[("unit", json!(Unit::Seconds.as_str()))]));
    panel.filled("aborted").filled("hooks failed")
}

fn drains() -> Panel {
    let about = "How long the drain of each instance took. One that is much longer than the others has a client that the others \
                 have not.";
    let drains = max("instance", &highest(&with(names::PHASE_DURATION, "phase=\"drain\"")));
    Panel::bars("Drains", Unit::Seconds, about).neutral().query(Query::instant("{{instance}}", drains))
}

fn in_flight() -> Panel {
    let about = "Requests in flight, by instance.";
    Panel::lines("Requests in flight", Unit::Count, about)
        .query(Query::range("{{instance}}", of(names::HTTP_ACTIVE_REQUESTS)))
}
