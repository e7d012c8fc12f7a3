//! What the span of a request says, by the names of OpenTelemetry's conventions: who asked whom, for what.

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::{
    frames::{Frames, Said},
    harness::{Service, Signal},
    stream::{Socket, Stream},
    traces::{Collector, text},
    unix,
    wire::Wire,
};

/// Attributes of the client's choice, and of its connection.
const ASKED: [&str; 8] = [
    "http.request.method",
    "http.request.method_original",
    "client.address",
    "network.peer.address",
    "network.peer.port",
    "server.address",
    "server.port",
    "user_agent.original",
];

#[test]
fn span_of_a_request_says_who_asked_whom_for_what() {
    let collector = Collector::that_answers();
    let mut service = Service::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let mut wire = service.connect();
    let Stream::Plain(Socket::Tcp(tcp)) = &wire.stream else { panic!("it listens on TCP") };
    let port = tcp.local_addr().expect("it is connected").port().to_string();
    let long = "agent ".repeat(500);
    ask(
        &mut wire,
        "GET /hello",
        "host: orders.example:8443\r\nuser-agent: test/1.0 (of spans)\r\nx-forwarded-for: 192.0.2.1",
    );
    ask(&mut wire, "BREW /hello", "host: [::1]");
    ask(&mut wire, "GET http://other.example/hello", &format!("host: x\r\nuser-agent: {long}"));
    drop(wire);
    service.signal(Signal::TERM);
    service.expect_exit(0);

    let here = Some("127.0.0.1");
    let (spans, port) = (of_requests(&collector), Some(port.as_str()));
    let expected = [
        [Some("GET"), None, here, here, port, Some("orders.example"), Some("8443"), Some("test/1.0 (of spans)")],
        [Some("_OTHER"), Some("BREW"), here, here, port, Some("::1"), Some("80"), None],
        [Some("GET"), None, here, here, port, Some("other.example"), Some("80"), Some(&long[..1024])],
    ];
    assert_eq!(
        spans.iter().map(asked).collect::<Vec<_>>(),
        expected.map(|values| values.map(|v| v.map(str::to_owned)))
    );
}

#[test]
fn span_of_a_request_on_http2_says_it_by_the_authority() {
    let collector = Collector::that_answers();
    let mut service = Service::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let mut client = Frames::connect(&service.http);
    client.get(1, "/hello", "one");
    client.until(|said| *said == Said::Ended { stream: 1 });
    drop(client);
    service.signal(Signal::TERM);
    service.expect_exit(0);
    let of = |name| text(&of_requests(&collector)[0], name);
    let said = ["network.protocol.version", "server.address", "server.port", "client.address"].map(of);
    assert_eq!(said, ["2", "service", "80", "127.0.0.1"].map(|value| Some(value.to_owned())));
}

#[test]
fn span_of_a_request_over_a_unix_socket_names_no_peer() {
    let collector = Collector::that_answers();
    let (_folder, mut service) = unix::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    ask(&mut service.connect(), "GET /hello", "host: orders.example");
    service.signal(Signal::TERM);
    service.expect_exit(0);
    let of = |name| text(&of_requests(&collector)[0], name);
    assert_eq!(["client.address", "network.peer.address", "network.peer.port"].map(of), [None, None, None]);
    assert_eq!(of("server.address").as_deref(), Some("orders.example"));
}

fn ask(wire: &mut Wire, line: &str, headers: &str) {
    wire.send(format!("{line} HTTP/1.1\r\n{headers}\r\n\r\n")).expect("it reads");
    wire.response().expect("it answers");
}

/// In the order in which they ended.
fn of_requests(collector: &Collector) -> Vec<Span> {
    collector.spans().into_iter().filter(|span| text(span, "url.path").is_some()).collect()
}

fn asked(span: &Span) -> [Option<String>; 8] {
    ASKED.map(|name| text(span, name))
}
