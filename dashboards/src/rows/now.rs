//! What is going on at this moment, for somebody who has just been woken up.

use super::phases;
use crate::{
    dashboard::{Line, Row, line, row},
    names,
    panel::{Panel, Unit},
    query::{Query, count, highest, last, lowest, of, rate, sum, with},
};

pub(crate) fn now() -> Row {
    row(
        "Now",
        [numbers(), line(7, [(24, timeline())]), line(7, [(8, requests()), (8, connections()), (8, rejected())])],
    )
}

fn numbers() -> Line {
    line(4, [(3, phase()), (4, time_left()), (4, lost()), (3, stopping()), (3, ready()), (4, unclean()), (3, build())])
}

fn phase() -> Panel {
    let about = "Where the instance is in its life; of several, the one that is furthest: one that stops shows here. Gone when \
                 no instance answers.";
    let panel = phases::named(Panel::stat("Phase", Unit::Count, about)).or_else("gone");
    panel.query(Query::instant("", phases::place("")))
}

fn time_left() -> Panel {
    let about =
        "Until the watchdog ends the process, whatever it still does; of several instances, the one with the least.";
    let left = format!("min(({}) - time())", stopping_only(names::SHUTDOWN_DEADLINE));
    let panel = Panel::stat("Time left", Unit::Seconds, about).set("decimals", 1).or_else("no stop");
    panel.steps("red", &[(2.0, "orange"), (10.0, "green")]).query(Query::instant("", left))
}

/// A moment of the stop that is under way; none without one, when the metric is 0.
fn stopping_only(metric: &str) -> String {
    format!("{} > 0", of(metric))
}

pub(crate) fn lost() -> Panel {
    let about = "Requests that were in flight when a stop of the range began, and got no whole answer: cut at a deadline, or left by \
                 their clients. Of several stops of one instance, the worst counts. The report and the log of the instance name them.";
    let lost = sum("", &highest(&with(names::REQUESTS, "outcome=\"aborted\"")));
    Panel::stat("Requests lost", Unit::Count, about).none_is_good().query(Query::instant("", lost))
}

fn stopping() -> Panel {
    let about = "Instances whose stop is under way.";
    let phases: Vec<_> = phases::of_a_stop().map(|phase| phase.to_string()).collect();
    let stopping = sum("", &with(names::LIFECYCLE_PHASE, &format!("phase=~\"{}\"", phases.join("|"))));
    let panel = Panel::stat("Stopping", Unit::Count, about).steps("green", &[(1.0, "orange")]).or_else("gone");
    panel.query(Query::instant("", stopping))
}

pub(crate) fn ready() -> Panel {
    let about = "Instances that want traffic.";
    let panel = Panel::stat("Ready", Unit::Count, about).steps("red", &[(1.0, "green")]).or_else("gone");
    panel.query(Query::instant("", sum("", &with(names::LIFECYCLE_PHASE, "phase=\"running\""))))
}

fn unclean() -> Panel {
    let about = "Runs that ended without a report, by SIGKILL, for want of memory, or with the machine, as far as the range goes. Each \
                 may have lost requests that nobody has counted.";
    // The count goes on from run to run: its rise is what happened.
    let (last, first) = (last(&of(names::UNCLEAN_EXITS)), lowest(&of(names::UNCLEAN_EXITS)));
    let panel = Panel::stat("Unclean exits", Unit::Count, about).none_is_good();
    panel.query(Query::instant("", sum("", &format!("{last} - {first}"))))
}

fn build() -> Panel {
    let about = "The version that runs; more than one during a roll-out.";
    let panel = Panel::stat("Build", Unit::Count, about).option("textMode", "name").neutral().or_else("gone");
    panel.query(Query::instant("{{version}} {{revision}}", count("version, revision", &of(names::BUILD))))
}

fn timeline() -> Panel {
    phases::timeline(
        "Phases",
        "The phase of each instance. It begins to stop at the first mark; behind the last colour the process is gone. A phase that \
         is shorter than the scrape interval may not show.",
    )
}

pub(crate) fn requests() -> Panel {
    let about = "Requests in flight, to the last byte of their answers.";
    let panel = Panel::lines("Requests in flight", Unit::Count, about);
    panel.query(Query::range("{{instance}}", of(names::HTTP_ACTIVE_REQUESTS)))
}

fn connections() -> Panel {
    let about = "Open connections, those of the admin port left out.";
    let panel = Panel::lines("Connections", Unit::Count, about);
    panel.query(Query::range("{{instance}}", of(names::HTTP_ACTIVE_CONNECTIONS)))
}

fn rejected() -> Panel {
    let about = "Requests answered with 503 and Retry-After: by an instance that drains, to a client that had not looked away \
                 yet, or by one that has too much to do. None of them was processed.";
    let rejected = sum("reason", &rate(&of(names::HTTP_REQUESTS_REJECTED)));
    Panel::lines("Rejected", Unit::RequestsPerSecond, about)
        .mostly_zero(1.0)
        .query(Query::range("{{reason}}", rejected))
}
