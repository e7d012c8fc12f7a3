//! For the benches of this repository: what every request passes, without a socket. No promise is made about it.

use std::{
    convert::Infallible,
    future::Future,
    net::Ipv4Addr,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use axum::{BoxError, Router};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::service::Service;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    http::{peer::Peer, service::RequestService},
    server::{Server, accept, connection::Connection, transport::Transport},
    tokens::Tokens,
};

/// One connection of a server, on which a request is under way as often as you like.
#[derive(Debug)]
pub struct Requests(RequestService);

impl Requests {
    /// Requests for `router`, as [`Shutdown::serve`](crate::Shutdown::serve) would pass them to it.
    pub fn of(router: Router) -> Self {
        let transport = Transport::default();
        let server = Server::new("bench".into(), false, transport, Tokens::default(), Arc::default(), None);
        let peer = Peer::Tcp((Ipv4Addr::LOCALHOST, 1).into());
        Self(RequestService::new(accept::prepared(router), Arc::new(Connection::new(peer, Arc::new(server)))))
    }

    /// From the parsed head to the head of the answer. The request is in flight until the answer's body is dropped.
    pub fn call<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<impl Body<Data = Bytes, Error = axum::Error> + use<B>>, Infallible>> + use<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        self.0.call(request)
    }
}

impl Requests {
    /// Admission of one request, and its end: what stands between the counters of a stop and the rest.
    pub fn admit(&self) -> bool {
        let connection = self.0.connection();
        let admitted = connection.admit().is_some();
        if admitted {
            connection.server().gate.leave(connection.id());
        }
        admitted
    }
}

/// The tokens of a server with handlers that wait for its stop, as many as you like.
#[derive(Debug)]
pub struct Tree {
    root: Tokens,
    waiting: Vec<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Tree {
    /// Handlers wait on the tokens of their connections.
    pub fn of(handlers: usize) -> Self {
        let root = Tokens::default();
        let server = Server::new("bench".into(), false, Transport::default(), root.child(), Arc::default(), None);
        let wait = |connection| server.twig(connection).draining.clone().cancelled_owned();
        let mut waiting: Vec<_> = (0..handlers as u64).map(|connection| Box::pin(wait(connection))).collect();
        let mut nobody = Context::from_waker(Waker::noop());
        for handler in &mut waiting {
            assert!(handler.as_mut().poll(&mut nobody).is_pending());
        }
        Self { root, waiting }
    }

    /// T0: tells them all.
    pub fn cancel(&self) {
        self.root.draining.cancel();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
