//! The route that scrapers ask, and how it is known that one has its answer.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response, routing::MethodRouter};
use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};

use crate::{
    http::{in_flight::RequestInfo, peer::Peer},
    inner::Inner,
    scrapes::{Scrape, Scrapes, Who},
    status,
};

/// Prometheus sends it with every scrape, and hardly anybody else does.
const PROMETHEUS: &str = "x-prometheus-scrape-timeout-seconds";

/// Prometheus' text format.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// See [`Shutdown::metrics`](crate::Shutdown::metrics).
pub(crate) fn route<S>(
    inner: Arc<Inner>,
    render: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    axum::routing::get(move |request: Request| async move {
        let scrape = begin(&inner.scrapes, &request);
        status::publish(&inner);
        let mut response = Response::new(Body::new(Text { text: Some(render().into()), scrape: Some(scrape) }));
        response.headers_mut().insert(CONTENT_TYPE, TEXT);
        response
    })
}

fn begin(scrapes: &Arc<Scrapes>, request: &Request) -> Scrape {
    let who = || {
        let connection = request.extensions().get::<Arc<RequestInfo>>()?.connection.clone();
        let host = match connection.peer() {
            Peer::Tcp(address) => address.ip().to_string(),
            peer @ Peer::Unix(_) => peer.to_string(),
        };
        Some(Who { host, connection })
    };
    scrapes.begin(request.headers().contains_key(PROMETHEUS).then(who).flatten())
}

/// One piece of text; the scrape is finished when it was taken.
struct Text {
    text: Option<Bytes>,
    scrape: Option<Scrape>,
}

impl http_body::Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().text.take().map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.as_ref().map_or(0, Bytes::len) as u64)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if let Some(scrape) = self.scrape.take().filter(|_| self.text.is_none()) {
            scrape.finish();
        }
    }
}
