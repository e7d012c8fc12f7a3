use super::*;
use clap::CommandFactory;

pub(super) fn refusal(flags: &[&str]) -> String {
    let config = Config::try_parse_from([&["service"], flags].concat()).map_err(Refusal::Arguments);
    let refused = config.and_then(|config| {
        let sent = config.collector().and(config.final_metrics());
        #[cfg(feature = "tls")]
        config.tls.tls()?;
        #[cfg(feature = "orders")]
        config.orders.database()?;
        sent.and(config.shutdown())
    });
    refused.expect_err("these settings are wrong").to_string()
}

#[test]
fn the_flags_are_consistent() {
    Config::command().debug_assert();
}

#[test]
fn a_duration_that_is_none_is_refused_with_field_value_and_remedy() {
    let text = refusal(&["--grace-period", "abc"]);
    for part in ["GRACE_PERIOD", "abc", "write a duration as 250ms, 5s or 2m"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[tokio::test]
async fn a_split_that_does_not_fit_is_refused_with_the_sum_and_the_settings_to_change() {
    let text = refusal(&["--lame-duck", "8s", "--drain-timeout", "20s"]);
    for part in ["GRACE_PERIOD=30s", "42s in all", "shorten LAME_DUCK or DRAIN_TIMEOUT"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[tokio::test]
async fn a_report_that_could_not_be_written_is_refused_at_the_start() {
    let text = refusal(&["--shutdown-report", "/no/such/folder/report.json"]);
    assert!(text.contains("SHUTDOWN_REPORT=/no/such/folder/report.json cannot be written"), "{text}");
}

#[tokio::test]
async fn a_time_without_which_nothing_works_is_refused_by_its_name() {
    for (flag, setting) in [("--header-timeout", "HEADER_TIMEOUT"), ("--progress-timeout", "PROGRESS_TIMEOUT")] {
        let text = refusal(&[flag, "0s"]);
        assert!(text.contains(&format!("{setting}=0s")), "{text}");
    }
}

#[test]
fn a_collector_that_cannot_be_sent_to_is_refused_with_field_value_and_remedy() {
    for (url, why) in [
        ("https://collector:4318", "this build speaks no TLS to a collector"),
        ("grpc://collector:4317", "grpc is no protocol that this build speaks to a collector"),
        ("/v1/traces", "the protocol is missing"),
        ("collector:4318", "the protocol is missing"),
        ("http://collector:4318/?key=1", "it has a query"),
        ("http://collector:port", "the port is no number"),
        ("http://collector:70000", "the port is no number"),
        ("http://", "empty"),
        ("", "empty"),
    ] {
        let text = refusal(&["--otel-exporter-otlp-endpoint", url]);
        for part in ["OTEL_EXPORTER_OTLP_ENDPOINT", url, why, "write http://HOST:PORT, as http://127.0.0.1:4318"] {
            assert!(text.contains(part), "{url}: no {part} in\n{text}");
        }
    }
}

#[test]
fn a_collector_with_a_password_is_refused_and_it_is_not_shown() {
    for url in ["http://me:secret@collector:4318", "https://me:secret@c", "http://me:secret@c:99999", "me:secret@c"] {
        let text = refusal(&["--otel-exporter-otlp-endpoint", url]);
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && text.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_group_that_cannot_be_pushed_to_is_refused_with_field_value_and_remedy() {
    for (url, why) in [
        ("https://pushgateway/metrics/job/a", "this build speaks no TLS to a Pushgateway"),
        ("ftp://pushgateway/metrics/job/a", "ftp is no protocol that this build speaks to a Pushgateway"),
        ("127.0.0.1:9091", "the protocol is missing"),
        ("http://127.0.0.1:9091", "it is not the URL of a group"),
        ("http://127.0.0.1:9091/metrics/job/a/instance", "it is not the URL of a group"),
        ("http://127.0.0.1:port/metrics/job/a", "the port is no number"),
        ("", "empty"),
    ] {
        let text = refusal(&["--metrics-push", url]);
        for part in [&format!("METRICS_PUSH={url}: "), why, "write http://HOST:PORT/metrics/job/JOB"] {
            assert!(text.contains(part), "{url}: no {part} in\n{text}");
        }
    }
}

#[test]
fn a_group_with_a_password_is_refused_and_it_is_not_shown() {
    for url in ["http://me:secret@host:9091/metrics/job/a", "http://me:sec/ret@host/metrics/job/a", "me:secret@base64"]
    {
        let text = refusal(&["--metrics-push", url]);
        assert!(text.contains("METRICS_PUSH has a user or a password") && text.contains("write http://"), "{text}");
        assert!(!text.contains("secret") && !text.contains("ret@"), "{text}");
    }
}

#[test]
fn a_textfile_that_nobody_would_read_or_that_cannot_be_written_is_refused() {
    for (path, parts) in [
        ("metrics.txt", ["METRICS_TEXTFILE", "metrics.txt", "names end in .prom"]),
        (
            "/no/such/service.prom",
            ["METRICS_TEXTFILE=/no/such/service.prom", "No such file", "choose a file in a folder"],
        ),
    ] {
        let text = refusal(&["--metrics-textfile", path]);
        for part in parts {
            assert!(text.contains(part), "{path}: no {part} in\n{text}");
        }
    }
}
