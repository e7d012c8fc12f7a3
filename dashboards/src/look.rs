//! How each kind of panel looks, the same everywhere.

use serde_json::{Value, json};

use crate::panel::Unit;

/// The newest value of each series.
fn newest() -> Value {
    json!({ "calcs": ["lastNotNull"], "fields": "", "values": false })
}

fn tooltip(mode: &str) -> Value {
    json!({ "mode": mode, "sort": "desc" })
}

pub(crate) fn stat() -> Value {
    json!({
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": newest(),
        "showPercentChange": false,
        "textMode": "auto",
        "wideLayout": true,
    })
}

pub(crate) fn lines() -> Value {
    json!({
        "legend": { "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true },
        "tooltip": tooltip("multi"),
    })
}

pub(crate) fn line() -> Value {
    json!({
        "drawStyle": "line",
        "fillOpacity": 10,
        "lineInterpolation": "linear",
        "lineWidth": 2,
        "showPoints": "auto",
        "spanNulls": false,
        "stacking": { "group": "A", "mode": "none" },
    })
}

pub(crate) fn timeline() -> Value {
    json!({
        "alignValue": "center",
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
        "mergeValues": true,
        "rowHeight": 0.85,
        "showValue": "auto",
        "tooltip": tooltip("single"),
    })
}

/// Bars no thicker than this: Grafana heeds it only when sizes are set by hand.
pub(crate) fn bars() -> Value {
    json!({
        "displayMode": "basic",
        "legend": { "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": false },
        "maxVizHeight": 40,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": newest(),
        "showUnfilled": true,
        "sizing": "manual",
        "valueMode": "color",
    })
}

pub(crate) fn table() -> Value {
    json!({ "cellHeight": "sm", "frameIndex": 0, "showHeader": true })
}

/// Narrower than Grafana has them, or ten columns would need a wide screen.
pub(crate) fn cell() -> Value {
    json!({ "align": "auto", "minWidth": 80 })
}

pub(crate) fn heatmap(unit: Unit) -> Value {
    json!({
        "calculate": false,
        "cellGap": 1,
        "color": {
            "exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": false, "scale": "exponential",
            "scheme": "Oranges", "steps": 64,
        },
        "exemplars": { "color": "rgba(255,0,255,0.7)" },
        "filterValues": { "le": 1e-9 },
        "legend": { "show": true },
        "rowsFrame": { "layout": "auto" },
        "showValue": "never",
        "tooltip": { "mode": "single", "showColorScale": false, "yHistogram": false },
        "yAxis": { "axisPlacement": "left", "reverse": false, "unit": unit.as_str() },
    })
}
