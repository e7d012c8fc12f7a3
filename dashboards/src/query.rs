//! Queries, in terms of what is chosen at the top of the dashboard.
//!
//! When a process has ended, an instant query knows nothing of it any more: what a stop left behind is asked for by the
//! highest value in the range that is shown. A counter that only a stop moves starts at 0 with each process, so its highest
//! value is what the largest of these stops did.

use serde_json::{Value, json};

use crate::dashboard::datasource;

/// A metric of the chosen instances.
pub(crate) fn of(metric: &str) -> String {
    with(metric, "")
}

/// The same with more matchers, as `outcome="aborted"`.
pub(crate) fn with(metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { ", " };
    format!(r#"{metric}{{job=~"$job", instance=~"$instance"{comma}{matchers}}}"#)
}

/// The highest value in the range that is shown.
pub(crate) fn highest(selector: &str) -> String {
    format!("max_over_time({selector}[$__range])")
}

/// The lowest value in the range that is shown.
pub(crate) fn lowest(selector: &str) -> String {
    format!("min_over_time({selector}[$__range])")
}

/// The last value in the range that is shown.
pub(crate) fn last(selector: &str) -> String {
    format!("last_over_time({selector}[$__range])")
}

/// How quickly a counter rises, each second.
pub(crate) fn rate(selector: &str) -> String {
    format!("rate({selector}[$__rate_interval])")
}

/// How much a counter rises from one point of a graph to the next.
pub(crate) fn increase(selector: &str) -> String {
    format!("increase({selector}[$__rate_interval])")
}

pub(crate) fn sum(by: &str, of: &str) -> String {
    aggregate("sum", by, of)
}

pub(crate) fn max(by: &str, of: &str) -> String {
    aggregate("max", by, of)
}

pub(crate) fn count(by: &str, of: &str) -> String {
    aggregate("count", by, of)
}

fn aggregate(operator: &str, by: &str, of: &str) -> String {
    if by.is_empty() { format!("{operator}({of})") } else { format!("{operator} by ({by}) ({of})") }
}

/// What is asked, and in which form the answer is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    expression: String,
    legend: String,
    instant: bool,
    format: &'static str,
}

impl Query {
    /// A value for each point of a graph.
    pub(crate) fn range(legend: &str, expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), legend: legend.into(), instant: false, format: "time_series" }
    }

    /// One value, at the end of the range that is shown.
    pub(crate) fn instant(legend: &str, expression: impl Into<String>) -> Self {
        Self { instant: true, ..Self::range(legend, expression) }
    }

    /// One line for each series, its labels the columns.
    pub(crate) fn table(expression: impl Into<String>) -> Self {
        Self { format: "table", ..Self::instant("", expression) }
    }

    /// The buckets of a histogram.
    pub(crate) fn heatmap(expression: impl Into<String>) -> Self {
        Self { format: "heatmap", ..Self::range("{{le}}", expression) }
    }

    /// The query of this place in its panel: A, B, C.
    pub(crate) fn json(&self, place: usize) -> Value {
        json!({
            "refId": reference(place),
            "datasource": datasource(),
            "editorMode": "code",
            "expr": self.expression,
            "instant": self.instant,
            "range": !self.instant,
            "format": self.format,
            "legendFormat": self.legend,
        })
    }
}

/// How Grafana calls the queries of a panel.
pub(crate) fn reference(place: usize) -> String {
    char::from(b'A' + place as u8).to_string()
}
