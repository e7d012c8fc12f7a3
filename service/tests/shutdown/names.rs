//! The metrics as dashboards and alerts rely on them: names, types, labels, and a zero where something is to be counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    harness::{Service, Signal},
    parts,
};

/// What there is from the first scrape on: name, type, and the values of its one label, if it has one. Hooks have two.
const FROM_THE_FIRST: &[(&str, &str, &[&str])] = &[
    ("background_tasks_active", "gauge", &[]),
    ("build_info", "gauge", &["revision=", "version="]),
    ("http_server_active_connections", "gauge", &[]),
    ("http_server_active_requests", "gauge", &[]),
    ("http_server_requests_rejected_total", "counter", &["reason=draining", "reason=overload"]),
    ("lifecycle_phase", "gauge", &PHASES),
    ("metrics_scrapers_known", "gauge", &[]),
    ("metrics_scrapes_total", "counter", &["kind=other", "kind=prometheus"]),
    ("shutdown_connections_closed_total", "counter", &["how=forced", "how=graceful", "how=idle"]),
    ("shutdown_deadline_timestamp_seconds", "gauge", &[]),
    #[cfg(feature = "orders")]
    (
        "shutdown_hook_failures_total",
        "counter",
        &["hook=database pool", "reason=error", "reason=panic", "reason=timeout"],
    ),
    ("shutdown_inflight_requests_at_start", "gauge", &[]),
    ("shutdown_late_requests_total", "counter", &[]),
    ("shutdown_phase_duration_seconds", "gauge", &PHASES_OF_THE_STOP),
    ("shutdown_phase_timeouts_total", "counter", &PHASES_OF_THE_STOP),
    ("shutdown_requests_total", "counter", &["outcome=aborted", "outcome=completed"]),
    ("shutdown_signals_total", "counter", &["signal=HUP", "signal=INT", "signal=QUIT", "signal=TERM"]),
    ("shutdown_started_timestamp_seconds", "gauge", &[]),
    ("telemetry_spans_total", "counter", &["outcome=exported", "outcome=failed"]),
    ("tokio_workers_count", "gauge", &[]),
    ("process_open_fds", "gauge", &[]),
    ("unclean_exits_total", "counter", &[]),
];

/// What a second run tells of the first.
const OF_THE_LAST: [(&str, &str, &[&str]); 6] = [
    ("last_shutdown_duration_seconds", "gauge", &[]),
    ("last_shutdown_final_scrape_complete", "gauge", &[]),
    ("last_shutdown_info", "gauge", &["cause=TERM", "outcome=clean", "version="]),
    ("last_shutdown_phase_duration_seconds", "gauge", &PHASES_OF_THE_STOP),
    ("last_shutdown_requests", "gauge", &["outcome=aborted", "outcome=completed", "outcome=rejected"]),
    ("last_shutdown_timestamp_seconds", "gauge", &[]),
];

/// What the first request makes, and what the first hook that has run.
const LATER: [&str; 2] = ["http_server_request_duration_seconds", "shutdown_hook_duration_seconds"];

const PHASES: [&str; 8] = [
    "phase=background",
    "phase=drain",
    "phase=flush",
    "phase=lame_duck",
    "phase=release",
    "phase=running",
    "phase=starting",
    "phase=stopped",
];

const PHASES_OF_THE_STOP: [&str; 5] =
    ["phase=background", "phase=drain", "phase=flush", "phase=lame_duck", "phase=release"];

/// One metric of a scrape.
#[derive(Debug, Default)]
struct Family {
    helps: usize,
    types: Vec<String>,
    labels: BTreeSet<String>,
    values: Vec<f64>,
}

#[test]
fn the_first_scrape_has_every_name_described_once_and_every_count_at_zero() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let report = folder.path().join("report.json").display().to_string();
    let mut service = Service::start(&[("SHUTDOWN_REPORT", &report)]);
    let first = scrape(&service);
    assert_has(&first, FROM_THE_FIRST);
    let counts = first.iter().filter(|(name, family)| family.types == ["counter"] && !name.starts_with("process_"));
    let counts =
        counts.filter(|(name, _)| !["metrics_scrapes_total", "tokio_total_busy_duration"].contains(&name.as_str()));
    for (name, Family { values, .. }) in counts {
        assert!(values.iter().all(|value| *value == 0.0), "{name}: {values:?}");
    }
    let (ours, listed): (BTreeSet<_>, BTreeSet<_>) = (
        first
            .keys()
            .map(String::as_str)
            .filter(|name| !name.starts_with("process_") && !name.starts_with("tokio_"))
            .collect(),
        FROM_THE_FIRST.iter().map(|(name, ..)| *name).collect(),
    );
    assert_eq!(ours.difference(&listed).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the table");

    drop(service.idle("one"));
    service.signal(Signal::TERM);
    service.expect_exit(0);
    let service = Service::start(&[("SHUTDOWN_REPORT", &report)]);
    drop(service.idle("two"));
    let second = scrape(&service);
    assert_has(&second, &OF_THE_LAST);
    assert_eq!(second[LATER[0]].types, ["histogram"]);
}

#[test]
fn promtool_finds_nothing_to_mend_in_a_scrape() {
    let Some(promtool) = parts::program("promtool", "prometheus") else { return };
    let service = Service::start(&[]);
    drop(service.idle("one"));
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().expect("the program is there");
    let text = service.admin_get("/metrics").expect("it answers").body;
    check.stdin.take().expect("it was asked for").write_all(text.as_bytes()).expect("it reads");
    let said = check.wait_with_output().expect("our own child can be waited for");
    let said = [said.stdout, said.stderr].concat();
    let said: Vec<_> =
        std::str::from_utf8(&said).expect("it speaks UTF-8").lines().filter(|line| !line.is_empty()).collect();
    // The runtime's have the names that tokio-metrics gives them, as others' dashboards know them.
    let known = |line: &&str| line.starts_with("tokio_");
    assert_eq!(said.into_iter().filter(|line| !known(line)).collect::<Vec<_>>(), Vec::<&str>::new());
}

fn assert_has(scrape: &BTreeMap<String, Family>, table: &[(&str, &str, &[&str])]) {
    for (name, kind, labels) in table {
        let family = scrape.get(*name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!((family.helps, &family.types[..]), (1, &[(*kind).to_owned()][..]), "{name}");
        for label in *labels {
            assert!(family.labels.iter().any(|own| own.starts_with(label)), "{name} without {label}: {family:?}");
        }
        assert!(!labels.is_empty() || family.labels.is_empty(), "{name}: {family:?}");
    }
}

fn scrape(service: &Service) -> BTreeMap<String, Family> {
    let text = service.admin_get("/metrics").expect("it answers").body;
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            families.entry(first_word(help).to_owned()).or_default().helps += 1;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type belongs to a name");
            families.entry(name.to_owned()).or_default().types.push(kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            // Those of a histogram have a part behind its name.
            let name =
                families.keys().find(|own| *own == name).or_else(|| families.keys().find(|own| name.starts_with(*own)));
            let name = name.unwrap_or_else(|| panic!("{series} is not described")).clone();
            let family = families.get_mut(&name).expect("it was just found");
            family.values.push(value.parse().expect("a value is a number"));
            let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
            family.labels.extend(labels.map(|label| label.replace('"', "")));
        }
    }
    families
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().expect("splitting yields something")
}
