//! The clock of every request: `http_server_request_duration_seconds`, to the end of the response body.
//!
//! Handles are cached, because making one anew costs ten times the recording; labels come from closed sets, so that
//! no client can make series: the route is the router's own pattern, an unknown method is `_OTHER`.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
    task::{Context, Poll},
};

use axum::extract::{MatchedPath, Request};
use http::Method;
use metrics::Histogram;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    http::{draining::RequestContext, in_flight::RequestInfo},
    metrics::name,
};

/// Notes the route's pattern for the clock. It sits inside the router, because only there the pattern is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoteRoute;

#[derive(Clone, Debug)]
pub(crate) struct NotesRoute<S> {
    inner: S,
}

impl<S> Layer<S> for NoteRoute {
    type Service = NotesRoute<S>;

    fn layer(&self, inner: S) -> NotesRoute<S> {
        NotesRoute { inner }
    }
}

impl<S: Service<Request>> Service<Request> for NotesRoute<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let extensions = request.extensions();
        if let (Some(context), Some(route)) = (extensions.get::<RequestContext>(), extensions.get::<MatchedPath>()) {
            // Nested routers pass here more than once; the outermost sees the whole pattern first.
            let _ = context.request.route.set(route.clone());
        }
        self.inner.call(request)
    }
}

/// Records a request that was answered and is now over.
pub(crate) fn record(request: &RequestInfo, status: u16) {
    let route = request.route.get().map_or("unmatched", MatchedPath::as_str);
    histogram(route, method_label(&request.method), status).record(request.started.elapsed().as_secs_f64());
}

type Handles = HashMap<Box<str>, HashMap<(&'static str, u16), Histogram>>;

fn histogram(route: &str, method: &'static str, status: u16) -> Histogram {
    static HANDLES: LazyLock<RwLock<Handles>> = LazyLock::new(RwLock::default);

    let handles = HANDLES.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = handles.get(route).and_then(|handles| handles.get(&(method, status))) {
        return handle.clone();
    }
    drop(handles);
    let handle = metrics::histogram!(
        name::HTTP_REQUEST_DURATION,
        "http_request_method" => method,
        "http_route" => route.to_owned(),
        "http_response_status_code" => status.to_string(),
    );
    let mut handles = HANDLES.write().unwrap_or_else(PoisonError::into_inner);
    handles.entry(route.into()).or_default().insert((method, status), handle.clone());
    handle
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}
