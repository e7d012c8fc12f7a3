//! A real collector, which knows nothing of the service: whether it has every span of a run under load with a stop in it.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};

use crate::{
    beside::Beside,
    final_metrics::value,
    harness::Service,
    load::{storm, with_a_pause_between},
    observe::eventually,
    parts,
    traces::{HOOKS, assert_is_a_stop, text},
};

#[test]
fn c36_real_collector_has_every_span_of_a_run_under_load_and_of_its_stop() {
    let Some(collector) = rotel() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let metrics = folder.path().join("service.prom");
    let service = storm(
        Service::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.http.address)),
            ("METRICS_TEXTFILE", metrics.to_str().expect("a temporary path is text")),
            ("DRAIN_TIMEOUT", "5s"),
            ("FLUSH_TIMEOUT", "5s"),
        ]),
        with_a_pause_between,
    );
    let metrics = fs::read_to_string(metrics).expect("the stop left it");
    let exported = value(&metrics, "telemetry_spans_total{outcome=\"exported\"}").expect("it is counted") as usize;

    // It says what it has a little after it has taken it, and last of the span that was ended last.
    let log = eventually("each span, to the last line of the stop's", || {
        let log = collector.log();
        let whole = log.trim_end().ends_with("-> shutdown.cause: Str(signal TERM)");
        (whole && log.matches(SPAN).count() >= exported).then_some(log)
    });
    let (requests, stop): (Vec<_>, Vec<_>) = spans(&log).partition(|span| span.kind == SpanKind::Server as i32);
    assert_eq!(requests.len() + stop.len(), exported, "sent once, and had once");
    assert_eq!(stop.len(), 5 + HOOKS, "the stop, its phases and their hook: {stop:#?}");
    assert_is_a_stop(&stop);

    // Every request that was answered, as the clients' own count says, entered a handler once.
    let answered = service.entered();
    println!("{} requests answered and {} spans of the stop, all at the collector", answered.len(), stop.len());
    assert_eq!(requests.len(), answered.len());
    let ids: BTreeSet<_> = requests.iter().filter_map(|span| text(span, "http.response.header.x-request-id")).collect();
    assert!(ids == answered.into_iter().collect(), "as many as were answered, but others");
    let own: BTreeSet<_> = requests.iter().chain(&stop).map(|span| &span.span_id).collect();
    assert_eq!(own.len(), requests.len() + stop.len(), "each span has an id of its own");
}

/// How the log begins a span.
const SPAN: &str = "\nSpan #";

/// The spans of its log, in the order in which they came.
fn spans(log: &str) -> impl Iterator<Item = Span> {
    log.split(SPAN).skip(1).map(|text| {
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            let value = lines.find(|(field, _)| field.trim() == name).expect("every span has all fields").1;
            value.trim().to_owned()
        };
        let moment = |name| field(name).parse().expect("nanoseconds");
        Span {
            trace_id: bytes(&field("Trace ID")),
            span_id: bytes(&field("ID")),
            parent_span_id: bytes(&field("Parent ID")),
            name: field("Name"),
            kind: SpanKind::from_str_name(&field("Kind")).expect("OTLP's own name").into(),
            start_time_unix_nano: moment("Start time"),
            end_time_unix_nano: moment("End time"),
            attributes: text.lines().filter_map(attribute).collect(),
            ..Span::default()
        }
    })
}

/// One as `     -> http.route: Str(/hello)`, or with another word for its type; of a list, its only entry.
fn attribute(line: &str) -> Option<KeyValue> {
    let (key, value) = line.trim().strip_prefix("-> ")?.split_once(": ")?;
    let value = value.trim_end_matches(')').rsplit_once('(')?.1.to_owned();
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    Some(KeyValue { key: key.to_owned(), value, ..KeyValue::default() })
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

/// One that keeps nothing, and says on standard error what it was sent.
fn rotel() -> Option<Beside> {
    // It lies beside the package, on no path.
    const WHERE: &str = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let asked = Command::new("python3").args(["-c", WHERE]).output();
    let path = asked.ok().and_then(|said| String::from_utf8(said.stdout).ok()).map(|path| PathBuf::from(path.trim()));
    let program = path
        .filter(|path| path.is_file())
        .or_else(|| parts::missing("rotel-agent, of the Python package rotel 0.0.1a15"))?;
    Some(Beside::start(&program, ("/", 404), |(http, grpc), _| {
        let said = "start --exporter blackhole --debug-log traces --debug-log-verbosity detailed".split(' ');
        let listens = [format!("--otlp-http-endpoint={http}"), format!("--otlp-grpc-endpoint={grpc}")];
        said.map(str::to_owned).chain(listens).collect()
    }))
}
