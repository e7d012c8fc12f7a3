//! One span for each request that a route was given, to the end of the response body.
//!
//! It continues the trace that the client says it is in (W3C `traceparent`). Its names are those of OpenTelemetry's
//! semantic conventions for HTTP servers. The query is left out, because it may hold secrets. The client is who is at the
//! other end of the connection: what a header says of it anybody can write. A request that admission refuses never comes
//! here. One that is cut has no status code.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request},
    http::{
        HeaderMap, HeaderName, Method, Response, Version,
        header::{HOST, USER_AGENT},
        uri::Authority,
    },
};
use opentelemetry::{
    Array, Context, StringValue, Value,
    propagation::TextMapPropagator,
    trace::{Status, TraceContextExt},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower::ServiceBuilder;
use tower_http::{
    classify::ServerErrorsFailureClass,
    trace::{MakeSpan, OnFailure, OnResponse, TraceLayer},
};
use tracing::{Span, field::display, info_span, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use winddown::Peer;

/// How many bytes of a client's own words a span has: thousands of spans wait in memory.
const WORDS: usize = 1024;

/// Wraps every route, the 404 for unknown ones included. Goes outside of the layer that gives ids to requests.
pub(crate) fn on_every_request(routes: Router, tls: bool) -> Router {
    let spans = TraceLayer::new_for_http()
        .make_span_with(ServerSpan { scheme: if tls { "https" } else { "http" } })
        .on_request(())
        .on_response(Answered)
        .on_body_chunk(())
        .on_eos(())
        .on_failure(Failed);
    let ids = TraceLayer::new_for_http()
        .make_span_with(LogSpan)
        .on_request(())
        .on_response(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(());
    routes.layer(ServiceBuilder::new().layer(spans).layer(ids))
}

/// What the collector gets. Lies below the levels at which one logs.
#[derive(Clone, Copy)]
struct ServerSpan {
    scheme: &'static str,
}

impl MakeSpan<Body> for ServerSpan {
    fn make_span(&mut self, request: &Request) -> Span {
        let method = method(request.method());
        let other = method == "_OTHER";
        let verb = if other { "HTTP" } else { method };
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let (peer, server) = (peer(request), server(request));
        let address = peer.map(|peer| display(peer.ip().to_canonical()));
        let span = trace_span!(
            parent: None,
            "request",
            otel.name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}")),
            otel.kind = "server",
            client.address = address,
            http.request.method = method,
            http.request.method_original = other.then(|| brief(request.method().as_str())),
            http.route = route,
            network.peer.address = address,
            network.peer.port = peer.map(|peer| peer.port()),
            network.protocol.version = version(request.version()),
            server.address = server.as_ref().map(|server| brief(host(server))),
            server.port = server.as_ref().map(|server| server.port_u16().unwrap_or(self.port())),
            url.path = brief(request.uri().path()),
            url.scheme = self.scheme,
            user_agent.original = text(request.headers(), &USER_AGENT).map(brief),
        );
        let _ = span.set_parent(client(request.headers())); // it fails only for a span that has begun
        span
    }
}

impl ServerSpan {
    /// The one that is meant where none is written (RFC 9110 §4.2).
    fn port(self) -> u16 {
        if self.scheme == "https" { 443 } else { 80 }
    }
}

/// What a log line of the request carries: the ids of the span around it.
#[derive(Clone, Copy)]
struct LogSpan;

impl MakeSpan<Body> for LogSpan {
    fn make_span(&mut self, _: &Request) -> Span {
        let context = Span::current().context();
        let span = context.span();
        let ids = span.span_context();
        info_span!(target: "request", "request", trace_id = %ids.trace_id(), span_id = %ids.span_id())
    }
}

/// The span of the client, if it names one.
fn client(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

#[derive(Clone, Copy)]
struct Answered;

impl<B> OnResponse<B> for Answered {
    fn on_response(self, response: &Response<B>, _: Duration, span: &Span) {
        span.set_attribute("http.response.status_code", i64::from(response.status().as_u16()));
        if let Some(id) = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()) {
            let ids = Array::String(vec![StringValue::from(id.to_owned())]);
            span.set_attribute("http.response.header.x-request-id", Value::Array(ids));
        }
    }
}

#[derive(Clone, Copy)]
struct Failed;

impl OnFailure<ServerErrorsFailureClass> for Failed {
    fn on_failure(&mut self, class: ServerErrorsFailureClass, _: Duration, span: &Span) {
        let kind = match &class {
            ServerErrorsFailureClass::StatusCode(code) => code.as_str().to_owned(),
            // A body that breaks off; what it says could be anything, and this has to be one of a few.
            ServerErrorsFailureClass::Error(_) => "_OTHER".to_owned(),
        };
        span.set_attribute("error.type", kind);
        span.set_status(Status::error(String::new()));
    }
}

/// Who is at the other end. Of a Unix socket that has no name.
fn peer(request: &Request) -> Option<SocketAddr> {
    match Peer::of(request.extensions())? {
        Peer::Tcp(address) => Some(address),
        Peer::Unix(_) => None,
    }
}

/// Who the client takes us for.
fn server(request: &Request) -> Option<Authority> {
    let written = || text(request.headers(), &HOST)?.parse().ok();
    request.uri().authority().cloned().or_else(written)
}

/// Without the brackets that only a URL needs.
fn host(server: &Authority) -> &str {
    let host = server.host();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn brief(words: &str) -> &str {
    &words[..words.floor_char_boundary(WORDS)]
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
