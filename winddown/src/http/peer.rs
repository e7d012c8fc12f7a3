//! Who is at the other end of a connection.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::extract::FromRequestParts;
use http::{Extensions, StatusCode, request::Parts};
use tokio::net::{UnixStream, unix};

use crate::http::in_flight::RequestInfo;

/// Who is at the other end of a connection. An extractor, in place of axum's `ConnectInfo`.
///
/// Behind a proxy it is the proxy. Outside of a server of [`Shutdown`](crate::Shutdown) there is nobody, and the request is
/// answered 500.
///
/// ```
/// async fn who(peer: winddown::Peer) -> String {
///     peer.to_string()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Its address and port.
    Tcp(SocketAddr),
    /// A process of this machine, by its id where the kernel tells it.
    Unix(Option<unix::pid_t>),
}

impl Peer {
    /// The peer of a request that has these extensions, for layers, which cannot wait for an extractor. `None` where the extractor
    /// finds nobody.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Arc<RequestInfo>>().map(|request| request.connection.peer())
    }

    pub(crate) fn of_unix(stream: &UnixStream) -> Self {
        Self::Unix(stream.peer_cred().ok().and_then(|peer| peer.pid()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(pid)) => write!(f, "unix:pid={pid}"),
            Self::Unix(None) => f.write_str("unix"),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        const NOBODY: &str = "the peer is known in a server of winddown::Shutdown only; serve the router with one\n";
        Self::of(&parts.extensions).ok_or((StatusCode::INTERNAL_SERVER_ERROR, NOBODY))
    }
}
