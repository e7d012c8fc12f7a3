//! What the stops before left, told by the next start: nothing that a last scrape has missed is missing here.

use serde_json::json;

use crate::{
    dashboard::{Row, line, row},
    names,
    panel::{Panel, Unit, value},
    query::{Query, count, increase, last, max, of, sum, with},
};

pub(crate) fn history() -> Row {
    row(
        "History",
        [
            line(8, [(24, last_stops())]),
            line(7, [(8, outcomes()), (8, durations()), (8, phases())]),
            line(7, [(8, requests()), (8, unclean()), (8, final_scrape())]),
        ],
    )
}

fn last_stops() -> Panel {
    let about = "The stop before the run that is shown, for each instance, from the report that it left.";
    let by = "job, instance";
    let requests =
        |outcome: &str| max(by, &last(&with(names::LAST_SHUTDOWN_REQUESTS, &format!("outcome=\"{outcome}\""))));
    let queries = [
        max("job, instance, outcome, cause, version", &last(&of(names::LAST_SHUTDOWN))),
        format!("{} * 1000", max(by, &last(&of(names::LAST_SHUTDOWN_AT)))),
        max(by, &last(&of(names::LAST_SHUTDOWN_DURATION))),
        requests("completed"),
        requests("aborted"),
        requests("rejected"),
        max(by, &last(&of(names::LAST_SHUTDOWN_FINAL_SCRAPE))),
    ];
    let panel = Panel::table("Last stop of each instance", Unit::Count, about).none_is_good();
    let panel = queries.into_iter().fold(panel, |panel, query| panel.query(Query::table(query)));
    let values: Vec<_> = (0..7).map(value).collect();
    let yes_or_no = json!([{ "type": "value", "options": {
        "0": { "text": "missed", "color": "orange", "index": 0 }, "1": { "text": "yes", "color": "green", "index": 1 },
    } }]);
    panel
        .columns(&[
            ("instance", "instance"),
            (&values[1], "at"),
            ("outcome", "outcome"),
            ("cause", "cause"),
            ("version", "version"),
            (&values[2], "took"),
            (&values[3], "completed"),
            (&values[4], "aborted"),
            (&values[5], "rejected"),
            (&values[6], "final scrape"),
        ])
        .by_name("at", &[("unit", json!(Unit::Moment.as_str()))])
        .width("at", 170)
        .by_name("took", &[("unit", json!(Unit::Seconds.as_str()))])
        .filled("aborted")
        .by_name("final scrape", &[("mappings", yes_or_no), ("custom.cellOptions", json!({ "type": "color-text" }))])
}

fn outcomes() -> Panel {
    let about = "How the last stop of each running instance went.";
    let panel = Panel::lines("Outcomes", Unit::Count, about).stacked().stepped();
    panel.color("clean", "green").query(Query::range("{{outcome}}", count("outcome", &of(names::LAST_SHUTDOWN))))
}

fn durations() -> Panel {
    let about = "How long the last stops took, over the running instances.";
    let duration = of(names::LAST_SHUTDOWN_DURATION);
    let panel = Panel::lines("Stops took", Unit::Seconds, about);
    [("p50", 0.5), ("p95", 0.95)].into_iter().fold(panel, |panel, (name, quantile)| {
        panel.query(Query::range(name, format!("quantile({quantile}, {duration})")))
    })
}

fn phases() -> Panel {
    let about = "How long each phase of the last stops took, for nineteen of twenty running instances at the most.";
    let phases = format!("quantile by (phase) (0.95, {})", of(names::LAST_SHUTDOWN_PHASE_DURATION));
    Panel::lines("Phases took (p95)", Unit::Seconds, about).query(Query::range("{{phase}}", phases))
}

fn requests() -> Panel {
    let about = "What the last stops of the running instances did with requests, all together.";
    let panel = Panel::lines("Requests of the last stops", Unit::Count, about);
    let panel = panel.color("completed", "green").color("aborted", "red").color("rejected", "yellow");
    panel.query(Query::range("{{outcome}}", sum("outcome", &of(names::LAST_SHUTDOWN_REQUESTS))))
}

fn unclean() -> Panel {
    let about = "Runs that ended without a report, when the next start told of them.";
    let unclean = sum("instance", &increase(&of(names::UNCLEAN_EXITS)));
    let panel = Panel::lines("Unclean exits", Unit::Count, about)
        .mostly_zero(1.0)
        .custom("drawStyle", "bars")
        .custom("fillOpacity", 80);
    panel.query(Query::range("{{instance}}", unclean))
}

fn final_scrape() -> Panel {
    let about = "The share of the last stops whose last values Prometheus has. What is missing is true in this row all the same.";
    let complete = format!("avg({})", of(names::LAST_SHUTDOWN_FINAL_SCRAPE));
    Panel::lines("Final scrape complete", Unit::Share, about).set("max", 1).query(Query::range("complete", complete))
}
