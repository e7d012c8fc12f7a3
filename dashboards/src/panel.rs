//! Panels: one picture each, with its title, its unit, and a sentence on what it answers.

use serde_json::{Map, Value, json};

use crate::{
    dashboard::datasource,
    look,
    query::{Query, reference},
};

/// How a number is written. The names are Grafana's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Whole things.
    Count,
    /// Processors, and parts of one.
    Cores,
    Seconds,
    PerSecond,
    RequestsPerSecond,
    /// 0 to 1.
    Share,
    Bytes,
    /// A moment, in milliseconds since 1970.
    Moment,
}

impl Unit {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Count => "none",
            Self::Cores => "short",
            Self::Seconds => "s",
            Self::PerSecond => "cps",
            Self::RequestsPerSecond => "reqps",
            Self::Share => "percentunit",
            Self::Bytes => "bytes",
            Self::Moment => "dateTimeAsIso",
        }
    }
}

/// One picture.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    kind: &'static str,
    title: &'static str,
    description: &'static str,
    options: Value,
    defaults: Map<String, Value>,
    overrides: Vec<Value>,
    queries: Vec<Query>,
    transformations: Vec<Value>,
}

impl Panel {
    fn new(kind: &'static str, title: &'static str, unit: Unit, description: &'static str, options: Value) -> Self {
        let panel = Self {
            kind,
            title,
            description,
            options,
            defaults: Map::new(),
            overrides: Vec::new(),
            queries: Vec::new(),
            transformations: Vec::new(),
        };
        panel.set("unit", unit.as_str())
    }

    /// Big numbers.
    pub(crate) fn stat(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new("stat", title, unit, description, look::stat()).set("color", json!({ "mode": "thresholds" }))
    }

    /// Lines over time.
    pub(crate) fn lines(title: &'static str, unit: Unit, description: &'static str) -> Self {
        let panel = Self::new("timeseries", title, unit, description, look::lines())
            .set("min", 0)
            .set("color", json!({ "mode": "palette-classic" }))
            .set("custom", look::line());
        // There is no half an instance, nor a line of the grid for it.
        if matches!(unit, Unit::Count) { panel.set("decimals", 0) } else { panel }
    }

    /// States over time, one band for each series.
    pub(crate) fn timeline(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new("state-timeline", title, unit, description, look::timeline())
            .set("color", json!({ "mode": "thresholds" }))
            .set("custom", json!({ "fillOpacity": 80, "lineWidth": 0 }))
    }

    /// Horizontal bars, one for each query.
    pub(crate) fn bars(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new("bargauge", title, unit, description, look::bars())
            .set("min", 0)
            .set("color", json!({ "mode": "thresholds" }))
    }

    /// One line for each set of labels, the queries side by side.
    pub(crate) fn table(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new("table", title, unit, description, look::table()).set("custom", look::cell())
    }

    /// How a distribution changes over time.
    pub(crate) fn heatmap(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new("heatmap", title, unit, description, look::heatmap(unit))
    }

    pub(crate) fn query(mut self, query: Query) -> Self {
        self.queries.push(query);
        self
    }

    /// Colours from these values on; the first is below all of them.
    pub(crate) fn steps(self, lowest: &str, steps: &[(f64, &str)]) -> Self {
        let first = json!({ "color": lowest, "value": null });
        let steps: Vec<_> = std::iter::once(first)
            .chain(steps.iter().map(|(value, color)| json!({ "color": color, "value": value })))
            .collect();
        self.set("thresholds", json!({ "mode": "absolute", "steps": steps }))
    }

    /// Green at zero, and red from one on.
    pub(crate) fn none_is_good(self) -> Self {
        self.steps("green", &[(1.0, "red")])
    }

    /// A number that is neither good nor bad.
    pub(crate) fn neutral(self) -> Self {
        self.steps("blue", &[])
    }

    /// What is shown when there is no answer.
    pub(crate) fn or_else(self, text: &str) -> Self {
        self.set("noValue", text)
    }

    /// Numbers that are shown as a word in a colour.
    pub(crate) fn words(self, words: impl IntoIterator<Item = (String, &'static str, &'static str)>) -> Self {
        let word = |(index, (value, text, color))| (value, json!({ "text": text, "color": color, "index": index }));
        let words: Map<_, _> = words.into_iter().enumerate().map(word).collect();
        self.set("mappings", json!([{ "type": "value", "options": words }]))
    }

    /// A setting that holds for all series.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.defaults.insert(key.into(), value.into());
        self
    }

    /// Another look than the kind of panel has.
    pub(crate) fn custom(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.defaults["custom"][key] = value.into();
        self
    }

    /// Areas on top of each other, so that the highest is the sum. Without lines: that of a series at zero would lie on the one below.
    pub(crate) fn stacked(self) -> Self {
        self.custom("stacking", json!({ "group": "A", "mode": "normal" }))
            .custom("fillOpacity", 70)
            .custom("lineWidth", 0)
    }

    /// Values that jump, and are nothing in between.
    pub(crate) fn stepped(self) -> Self {
        self.custom("lineInterpolation", "stepAfter")
    }

    /// Nothing but zeros on a good day: the axis goes up to here all the same, where Grafana would take 100 for them.
    pub(crate) fn mostly_zero(self, top: f64) -> Self {
        self.custom("axisSoftMax", top)
    }

    /// The cells of this column are filled with the colour of their value.
    pub(crate) fn filled(self, column: &str) -> Self {
        self.by_name(column, &[("custom.cellOptions", json!({ "type": "color-background", "mode": "basic" }))])
    }

    /// This column is so many pixels wide; those without a width share the rest.
    pub(crate) fn width(self, column: &str, pixels: u32) -> Self {
        self.by_name(column, &[("custom.width", json!(pixels))])
    }

    /// A setting of the panel itself.
    pub(crate) fn option(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.options[key] = value.into();
        self
    }

    /// A series of this name, or a column of a table, has its own settings.
    pub(crate) fn by_name(mut self, name: &str, properties: &[(&str, Value)]) -> Self {
        let properties: Vec<_> = properties.iter().map(|(id, value)| json!({ "id": id, "value": value })).collect();
        self.overrides.push(json!({ "matcher": { "id": "byName", "options": name }, "properties": properties }));
        self
    }

    /// A series of this name has this colour.
    pub(crate) fn color(self, name: &str, color: &str) -> Self {
        self.by_name(name, &[("color", json!({ "mode": "fixed", "fixedColor": color }))])
    }

    /// Makes one table of all queries, with these columns in this order: a label, or `Value #A` for the first query. Values that are
    /// not among them are not shown.
    pub(crate) fn columns(mut self, columns: &[(&str, &str)]) -> Self {
        let order: Map<_, _> =
            columns.iter().enumerate().map(|(i, (label, _))| ((*label).to_owned(), i.into())).collect();
        let names: Map<_, _> =
            columns.iter().map(|(label, name)| ((*label).to_owned(), (*name).to_owned().into())).collect();
        let own = ["Time", "__name__", "job"].map(str::to_owned).into_iter();
        let hidden = own.chain((0..self.queries.len()).map(value)).filter(|name| !names.contains_key(name));
        let hidden: Map<_, _> = hidden.map(|name| (name, true.into())).collect();
        self.transformations = vec![
            json!({ "id": "merge", "options": {} }),
            json!({
                "id": "organize",
                "options": { "excludeByName": hidden, "indexByName": order, "renameByName": names },
            }),
        ];
        self
    }

    /// The panel at its place.
    pub(crate) fn json(&self, id: usize, place: Value) -> Value {
        let targets: Vec<_> = self.queries.iter().enumerate().map(|(place, query)| query.json(place)).collect();
        let mut panel = json!({
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": place,
            "datasource": datasource(),
            "targets": targets,
            "fieldConfig": { "defaults": self.defaults, "overrides": self.overrides },
            "options": self.options,
        });
        if !self.transformations.is_empty() {
            panel["transformations"] = self.transformations.clone().into();
        }
        panel
    }
}

/// The column of the query of this place in its panel.
pub(crate) fn value(place: usize) -> String {
    format!("Value #{}", reference(place))
}
