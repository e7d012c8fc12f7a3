//! Every query of the dashboards and of the rules, put to a real Prometheus that has seen the real service on good days and on
//! bad ones. Each has to find something: where that takes a fault, the fault is made here.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use winddown::Address;

use crate::{
    handlers::{TIGHT, block_every_worker},
    harness::{PATIENCE, Service, Settings, Signal, free_ports},
    orders,
    prometheus::{Prometheus, Series, now},
    promql,
    wire::Wire,
};

const INTERVAL: Duration = Duration::from_secs(1);

#[test]
fn every_query_of_the_dashboards_and_the_rules_finds_something() {
    let rules = tempfile::tempdir().expect("a temporary folder can be made");
    copy_rules(rules.path());
    let Some(life) = Life::begin(rules.path()) else { return };
    life.never_starts();
    life.is_killed();
    life.hangs_when_it_stops();
    life.is_busy_and_stops_badly();
    life.ends_well();
    // The process is gone, and with it whatever an instant query would find by itself.
    life.prometheus.await_some("up == 0");

    let (names, mut empty) = (life.names(), Vec::new());
    for asked in asked_by_dashboards().into_iter().chain(life.asked_by_rules()) {
        let metrics = promql::metrics(&asked.expression);
        let unknown: Vec<_> = metrics.iter().filter(|metric| !names.contains(*metric)).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "nobody has such a metric: {asked:?}");
        let found = life.find(&asked.expression);
        if found.is_empty() {
            empty.push(format!("{}: {}", asked.by, asked.expression));
        }
        for label in asked.labels {
            let all_have_it = found.iter().all(|series| series.labels.contains_key(&label));
            assert!(all_have_it, "{} names a {label} that is not there: {found:?}", asked.by);
        }
    }
    assert!(empty.is_empty(), "these find nothing:\n{}", empty.join("\n"));
}

/// One query, by whom, and the labels that its legend shows.
#[derive(Debug)]
struct Asked {
    by: String,
    expression: String,
    labels: Vec<String>,
}

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// Rules that are evaluated every few minutes are evaluated every second here.
fn copy_rules(to: &Path) {
    for entry in fs::read_dir(dashboards().join("rules")).expect("the folder is in the repository") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let text = fs::read_to_string(&path).expect("it is text").replace("interval: 5m", "interval: 1s");
            fs::write(to.join(path.file_name().expect("it is a file")), text).expect("the folder is new");
        }
    }
}

fn asked_by_dashboards() -> Vec<Asked> {
    let files =
        fs::read_dir(dashboards()).expect("it is in the repository").map(|entry| entry.expect("as above").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let asked: Vec<_> = files
        .flat_map(|path| {
            let dashboard: Value =
                serde_json::from_slice(&fs::read(path).expect("it can be read")).expect("it is JSON");
            let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
            let targets = list(&dashboard["panels"]).into_iter().flat_map(move |panel| {
                let title = panel["title"].clone();
                list(&panel["targets"])
                    .into_iter()
                    .map(move |target| Asked::new(&title, &target, &target["legendFormat"]))
            });
            let marks = list(&dashboard["annotations"]["list"]);
            targets
                .chain(marks.into_iter().map(|mark| Asked::new(&mark["name"], &mark["target"], &mark["textFormat"])))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(asked.len() > 50, "or this test sees nothing");
    asked
}

impl Asked {
    fn new(by: &Value, query: &Value, legend: &Value) -> Self {
        let text = |of: &Value| of.as_str().expect("text").to_owned();
        let labels =
            text(legend).split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned())).collect();
        Self { by: by.to_string(), expression: text(&query["expr"]), labels }
    }
}

/// The service from one start to the next, at one address, and who watches it.
struct Life {
    addresses: (Address, Address),
    folder: TempDir,
    /// Nobody is there.
    collector: String,
    prometheus: Prometheus,
    since: f64,
}

impl Life {
    fn begin(rules: &Path) -> Option<Self> {
        let addresses = free_ports();
        Some(Self {
            prometheus: Prometheus::start(&addresses.1, INTERVAL, Some(rules))?,
            addresses,
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            collector: format!("http://{}", free_ports().0),
            since: now(),
        })
    }

    /// What it does leaves its report where the next one looks for it.
    fn spawn(&self, settings: Settings<'_>) -> Service {
        let report = self.folder.path().join("report.json").display().to_string();
        let kept = [("SHUTDOWN_REPORT", report.as_str()), ("FLUSH_TIMEOUT", "2s")];
        Service::spawn(self.addresses.clone(), &[&kept, settings].concat())
    }

    fn start(&self, settings: Settings<'_>) -> Service {
        let mut service = self.spawn(settings);
        service.await_ready().unwrap_or_else(|status| panic!("{status}:\n{}", service.stderr()));
        self.prometheus.await_some("lifecycle_phase{phase=\"running\"} == 1");
        service
    }

    /// Its database says nothing.
    fn never_starts(&self) {
        let silent = TcpListener::bind("127.0.0.1:0").expect("the kernel has a free port");
        let url = format!("postgres://{}/orders", silent.local_addr().expect("a bound socket has an address"));
        let mut service = self.spawn(&[("DATABASE_URL", &url)]);
        self.prometheus.await_some("lifecycle_phase{phase=\"starting\"} == 1");
        service.signal(Signal::TERM);
        service.expect_exit(0);
    }

    fn is_killed(&self) {
        let mut service = self.start(&[]);
        service.signal(Signal::KILL);
        assert_eq!(service.wait_exit(PATIENCE).status.code(), None);
        self.prometheus.await_some("up == 0");
    }

    /// Requests of every kind, no collector, and at the end one request that has to be cut.
    fn is_busy_and_stops_badly(&self) {
        let mut service = self.start(&[
            ("LAME_DUCK", "2s"),
            ("DRAIN_TIMEOUT", "2s"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.collector),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]);
        let http = service.http.clone();
        thread::scope(|scope| {
            // Until nobody listens any more.
            scope.spawn(|| {
                while let Ok(mut wire) = Wire::connect(&http) {
                    for path in ["/hello", "/nowhere", "/fault/panic", "/work/20", "/stream?chunks=2&every_ms=5"] {
                        let _ = wire.get(path, "busy");
                    }
                    let _ = wire.send(orders::post("order"));
                    let _ = wire.response();
                }
            });
            self.prometheus.await_some(
                "rate(http_server_request_duration_seconds_count{http_response_status_code=\"500\"}[4s]) > 0",
            );
            self.prometheus.await_some("rate(telemetry_spans_total{outcome=\"failed\"}[4s]) > 0");
            let mut finishes = service.in_flight("/work/2500", "finishes");
            let _is_cut = service.in_flight("/fault/never", "is-cut");
            service.signal(Signal::TERM);
            assert_eq!(finishes.response().expect("it finishes").status, 200);
            service.expect_exit(10);
        });
    }

    /// Every worker is blocked in the middle of a stop, and the watchdog ends it.
    fn hangs_when_it_stops(&self) {
        let mut service = self.start(&[&TIGHT[..], &[("GRACE_PERIOD", "8s"), ("LAME_DUCK", "5s")]].concat());
        service.signal(Signal::TERM);
        self.prometheus.await_some("shutdown_deadline_timestamp_seconds > 0");
        let _blocking = block_every_worker(&service);
        service.expect_exit(10);
    }

    /// After it has told of the stops before.
    fn ends_well(&self) {
        let mut service = self.start(&[]);
        let mut idle = service.idle("well");
        assert_eq!(idle.get("/work/1", "well-1").expect("it runs").status, 200);
        self.prometheus.await_some("count_over_time(lifecycle_phase{phase=\"running\"}[3s]) > 2");
        service.signal(Signal::TERM);
        service.expect_exit(0);
    }

    /// Every name that a scrape has brought, or a rule made.
    fn names(&self) -> BTreeSet<String> {
        let names = self.prometheus.api("label/__name__/values");
        names.as_array().expect("a list").iter().map(|name| name.as_str().expect("text").to_owned()).collect()
    }

    fn asked_by_rules(&self) -> Vec<Asked> {
        let groups = self.prometheus.api("rules")["groups"].take();
        let rules =
            groups.as_array().expect("a list").iter().flat_map(|group| group["rules"].as_array().expect("a list"));
        let asked: Vec<_> = rules
            .map(|rule| {
                assert_eq!(rule["health"], "ok", "{rule}");
                let expression = rule["query"].as_str().expect("text").to_owned();
                Asked { by: rule["name"].to_string(), expression, labels: Vec::new() }
            })
            .collect();
        assert!(asked.len() > 10, "or this test sees nothing");
        asked
    }

    /// What there was at some moment of this life; for a query that looks back, what there still is at its end.
    fn find(&self, expression: &str) -> Vec<Series> {
        let range = format!("{}s", (now() - self.since).ceil());
        let filled =
            [("$__range", range.as_str()), ("$__rate_interval", "4s"), ("$job", "service"), ("$instance", ".+")]
                .into_iter()
                .fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value));
        let found = if expression.contains("$__range") {
            self.prometheus.query(&filled)
        } else {
            self.prometheus.query_since(self.since, &filled)
        };
        found.unwrap_or_else(|refused| panic!("{}: {filled}", refused.0))
    }
}
