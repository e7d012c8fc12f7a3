//! Whether what is shown here can be believed.

use crate::{
    dashboard::{Row, line, row},
    names,
    panel::{Panel, Unit},
    query::{Query, of, rate, sum},
};

pub(crate) fn telemetry() -> Row {
    row("Telemetry", [line(7, [(8, spans()), (8, scrapes()), (4, scrapers()), (4, scrape_duration())])])
}

fn spans() -> Panel {
    let about = "Spans that reached the collector, and spans that were lost on the way, each second.";
    let panel = Panel::lines("Spans", Unit::PerSecond, about)
        .mostly_zero(1.0)
        .color("exported", "green")
        .color("failed", "red");
    panel.query(Query::range("{{outcome}}", sum("outcome", &rate(&of(names::SPANS)))))
}

fn scrapes() -> Panel {
    let about = "How often the metrics were asked for, by Prometheus and by others, each second.";
    Panel::lines("Scrapes", Unit::PerSecond, about)
        .query(Query::range("{{kind}}", sum("kind", &rate(&of(names::SCRAPES)))))
}

fn scrapers() -> Panel {
    let about = "Scrapers that come regularly: a stop waits for each of them once more, if its turn comes in time.";
    Panel::lines("Scrapers known", Unit::Count, about).query(Query::range("{{instance}}", of(names::SCRAPERS)))
}

fn scrape_duration() -> Panel {
    let about = "How long a scrape takes, as Prometheus sees it.";
    Panel::lines("Scrape duration", Unit::Seconds, about)
        .query(Query::range("{{instance}}", of(names::SCRAPE_DURATION)))
}
