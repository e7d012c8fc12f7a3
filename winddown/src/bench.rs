//! For the benches of this repository: what every request passes, without a socket. No promise is made about it.

use std::{convert::Infallible, future::Future, net::Ipv4Addr, sync::Arc};

use axum::{BoxError, Router};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::service::Service;

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
