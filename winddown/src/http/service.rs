//! The way of one request on one connection, from hyper to the router and back.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{BoxError, Router, body::Body, routing::future::RouteFuture};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as HttpBody;
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tower_service::Service as _;

use crate::{
    audit::Event,
    http::{
        admission::Stage,
        body::{TrackedBody, Upload},
        in_flight::{InFlight, REQUEST_ID, RequestInfo},
        rejection::rejection,
    },
    sabotage::{self, Fault},
    server::connection::Connection,
};

/// The hyper service of one connection.
#[derive(Clone, Debug)]
pub(crate) struct RequestService {
    router: Router,
    connection: Arc<Connection>,
}

impl RequestService {
    pub(crate) fn new(router: Router, connection: Arc<Connection>) -> Self {
        Self { router, connection }
    }

    #[cfg(feature = "bench")]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn reject<B>(&self, request: &Request<B>) -> Response<TrackedBody> {
        let (server, info) = (self.connection.server(), RequestInfo::of(request, self.connection.clone()));
        server.audit(|| Event::Rejected { connection: self.connection.id(), id: info.id() });
        server.totals().rejected();
        let mut response = rejection(server.transport.retry_after);
        if let Some(id) = request.headers().get(REQUEST_ID) {
            response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        self.connection.say_close_rejected(request.version(), &mut response);
        response.map(TrackedBody::free)
    }
}

impl<B> hyper::service::Service<Request<B>> for RequestService
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<B>) -> ResponseFuture {
        let connection = &self.connection;
        connection.request_begins(request.body().size_hint().exact());
        if let Some(offer) = request.extensions().get::<OnUpgrade>().filter(|_| request.version() <= Version::HTTP_11) {
            connection.upgrade_is_offered(offer.clone());
        }
        let refused = sabotage::is(Fault::RejectedBare) && connection.server().stage() == Stage::Drain;
        let Some(token) = (if refused { None } else { connection.admit() }) else {
            if !request.body().is_end_stream() {
                connection.cut_upload();
            }
            return ResponseFuture::Rejected { response: Some(self.reject(&request)) };
        };
        let info = Arc::new(RequestInfo::of(&request, connection.clone()));
        let guard = InFlight::begin(info.clone(), token);
        let version = request.version();
        let mut request = request.map(|body| {
            // An empty body needs no guard, and most requests have one.
            if body.is_end_stream() { Body::empty() } else { Body::new(Upload::new(body, connection.clone())) }
        });
        request.extensions_mut().insert(info);
        ResponseFuture::Admitted { answer: self.router.clone().call(request), version, guard: Some(guard) }
    }
}

pin_project! {
    #[project = Progress]
    pub(crate) enum ResponseFuture {
        Rejected { response: Option<Response<TrackedBody>> },
        Admitted {
            #[pin]
            answer: RouteFuture<Infallible>,
            version: Version,
            guard: Option<InFlight>,
        },
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<TrackedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const ONCE: &str = "a future is not polled after it is ready";
        match self.project() {
            Progress::Rejected { response } => Poll::Ready(Ok(response.take().expect(ONCE))),
            Progress::Admitted { answer, version, guard } => {
                let Ok(mut response) = ready!(answer.poll(cx));
                let mut guard = guard.take().expect(ONCE);
                let server = guard.connection().server();
                if sabotage::is(Fault::RejectedAfterwards) && server.stage() == Stage::Drain {
                    response = rejection(server.transport.retry_after);
                }
                if sabotage::is(Fault::FailedAfterwards) && server.stage() == Stage::Drain {
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                }
                guard.answered(response.status().as_u16(), response.body().is_end_stream());
                if *version <= Version::HTTP_11 && guard.agrees_to_upgrade(response.status()) {
                    guard.connection().upgrade_is_taken();
                } else {
                    guard.connection().say_close(*version, &mut response);
                }
                if sabotage::is(Fault::HandlerOnly) {
                    return Poll::Ready(Ok(response.map(TrackedBody::free)));
                }
                let length = response.headers().get(header::CONTENT_LENGTH);
                let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
                Poll::Ready(Ok(
                    response.map(|body| TrackedBody::guarded(body, length, *version > Version::HTTP_11, guard))
                ))
            }
        }
    }
}

/// Adds `Connection: close`, where the protocol has it: HTTP/2 forbids it (RFC 9113 §8.2.2) and says GOAWAY.
pub(crate) fn connection_close<B>(version: Version, response: &mut Response<B>) {
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
