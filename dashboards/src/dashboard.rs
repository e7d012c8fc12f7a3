//! The frame around the panels: rows of lines, each 24 columns wide, and what can be chosen at the top.

use serde_json::{Value, json};

use crate::{names, panel::Panel, query::of};

/// The columns of Grafana's grid.
pub(crate) const WIDTH: usize = 24;

/// Panels side by side.
pub(crate) struct Line {
    height: usize,
    panels: Vec<(usize, Panel)>,
}

/// Lines under a heading.
pub(crate) struct Row {
    title: &'static str,
    lines: Vec<Line>,
}

pub(crate) struct Dashboard {
    pub(crate) uid: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// Panels of this height side by side, each with its width; together they fill the line.
pub(crate) fn line<const N: usize>(height: usize, panels: [(usize, Panel); N]) -> Line {
    Line { height, panels: panels.into() }
}

pub(crate) fn row<const N: usize>(title: &'static str, lines: [Line; N]) -> Row {
    Row { title, lines: lines.into() }
}

/// The Prometheus that was chosen.
pub(crate) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Dashboard {
    /// Grafana's classic form.
    pub(crate) fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["winddown"],
            "schemaVersion": 41,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": { "from": "now-30m", "to": "now" },
            "refresh": "10s",
            "timepicker": { "refresh_intervals": ["1s", "5s", "10s", "30s", "1m", "5m"] },
            "links": [others()],
            "templating": { "list": [source(), job(), instance()] },
            "annotations": { "list": [shutdowns()] },
            "panels": self.panels(),
        })
    }

    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut y) = (Vec::new(), 0);
        for row in &self.rows {
            panels.push(json!({
                "id": panels.len() + 1,
                "type": "row",
                "title": row.title,
                "collapsed": false,
                "gridPos": { "x": 0, "y": y, "w": WIDTH, "h": 1 },
                "panels": [],
            }));
            y += 1;
            for line in &row.lines {
                let mut x = 0;
                for (width, panel) in &line.panels {
                    let place = json!({ "x": x, "y": y, "w": width, "h": line.height });
                    panels.push(panel.json(panels.len() + 1, place));
                    x += width;
                }
                y += line.height;
            }
        }
        panels
    }
}

/// The other dashboards, with the same instances and the same range.
fn others() -> Value {
    json!({
        "type": "dashboards", "title": "winddown", "tags": ["winddown"], "icon": "external link", "tooltip": "", "url": "",
        "asDropdown": false, "includeVars": true, "keepTime": true, "targetBlank": false,
    })
}

fn source() -> Value {
    json!({
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        "current": { "text": "", "value": "" }, "hide": 0, "includeAll": false, "multi": false, "options": [], "refresh": 1, "regex": "",
    })
}

fn job() -> Value {
    labels("job", "Job", &format!("label_values({}, job)", names::LIFECYCLE_PHASE))
}

fn instance() -> Value {
    labels("instance", "Instance", &format!(r#"label_values({}{{job=~"$job"}}, instance)"#, names::LIFECYCLE_PHASE))
}

/// All of them, unless some are chosen. Looked up again when the range changes, so that those that have gone are there.
fn labels(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "datasource": datasource(),
        "definition": query, "query": { "qryType": 1, "query": query, "refId": name },
        "multi": true, "includeAll": true, "allValue": ".+", "current": { "text": ["All"], "value": ["$__all"] },
        "hide": 0, "options": [], "refresh": 2, "regex": "", "sort": 1,
    })
}

/// A mark where each stop began. The time is the metric's value: seconds, of which Grafana wants milliseconds. A stop may be
/// over between two points of a graph, hence the highest.
fn shutdowns() -> Value {
    let expression = format!("max_over_time({}[$__rate_interval]) * 1000 > 0", of(names::SHUTDOWN_STARTED));
    json!({
        "name": "Shutdowns", "enable": true, "hide": false, "iconColor": "orange", "datasource": datasource(),
        "target": { "refId": "Anno", "expr": expression, "interval": "1s" }, "useValueForTime": true,
        "titleFormat": "shutdown", "textFormat": "{{instance}}", "tagKeys": "instance",
    })
}
