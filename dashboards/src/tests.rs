//! What holds of both dashboards, and of the rules.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{dashboard::WIDTH, files, names, promql, rollout::rollout, service::service};

fn dashboards() -> [Value; 2] {
    [service().json(), rollout().json()]
}

/// Every panel but the headings.
fn panels() -> Vec<Value> {
    let all = dashboards().into_iter().flat_map(|dashboard| dashboard["panels"].as_array().expect("a list").clone());
    all.filter(|panel| panel["type"] != "row").collect()
}

fn expressions() -> Vec<String> {
    let targets = panels().into_iter().flat_map(|panel| panel["targets"].as_array().expect("a list").clone());
    let annotations = dashboards()
        .into_iter()
        .flat_map(|dashboard| dashboard["annotations"]["list"].as_array().expect("a list").clone())
        .map(|annotation| annotation["target"].clone());
    targets.chain(annotations).map(|asks| asks["expr"].as_str().expect("text").to_owned()).collect()
}

fn asked_for() -> BTreeSet<String> {
    expressions().iter().flat_map(|expression| promql::metrics(expression)).collect()
}

/// The library's own, as its source spells them: a list here would forget the next one.
fn names_of_the_library() -> BTreeSet<String> {
    let source = include_str!("../../winddown/src/metrics.rs");
    let constant = |line: &str| Some(line.trim().strip_prefix("pub const ")?.split('"').nth(1)?.to_owned());
    source.lines().filter_map(constant).collect()
}

/// Whether the code knows this metric.
pub(crate) fn is_known(name: &str) -> bool {
    let histogram = name.strip_suffix("_bucket").or(name.strip_suffix("_count")).unwrap_or(name);
    names_of_the_library().contains(histogram) || names::OTHERS.contains(&name)
}

fn committed(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
}

#[test]
fn the_files_are_what_the_code_makes() {
    for (name, text) in files() {
        assert!(
            committed(name) == text,
            "dashboards/{name} is not what the code makes: renew it by cargo run -p dashboards"
        );
    }
}

#[test]
fn every_metric_of_the_library_is_on_a_dashboard() {
    let library = names_of_the_library();
    assert!(library.contains(names::LIFECYCLE_PHASE), "or this test sees nothing");
    let asked_for = asked_for();
    let missing: Vec<_> =
        library.iter().filter(|name| !asked_for.iter().any(|asked| asked.starts_with(*name))).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn every_metric_that_is_asked_for_is_a_constant() {
    for name in asked_for() {
        assert!(is_known(&name), "{name}");
    }
}

#[test]
fn every_query_is_about_what_was_chosen() {
    for expression in expressions() {
        let selectors = promql::metrics(&expression).len();
        assert!(expression.matches(r#"{job=~"$job", instance=~"$instance""#).count() >= selectors, "{expression}");
        assert!(!expression.contains("[5m]"), "ranges follow the graph: {expression}");
    }
}

#[test]
fn every_panel_says_what_it_is() {
    for panel in panels() {
        let text = |key: &str| panel[key].as_str().unwrap_or_default().to_owned();
        assert!(!text("title").is_empty(), "{panel}");
        assert!(text("description").ends_with('.'), "{panel}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
        assert!(!panel["targets"].as_array().expect("a list").is_empty(), "{panel}");
        let core = ["stat", "timeseries", "state-timeline", "bargauge", "table", "heatmap", "text"];
        assert!(core.contains(&&*text("type")), "a plugin that may not be there: {panel}");
    }
}

#[test]
fn panels_neither_overlap_nor_leave_holes() {
    for dashboard in dashboards() {
        let panels = dashboard["panels"].as_array().expect("a list");
        let mut grid: Vec<[Option<u64>; WIDTH]> = Vec::new();
        for panel in panels {
            let id = panel["id"].as_u64().expect("a number");
            let of = |side: &str| panel["gridPos"][side].as_u64().expect("a number") as usize;
            let (left, right, bottom) = (of("x"), of("x") + of("w"), of("y") + of("h"));
            grid.resize(grid.len().max(bottom), [None; WIDTH]);
            for taken in grid[of("y")..bottom].iter_mut().flat_map(|line| &mut line[left..right]) {
                assert_eq!(taken.replace(id), None, "in the place of another: {panel}");
            }
        }
        let hole = grid.iter().position(|line| line.contains(&None));
        assert_eq!(hole, None, "a hole in this line of {}", dashboard["uid"]);
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "an id twice");
    }
}

#[test]
fn a_dashboard_can_be_provisioned_anywhere() {
    for dashboard in dashboards() {
        assert_eq!((&dashboard["schemaVersion"], &dashboard["editable"]), (&41.into(), &false.into()));
        assert!(dashboard["uid"].is_string() && dashboard.get("id").is_none(), "an id belongs to one Grafana");
        let variables = dashboard["templating"]["list"].as_array().expect("a list");
        let names: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().expect("text")).collect();
        assert_eq!(names, ["datasource", "job", "instance"]);
        let text = dashboard.to_string();
        let sources = text.matches(r#""datasource":{"#).count();
        assert_eq!(text.matches(r#""datasource":{"type":"prometheus","uid":"${datasource}"}"#).count(), sources);
    }
}
