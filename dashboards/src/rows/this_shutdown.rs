//! One stop, seen from its beginning to its end: choose its instance, and a range around its mark.

use serde_json::json;

use super::phases;
use crate::{
    dashboard::{Row, line, row},
    names,
    panel::{Panel, Unit, value},
    query::{Query, highest, max, of, rate, sum, with},
};

pub(crate) fn this_shutdown() -> Row {
    row(
        "This shutdown",
        [
            line(8, [(8, phase_durations()), (8, in_flight()), (8, time_left())]),
            line(8, [(8, fate()), (8, connections()), (8, hooks())]),
            line(4, [(6, overran()), (6, forced()), (6, failed_hooks()), (6, signals())]),
        ],
    )
}

/// The highest of all instances for each of these.
fn bars(panel: Panel, bars: impl IntoIterator<Item = (String, String)>) -> Panel {
    bars.into_iter().fold(panel, |panel, (name, of)| panel.query(Query::instant(&name, max("", &highest(&of)))))
}

fn phase_durations() -> Panel {
    let about = "How long each phase of the stop took, or has taken so far; of several instances, the slowest one's. The lame duck \
                 always takes all of its time.";
    let panel = Panel::bars("Phases of the stop", Unit::Seconds, about).neutral();
    bars(
        panel,
        phases::of_a_stop()
            .map(|phase| (phase.to_string(), with(names::PHASE_DURATION, &format!("phase=\"{phase}\"")))),
    )
}

fn in_flight() -> Panel {
    let about =
        "Everything that the drain and the background phase wait for. It should fall to zero before the deadline.";
    let panel = Panel::lines("What the stop waits for", Unit::Count, about);
    [
        ("requests", names::HTTP_ACTIVE_REQUESTS),
        ("connections", names::HTTP_ACTIVE_CONNECTIONS),
        ("tasks", names::BACKGROUND_TASKS),
    ]
    .into_iter()
    .fold(panel, |panel, (name, metric)| panel.query(Query::range(name, sum("", &of(metric)))))
}

fn time_left() -> Panel {
    let about = "Until the watchdog ends the process. A stop whose line comes near to zero has something that hangs: the admin \
                 port's /shutdown says what.";
    let left = format!("({} > 0) - time()", of(names::SHUTDOWN_DEADLINE));
    let panel =
        Panel::lines("Time to the deadline", Unit::Seconds, about).custom("thresholdsStyle", json!({ "mode": "area" }));
    panel.steps("red", &[(2.0, "transparent")]).query(Query::range("{{instance}}", left))
}

fn fate() -> Panel {
    let about = "What became of requests: those in flight when the stop began were completed or aborted; late ones came after it and \
                 were served; rejected ones came after the lame duck and were told to come again. Only aborted ones are lost.";
    let panel = Panel::bars("Requests", Unit::Count, about).neutral();
    let fate = [
        ("were in flight", of(names::IN_FLIGHT_AT_START)),
        ("completed", with(names::REQUESTS, "outcome=\"completed\"")),
        ("aborted", with(names::REQUESTS, "outcome=\"aborted\"")),
        ("late", of(names::LATE_REQUESTS)),
        ("rejected", with(names::HTTP_REQUESTS_REJECTED, "reason=\"draining\"")),
    ];
    let panel =
        fate.into_iter().fold(panel, |panel, (name, of)| panel.query(Query::instant(name, sum("", &highest(&of)))));
    let red_from_one = json!({
        "mode": "absolute", "steps": [{ "color": "green", "value": null }, { "color": "red", "value": 1 }],
    });
    panel.by_name("aborted", &[("thresholds", red_from_one)])
}

fn connections() -> Panel {
    let about = "How connections ended, each second: graceful when the client left or was told to, idle when it had nothing to say, \
                 forced when a deadline cut it.";
    let panel = Panel::lines("Connections closed", Unit::PerSecond, about);
    let panel = panel.color("graceful", "green").color("idle", "blue").color("forced", "red");
    panel.query(Query::range("{{how}}", sum("how", &rate(&of(names::CONNECTIONS_CLOSED)))))
}

fn hooks() -> Panel {
    let about = "Every hook that ran: its phase, how long it took, and how often it failed, panicked or timed out.";
    let panel = Panel::table("Hooks", Unit::Count, about).none_is_good();
    let duration = max("phase, hook", &highest(&of(names::HOOK_DURATION)));
    let failures = sum("hook", &highest(&of(names::HOOK_FAILURES)));
    let (duration_column, failures_column) = (value(0), value(1));
    panel
        .query(Query::table(duration))
        .query(Query::table(failures))
        .columns(&[("phase", "phase"), ("hook", "hook"), (&duration_column, "took"), (&failures_column, "failures")])
        .by_name("took", &[("unit", json!(Unit::Seconds.as_str()))])
        .filled("failures")
        .width("phase", 90)
        .width("took", 90)
        .width("failures", 90)
}

fn overran() -> Panel {
    let about = "Phases of a stop that needed more than their budget: what they waited for was cut.";
    let overran = sum("", &highest(&of(names::PHASE_TIMEOUTS)));
    Panel::stat("Phases over budget", Unit::Count, about).none_is_good().query(Query::instant("", overran))
}

fn forced() -> Panel {
    let about = "Connections that a deadline cut. Before a stop that is the time for a request's progress, in a stop the drain's.";
    let forced = sum("", &highest(&with(names::CONNECTIONS_CLOSED, "how=\"forced\"")));
    Panel::stat("Connections forced", Unit::Count, about).none_is_good().query(Query::instant("", forced))
}

fn failed_hooks() -> Panel {
    let about = "Hooks that failed, panicked or timed out. The exit code is 11 when nothing worse happened.";
    let failed = sum("", &highest(&of(names::HOOK_FAILURES)));
    Panel::stat("Hooks failed", Unit::Count, about).none_is_good().query(Query::instant("", failed))
}

fn signals() -> Panel {
    let about = "Stop signals that one process received. A second one, a second or more after the first, cancels what is left; a \
                 third ends the process.";
    let signals = max("", &sum("job, instance", &highest(&of(names::SIGNALS))));
    let panel = Panel::stat("Signals", Unit::Count, about).steps("green", &[(2.0, "orange"), (3.0, "red")]);
    panel.query(Query::instant("", signals))
}
