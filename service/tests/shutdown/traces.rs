//! Traces leave the process before it exits, from the flush's own budget.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;

use crate::{
    flush::{assert_costs_no_more_than, error, stop},
    harness::{Service, Signal, free_ports},
    observe::eventually,
    wire::Wire,
};

/// Spans wait until somebody flushes them.
const WAIT: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "60000");

#[test]
fn c36_every_span_of_a_stop_reaches_the_collector_before_the_exit() {
    let collector = Collector::that_answers();
    let mut service = Service::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()), WAIT]);
    let mut idle = service.idle("before-0");
    for i in 1..4 {
        assert_eq!(idle.get("/hello?secret=1", &format!("before-{i}")).expect("it runs").status, 200);
    }
    assert_eq!(idle.get("/fault/panic", "before-4").expect("it runs").status, 500);
    let mut work = service.connect();
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    work.send(format!("GET /work/400 HTTP/1.1\r\nhost: x\r\nx-request-id: during-0\r\n{parent}\r\n\r\n"))
        .expect("it reads");
    service.await_entered("during-0");
    let mut stream = service.in_flight("/stream?chunks=4&every_ms=200", "during-1");
    assert_eq!(collector.spans().len(), 0, "they wait for the flush");

    service.signal(Signal::TERM);
    for wire in [&mut work, &mut stream] {
        assert_eq!(wire.response().expect("it finishes").status, 200);
    }
    drop((idle, work, stream));
    service.expect_exit(0);

    let (spans, stop): (Vec<_>, Vec<_>) =
        collector.spans().into_iter().partition(|span| span.kind == SpanKind::Server as i32);
    let ids: BTreeSet<_> = spans.iter().filter_map(|span| text(span, "http.response.header.x-request-id")).collect();
    let sent = ["before-0", "before-1", "before-2", "before-3", "before-4", "during-0", "during-1"];
    assert_eq!((spans.len(), ids), (sent.len(), sent.map(str::to_owned).into()), "{spans:#?}");
    for span in &spans {
        let path = text(span, "url.path").expect("every request has one");
        assert!(!path.contains("secret"), "{span:?}");
    }
    let of = |id| spans.iter().find(|span| text(span, "http.response.header.x-request-id").as_deref() == Some(id));
    let (work, stream, panic) = (of("during-0").unwrap(), of("during-1").unwrap(), of("before-4").unwrap());
    assert_eq!(work.name, "GET /work/{ms}");
    assert_eq!(
        hex(&work.trace_id) + "-" + &hex(&work.parent_span_id),
        "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
    );
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/work/{ms}"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("url.path", "/work/400"),
        ("url.scheme", "http"),
    ] {
        assert_eq!(text(work, name).as_deref(), Some(value), "{name} of {work:?}");
    }
    let lasted = Duration::from_nanos(stream.end_time_unix_nano - stream.start_time_unix_nano);
    assert!(lasted >= Duration::from_millis(600), "to the end of the body, not {lasted:?}");
    assert_eq!(text(panic, "error.type").as_deref(), Some("500"));
    let line =
        service.stderr().lines().find(|line| line.contains("Service panicked")).expect("it is logged").to_owned();
    assert!(line.contains(&hex(&panic.trace_id)) && line.contains(&hex(&panic.span_id)), "{line} of {panic:?}");
    assert_is_a_stop(&stop);
    assert_eq!(panic.status.as_ref().map(|status| status.code), Some(StatusCode::Error as i32));
}

/// The hook that closes the database pool, where there is one.
pub(crate) const HOOKS: usize = cfg!(feature = "orders") as usize;

/// One span, and in it one for each phase before the flush, one after the other, and in its phase one for the hook.
pub(crate) fn assert_is_a_stop(spans: &[Span]) {
    let (hooks, spans): (Vec<_>, Vec<_>) = spans.iter().cloned().partition(|span| span.name == "database pool");
    let release = spans.iter().find(|span| span.name == "release").expect("it is a phase");
    assert_eq!(hooks.len(), HOOKS, "{hooks:?}");
    let within = release.start_time_unix_nano..=release.end_time_unix_nano;
    let is_within = |hook: &Span| hook.parent_span_id == release.span_id && within.contains(&hook.start_time_unix_nano);
    assert!(hooks.iter().all(is_within), "{hooks:?} in {release:?}");
    let spans = &spans[..];
    let [phases @ .., whole] = spans else { panic!("it has spans") };
    let names: Vec<_> = phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!((whole.name.as_str(), names), ("shutdown", vec!["lame_duck", "drain", "background", "release"]));
    assert_eq!(text(whole, "shutdown.cause").as_deref(), Some("signal TERM"));
    let moments = phases.iter().flat_map(|phase| [phase.start_time_unix_nano, phase.end_time_unix_nano]);
    let moments: Vec<_> =
        [whole.start_time_unix_nano].into_iter().chain(moments).chain([whole.end_time_unix_nano]).collect();
    assert!(moments.is_sorted(), "{moments:?}");
    assert!(phases.iter().all(|phase| phase.trace_id == whole.trace_id && phase.parent_span_id == whole.span_id));
}

#[test]
fn c36_collector_that_is_down_is_told_by_the_metric_the_report_and_the_exit_code() {
    let nobody = format!("http://{}", free_ports().0);
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let mut service = Service::start(&settings);
    let await_lost = |service: &Service, count| {
        let failed = || service.metric("telemetry_spans_total{outcome=\"failed\"}");
        eventually("the loss is counted", || (failed()? == count).then_some(()));
    };
    await_lost(&service, 0);
    assert_eq!(service.metric("telemetry_spans_total{outcome=\"exported\"}"), Some(0));
    drop(service.idle("before"));
    await_lost(&service, 1);
    let uploads = ["early", "late"].map(|id| {
        let head = format!("POST /echo HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\ncontent-length: 1\r\n\r\n");
        let mut wire = service.connect();
        wire.send(head).expect("it reads");
        service.await_entered(id);
        wire
    });
    service.signal(Signal::TERM);
    service.await_phase("drain");
    let finish = |mut upload: Wire| {
        upload.send("x").expect("it reads");
        assert_eq!(upload.response().expect("it finishes").status, 200);
    };
    let [early, late] = uploads;
    finish(early);
    await_lost(&service, 2);
    finish(late);
    service.expect_exit(11);
    assert_eq!(lost(&service), "8 of 8 spans did not reach the collector", "two of requests, six of the stop");
    let logged = r#""message":"hook failed","phase":"flush","hook":"traces""#;
    assert!(service.stderr().contains(logged), "no {logged} in\n{}", service.stderr());

    let exit = stop(&mut Service::start(&settings), 11);
    assert_costs_no_more_than(Duration::from_secs(1), &exit);
}

#[test]
fn c36_collector_that_never_answers_costs_the_flush_budget_and_no_more() {
    let collector = Collector::that_is_silent();
    let url = collector.url();
    for budget in ["400ms", "2s"] {
        let mut service = Service::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("FLUSH_TIMEOUT", budget), WAIT]);
        drop(service.idle("before"));
        let exit = stop(&mut service, 11);
        assert_eq!(lost(&service), "8 of 8 spans did not reach the collector", "two of requests, six of the stop");
        assert_costs_no_more_than(humantime::parse_duration(budget).unwrap(), &exit);
    }
}

#[test]
fn c36_without_a_collector_no_thread_sends_anything() {
    let threads = |service: &Service| {
        let names = fs::read_dir(service.proc("task")).expect("it runs").map(|task| {
            // One that ends between the two looks has no name any more.
            fs::read_to_string(task.expect("as above").path().join("comm")).unwrap_or_default()
        });
        names.filter(|name| name.starts_with("OpenTelemetry") || name.starts_with("reqwest")).count()
    };
    let with = Service::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(threads(&with) > 0, "or this test sees nothing");
    let without = Service::start(&[]);
    drop(without.idle("id"));
    assert_eq!(threads(&without), 0);
}

/// What the report says of the hook, but for how they were lost.
fn lost(service: &Service) -> String {
    error(service, "traces").split(':').next().expect("it is text").to_owned()
}

/// A collector of OTLP over HTTP, as far as an exporter sees it.
pub(crate) struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    pub(crate) fn that_answers() -> Self {
        Self::start(true)
    }

    /// Takes everything and says nothing.
    fn that_is_silent() -> Self {
        Self::start(false)
    }

    fn start(answers: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let bodies = Arc::default();
        let collector = Self { address, bodies: Arc::clone(&bodies) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, bodies) = (stream.expect("a connection can be accepted"), Arc::clone(&bodies));
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
                    while let Some(body) = request(&mut reader) {
                        bodies.lock().unwrap().push(body);
                        if answers {
                            // Whatever cannot be written any more is nobody's loss: the batch is here.
                            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                        }
                    }
                });
            }
        });
        collector
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        let batch = |body: &Vec<u8>| ExportTraceServiceRequest::decode(&body[..]).expect("it is a batch of spans");
        let resources = bodies.iter().flat_map(|body| batch(body).resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

/// The body of the next request for traces; `None` at the end of the connection.
fn request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let began = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = head[began..].to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("RFC 9110: a number");
        }
    }
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

/// An attribute as text; of a list, its only entry.
pub(crate) fn text(span: &Span, name: &str) -> Option<String> {
    let of = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{name} is {other:?}"),
    };
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::ArrayValue(list) => list.values.first()?.value.as_ref().map(of),
        value => Some(of(value)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
