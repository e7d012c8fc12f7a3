//! The routes of an admin port: a page for people, probes for orchestrators, and the answer to "what holds the stop?"

use std::sync::Arc;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};

use crate::{inner::Inner, readiness::Readiness, status};

/// Nothing but the page's own files: paths and ids of requests are on it, which anybody may have sent.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// See [`Shutdown::admin`](crate::Shutdown::admin).
pub(crate) fn router(inner: Arc<Inner>) -> Router {
    let probes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/startupz", get(startupz))
        .route("/readyz", get(readyz))
        .with_state(Readiness::new(inner.lifecycle.clone()));
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", include_str!("admin/page.html")) }))
        .route("/page.css", get(|| async { file("text/css; charset=utf-8", include_str!("admin/page.css")) }))
        .route("/page.js", get(|| async { file("text/javascript; charset=utf-8", include_str!("admin/page.js")) }))
        .route("/shutdown", get(shutdown))
        .with_state(inner)
        .merge(probes)
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // After a roll-out the page is that of another version.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text)
}

async fn shutdown(State(inner): State<Arc<Inner>>) -> impl IntoResponse {
    let status = serde_json::to_vec(&status::live(&inner)).expect("numbers and text serialise");
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], status)
}

async fn startupz(State(readiness): State<Readiness>) -> impl IntoResponse {
    probe(readiness.is_started(), &readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    probe(readiness.is_ready(), &readiness)
}

fn probe(passes: bool, readiness: &Readiness) -> (StatusCode, String) {
    let status = if passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", readiness.phase()))
}
