//! What the service does all day.

use crate::{
    dashboard::{Row, line, row},
    names,
    panel::{Panel, Unit},
    query::{Query, increase, of, rate, sum, with},
};

pub(crate) fn requests() -> Row {
    row(
        "Requests",
        [
            line(8, [(8, by_status()), (8, errors()), (8, by_route())]),
            line(8, [(8, quantiles()), (8, slowest_routes()), (8, heatmap())]),
        ],
    )
}

/// How many requests were answered.
pub(crate) fn answered() -> String {
    of(&names::count(names::HTTP_REQUEST_DURATION))
}

/// How long they took.
pub(crate) fn durations() -> String {
    of(&names::buckets(names::HTTP_REQUEST_DURATION))
}

fn by_status() -> Panel {
    let about = "Requests answered, each second, by status.";
    let by_status = sum("http_response_status_code", &rate(&answered()));
    Panel::lines("Answered", Unit::RequestsPerSecond, about)
        .query(Query::range("{{http_response_status_code}}", by_status))
}

fn errors() -> Panel {
    let about =
        "The share of answers that were a 5xx. Requests that an instance rejected while it drained are not among them.";
    let (errors, all) =
        (with(&names::count(names::HTTP_REQUEST_DURATION), "http_response_status_code=~\"5..\""), answered());
    let all = sum("", &rate(&all));
    // Where no 5xx has ever been, there are none: that is 0, and not unknown.
    let share = format!("({} or 0 * {all}) / {all}", sum("", &rate(&errors)));
    let panel = Panel::lines("Errors", Unit::Share, about).color("5xx", "red").mostly_zero(0.01);
    panel.query(Query::range("5xx", share))
}

fn by_route() -> Panel {
    let about = "Requests answered, each second, by route. What no route fits is counted as unmatched.";
    let by_route = sum("http_request_method, http_route", &rate(&answered()));
    Panel::lines("Routes", Unit::RequestsPerSecond, about)
        .query(Query::range("{{http_request_method}} {{http_route}}", by_route))
}

fn quantile(quantile: f64, by: &str) -> String {
    format!("histogram_quantile({quantile}, {})", sum(by, &rate(&durations())))
}

fn quantiles() -> Panel {
    let about = "How long requests took, to the last byte of the answer; streams and WebSockets count as one long request. The buckets \
                 end at 10 s.";
    let panel = Panel::lines("Duration", Unit::Seconds, about);
    [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
        .into_iter()
        .fold(panel, |panel, (name, part)| panel.query(Query::range(name, quantile(part, "le"))))
}

fn slowest_routes() -> Panel {
    let about = "The five slowest routes, by what nineteen of twenty requests took at the most.";
    let slowest = format!("topk(5, {})", quantile(0.95, "le, http_request_method, http_route"));
    Panel::lines("Slowest routes (p95)", Unit::Seconds, about)
        .query(Query::range("{{http_request_method}} {{http_route}}", slowest))
}

fn heatmap() -> Panel {
    let about = "How many requests took how long.";
    let buckets = sum("le", &increase(&durations()));
    Panel::heatmap("Durations", Unit::Seconds, about).query(Query::heatmap(buckets))
}
