//! The rules that Prometheus evaluates, in `rules/*.yml`, and their own tests, in `rules/tests/*.yml`.

#[expect(dead_code, reason = "it knows other parts, too")]
#[path = "../../service/tests/shutdown/parts.rs"]
pub(crate) mod parts;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{promql, tests::is_known};

/// Where the rules are, and where people read what to do.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
const GUIDE: &str = include_str!("../../docs/observability.md");

/// Every YAML file of a folder, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(FOLDER).join(folder)).expect("the folder is in the repository");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "yml")).collect::<BTreeSet<_>>().into_iter().collect()
}

fn texts(folder: &str) -> String {
    files(folder).iter().map(|path| fs::read_to_string(path).expect("it is text")).collect()
}

/// Each rule's lines, from its name to the next rule's.
fn rules() -> Vec<String> {
    let text = texts("").replace("- record: ", "\0record: ").replace("- alert: ", "\0alert: ");
    text.split('\0').skip(1).map(str::to_owned).collect()
}

/// What is behind `key` in a rule: on its line, or on the lines below that are indented further.
fn field(rule: &str, key: &str) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = rule.lines().skip_while(|line| !line.trim_start().starts_with(key));
    let first = lines.next()?;
    let below = lines.take_while(|line| indent(line) > indent(first)).map(str::trim);
    let first = first.trim_start()[key.len()..].trim().trim_start_matches(['|', '>']).trim_start_matches('-');
    Some(std::iter::once(first).chain(below).collect::<Vec<_>>().join(" ").trim().to_owned())
}

fn alerts() -> Vec<String> {
    rules().into_iter().filter(|rule| rule.starts_with("alert: ")).collect()
}

fn name(rule: &str) -> &str {
    rule.lines().next().and_then(|line| line.split(' ').nth(1)).expect("a rule begins with its name")
}

#[test]
fn every_metric_of_a_rule_is_a_constant_or_another_rule() {
    let recorded: BTreeSet<_> = rules().iter().map(|rule| name(rule).to_owned()).collect();
    for rule in rules() {
        let asked_for = promql::metrics(&field(&rule, "expr:").expect("a rule has an expression"));
        assert!(!asked_for.is_empty(), "{rule}");
        for metric in asked_for {
            let is_there = if metric.contains(':') { recorded.contains(&metric) } else { is_known(&metric) };
            assert!(is_there, "{metric} of {rule}");
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let section =
        GUIDE.split("\n## ").find(|section| section.starts_with("Alerts and rules")).expect("the guide has it");
    for alert in alerts() {
        let labels = field(&alert, "labels:").expect("an alert has labels");
        assert!(
            ["critical", "warning", "info"].iter().any(|it| labels.contains(&format!("severity: {it}"))),
            "{alert}"
        );
        for key in ["summary:", "description:"] {
            assert!(field(&alert, key).is_some_and(|text| !text.is_empty()), "{key} of {alert}");
        }
        assert_eq!(field(&alert, "runbook:").as_deref(), Some("docs/observability.md#alerts-and-rules"));
        assert!(section.contains(&format!("`{}`", name(&alert))), "docs/observability.md: {}", name(&alert));
    }
}

#[test]
fn every_alert_is_seen_to_fire_and_every_rule_is_asked_for() {
    let (tests, alerts) = (texts("tests"), texts(""));
    for rule in rules() {
        let fires = format!(r#"alertname="{}", alertstate="firing""#, name(&rule));
        let is_used = tests.contains(name(&rule)) || alerts.matches(name(&rule)).count() > 1;
        assert!(if rule.starts_with("alert") { tests.contains(&fires) } else { is_used }, "{}", name(&rule));
    }
}

#[test]
fn prometheus_takes_the_rules_and_they_pass_their_tests() {
    let Some(promtool) = parts::program("promtool", "prometheus") else { return };
    for (command, folder) in [("check", ""), ("test", "tests")] {
        let said = Command::new(&promtool).args([command, "rules"]).args(files(folder)).output().expect("it runs");
        let text = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(said.status.success() && text.contains("SUCCESS"), "{text}");
    }
}
