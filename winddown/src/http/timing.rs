//! The clock of every request: `http_server_request_duration_seconds`, to the end of the response body.
//!
//! Each route has a [`Clock`] that keeps its handles, because making one anew costs ten times the recording. Labels come
//! from closed sets, so that no client can make series: the route is the router's own pattern, an unknown method is
//! `_OTHER`.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use axum::extract::{MatchedPath, Request};
use http::Method;
use metrics::Histogram;
use tower_layer::Layer;
use tower_service::Service;

use crate::{http::in_flight::RequestInfo, metrics::name};

/// Gives each route a clock, and each request the clock of its route. It sits inside the router, because only there the
/// route is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks;

#[derive(Clone, Debug)]
pub(crate) struct Timed<S> {
    inner: S,
    clock: Arc<Clock>,
}

impl<S> Layer<S> for Clocks {
    type Service = Timed<S>;

    /// A router does this for each of its routes, and again for each method of a route.
    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner, clock: Arc::default() }
    }
}

impl<S: Service<Request>> Service<Request> for Timed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        if let Some(info) = request.extensions().get::<Arc<RequestInfo>>() {
            self.clock.pattern.get_or_init(|| request.extensions().get::<MatchedPath>().cloned());
            let _ = info.clock.set(self.clock.clone());
        }
        self.inner.call(request)
    }
}

/// So many handles does a route keep. Further ones are made anew for each request, which is slower and not wrong.
const HANDLES: usize = 16;

/// The clock of one route.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Known from the first request on; `None` for what no route matches.
    pattern: OnceLock<Option<MatchedPath>>,
    /// By method and status, of which a route has few; each is set once, so that a look at them writes nothing that others read.
    handles: [OnceLock<(&'static str, u16, Histogram)>; HANDLES],
}

impl Clock {
    /// The route's pattern, as the router was given it.
    pub(crate) fn route(&self) -> Option<&str> {
        self.pattern.get()?.as_ref().map(MatchedPath::as_str)
    }

    /// Records a request that was answered and is now over.
    pub(crate) fn record(&self, method: &Method, status: u16, seconds: f64) {
        let method = method_label(method);
        let mut known = self.handles.iter().map_while(OnceLock::get);
        if let Some((.., handle)) = known.find(|(of, with, _)| (*of, *with) == (method, status)) {
            return handle.record(seconds);
        }
        let handle = metrics::histogram!(
            name::HTTP_REQUEST_DURATION,
            "http_request_method" => method,
            "http_route" => self.route().unwrap_or("unmatched").to_owned(),
            "http_response_status_code" => status.to_string(),
        );
        handle.record(seconds);
        // Into the first free place, if there is one. Two may come here at once; the handles of both are the recorder's one.
        let _ = self.handles.iter().try_fold((method, status, handle), |handle, place| match place.set(handle) {
            Ok(()) => Err(()),
            Err(handle) => Ok(handle),
        });
    }
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
