//! The final values leave without a scraper: what a real Pushgateway and a real node-exporter show when the process is gone.

use std::{collections::BTreeSet, fs, net::TcpListener, path::Path};

use crate::{
    beside::Beside,
    flush::{assert_costs_no_more_than, error, stop},
    harness::{Service, Settings, free_ports},
    parts,
    scrapes::{UNDER_LOAD, stale, stop_under_load},
    wire::Wire,
};

/// The traces fail, which whoever leaves behind them must know.
const NO_COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");

const GROUP: &str = "/metrics/job/service/instance/a";

#[test]
fn c35_real_pushgateway_has_the_final_values_of_a_stop_under_load() {
    let Some(gateway) = pushgateway() else { return };
    let url = format!("http://{}{GROUP}", gateway.http.address);
    let left_over = "left_over 1\n";
    let mut wire = Wire::connect(&gateway.http).expect("it listens");
    wire.send(format!("PUT {GROUP} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{left_over}", left_over.len()))
        .expect("it reads");
    assert_eq!(wire.response().expect("it answers").status, 200);
    let kept = |series: &str| value(&gateway.ask("/metrics").expect("it runs").1, series);
    let of_group = |name: &str| format!("{name}{{job=\"service\",instance=\"a\"}}");

    // The control: nobody pushes, and the group keeps what it had.
    stop_under_load(&mut Service::start(&UNDER_LOAD));
    assert_eq!((kept(&of_group("left_over")), kept(&of_group("shutdown_late_requests_total"))), (Some(1.0), None));

    let service = stopped(&[("METRICS_PUSH", &url), NO_COLLECTOR]);
    let in_group = |series: &str| kept(&format!("{series},job=\"service\",instance=\"a\""));
    assert_is_final(&service, "metrics push", in_group);
    assert_eq!(kept(&of_group("left_over")), None, "the group is replaced");
    assert_eq!(kept(&of_group("process_open_fds")), None, "it is of the process, which is gone");
    assert!(kept("process_open_fds").is_some(), "the Pushgateway has its own");
    assert_eq!(in_group("push_time_seconds").map(|time| time > 0.0), Some(true));
}

#[test]
fn c35_real_node_exporter_has_the_final_values_of_a_stop_under_load() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let Some(exporter) = node_exporter(folder.path()) else { return };
    let scrape = || exporter.ask("/metrics").expect("it runs").1;
    let file = folder.path().join("service.prom");
    let service = stopped(&[("METRICS_TEXTFILE", file.to_str().expect("a temporary path is text")), NO_COLLECTOR]);
    let text = scrape();
    assert_is_final(&service, "metrics textfile", |series| value(&text, series));
    assert_eq!(fs::read_dir(folder.path()).expect("it is ours").count(), 1, "nothing else is left");
    // A scrape counts what went wrong with the one before.
    let wrong = || {
        let text = scrape();
        let gathering = "promhttp_metric_handler_errors_total{cause=\"gathering\"}";
        [value(&text, "node_textfile_scrape_error"), value(&text, gathering)]
    };
    assert_eq!(wrong(), [Some(0.0), Some(0.0)]);

    // The control: all that a scrape of the service shows is more than node-exporter can take.
    let service = Service::start(&[]);
    fs::write(&file, service.admin_get("/metrics").expect("it runs").body).expect("the folder is ours");
    scrape();
    assert_ne!(wrong(), [Some(0.0), Some(0.0)], "or there is no need to leave process_* out");
}

#[test]
fn c36_pushgateway_that_is_down_or_silent_or_none_fails_its_hook_within_the_flush() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let silent = silent.local_addr().expect("it is bound").to_string();
    let none = Service::start(&[]);
    for (address, why) in [
        (free_ports().0.to_string(), "Connection refused (os error 111); is a Pushgateway there?"),
        (silent, "; a longer FLUSH_TIMEOUT gives it more"),
        (none.admin.address.to_string(), "it answered 404 Not Found"),
    ] {
        for budget in ["400ms", "2s"] {
            let url = format!("http://{address}{GROUP}");
            let mut service = Service::start(&[("METRICS_PUSH", &url), ("FLUSH_TIMEOUT", budget)]);
            let exit = stop(&mut service, 11);
            let said = error(&service, "metrics push");
            assert!(said.contains(&format!("METRICS_PUSH={url}: ")) && said.contains(why), "{said}");
            let logged = r#""message":"hook failed","phase":"flush","hook":"metrics push""#;
            assert!(service.stderr().contains(logged), "no {logged} in\n{}", service.stderr());
            assert_costs_no_more_than(humantime::parse_duration(budget).unwrap(), &exit);
        }
    }
}

#[test]
fn c36_textfile_that_cannot_be_written_any_more_fails_its_hook() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let gone = folder.path().join("gone");
    fs::create_dir(&gone).expect("the folder is new");
    let file = gone.join("service.prom").display().to_string();
    let mut service = Service::start(&[("METRICS_TEXTFILE", &file)]);
    fs::remove_dir(&gone).expect("a start leaves nothing in it");
    stop(&mut service, 11);
    let said = error(&service, "metrics textfile");
    assert!(said.contains(&format!("METRICS_TEXTFILE={file} cannot be written: No such file")), "{said}");
}

#[cfg(feature = "orders")]
#[test]
fn c41_start_that_fails_does_not_overwrite_what_the_last_stop_left() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("service.prom");
    fs::write(&file, "of_the_last_stop 1\n").expect("the folder is new");
    let settings = [
        ("METRICS_TEXTFILE", file.to_str().expect("a temporary path is text")),
        ("DATABASE_URL", "sqlite:no/such/folder/orders.db"),
    ];
    Service::spawn(free_ports(), &settings).expect_exit(1);
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "of_the_last_stop 1\n");
}

/// A service that was stopped under load.
fn stopped(settings: Settings<'_>) -> Service {
    let mut service = Service::start(&[&UNDER_LOAD, settings].concat());
    stop_under_load(&mut service);
    service
}

/// What was `kept` is what the report says, but for the `hook` that left it; the one before it, which failed, is there.
fn assert_is_final(service: &Service, hook: &str, kept: impl Fn(&str) -> Option<f64>) {
    let report = service.report();
    let stale = stale(&report, &kept);
    let own = format!("shutdown_hook_duration_seconds{{phase=\"flush\", hook=\"{hook}\"}}");
    assert!(matches!(&stale[..], [one] if one.starts_with(&own)), "{stale:?} of {report:#}");
    for (series, expected) in [
        ("shutdown_requests_total{outcome=\"completed\"}", report["requests"]["completed"].as_f64()),
        ("shutdown_requests_total{outcome=\"aborted\"}", Some(1.0)),
        ("lifecycle_phase{phase=\"flush\"}", Some(1.0)),
        ("http_server_active_requests", Some(0.0)),
        ("shutdown_hook_failures_total{hook=\"traces\",reason=\"error\"}", Some(1.0)),
        ("telemetry_spans_total{outcome=\"exported\"}", Some(0.0)),
    ] {
        assert_eq!(kept(series), expected, "{series}");
    }
    assert!(kept("telemetry_spans_total{outcome=\"failed\"}") > Some(5.0));
}

/// What Prometheus' text format has for a series, in whatever order its labels are written.
pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
    let wanted = labels(series);
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    let mut same = samples.filter(|(series, _)| labels(series) == wanted);
    same.next().map(|(_, value)| value.parse().expect("a value is a number"))
}

/// The name of a series and its labels.
fn labels(series: &str) -> BTreeSet<&str> {
    series.split(['{', '}', ',']).map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn pushgateway() -> Option<Beside> {
    let program = parts::program("prometheus-pushgateway", "prometheus-pushgateway")?;
    Some(Beside::start(&program, ("/-/ready", 200), |(http, _), _| vec![format!("--web.listen-address={http}")]))
}

/// One that shows nothing but itself and the files in `folder`.
fn node_exporter(folder: &Path) -> Option<Beside> {
    let program = parts::program("prometheus-node-exporter", "prometheus-node-exporter")?;
    Some(Beside::start(&program, ("/", 200), |(http, _), _| {
        vec![
            "--collector.disable-defaults".to_owned(),
            "--collector.textfile".to_owned(),
            format!("--collector.textfile.directory={}", folder.display()),
            format!("--web.listen-address={http}"),
        ]
    }))
}
