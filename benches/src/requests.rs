//! Requests without a socket: what a server does between hyper and the handler, with and without winddown.

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::LazyLock,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Path, Request},
    http::{HeaderValue, Response, Uri, header},
    routing::get,
};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http_body_util::{BodyExt, Empty, combinators::MapErr};
use tower_layer::layer_fn;
use tower_service::Service;
use winddown::bench::Requests;

/// The bounds of the service's histogram, in seconds.
pub const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A body of nothing that has a size, as hyper's has: whoever boxes it asks for memory.
type Nothing = MapErr<Empty<Bytes>, fn(Infallible) -> Infallible>;

/// A router of `routes` routes, each of which answers at once.
pub fn router(routes: usize) -> Router {
    (0..routes).fold(Router::new(), |router, i| {
        router.route(&format!("/items{i}/{{id}}"), get(|Path(id): Path<u32>| async move { id.to_string() }))
    })
}

/// A router whose every answer has `pieces` pieces.
pub fn streams(pieces: usize) -> Router {
    let piece = || Ok::<_, Infallible>(Bytes::from_static(&[b'.'; 1024]));
    let answer = move || async move { Body::from_stream(stream::iter((0..pieces).map(move |_| piece()))) };
    Router::new().route("/items0/{id}", get(answer))
}

/// A request for the first of them.
pub fn request() -> Request<Nothing> {
    // Slices of one buffer, as hyper makes them of what it has read: to clone one asks for no memory.
    static HEAD: LazyLock<(Uri, HeaderValue)> = LazyLock::new(|| {
        let head = Bytes::from(b"/items0/7localhost:8080".to_vec());
        let uri = Uri::from_maybe_shared(head.slice(..9)).expect("it is a path");
        (uri, HeaderValue::from_maybe_shared(head.slice(9..)).expect("it is visible"))
    });
    let mut request = Request::new(Empty::new().map_err((|never| never) as fn(_) -> _));
    let (uri, host) = HEAD.clone();
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::HOST, host);
    request
}

/// A request for one of them.
pub fn to(route: usize) -> Request<Nothing> {
    let mut request = request();
    *request.uri_mut() = format!("/items{route}/7").parse().expect("it is a path");
    request
}

/// A router as `axum::serve` has it.
#[derive(Clone, Debug)]
pub struct Bare(Router);

impl Bare {
    /// Handlers become services once, as they do there.
    pub fn of(router: Router) -> Self {
        Self(router.with_state(()))
    }

    /// The same inside a layer that does nothing: what axum takes for one.
    pub fn in_a_layer(router: Router) -> Self {
        Self(router.with_state(()).layer(layer_fn(Layered)))
    }

    /// One request, to the end of its answer.
    pub fn serve(&self, request: Request<Nothing>) {
        exhaust(self.0.clone().call(request.map(Body::new)).now_or_never());
    }
}

/// One request on a connection of winddown, to the end of its answer.
pub fn serve(requests: &Requests, request: Request<Nothing>) {
    exhaust(requests.call(request).now_or_never());
}

fn exhaust<B: HttpBody<Data = Bytes, Error: Debug>>(answer: Option<Result<Response<B>, Infallible>>) {
    let Ok(answer) = answer.expect("the handler waits for nothing");
    assert!(answer.status().is_success(), "{}", answer.status());
    let body = answer.into_body().collect().now_or_never();
    body.expect("the body waits for nothing").expect("it ends well");
}

#[derive(Clone)]
struct Layered<S>(S);

impl<R, S: Service<R>> Service<R> for Layered<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}
