//! The control: the same routes on a stock server with its graceful shutdown, and nothing else.
//!
//! The server is `axum::serve`, or with the argument `axum-server` that crate's. It keeps a ledger only so that what it loses can be
//! called by its name. `HTTP_ADDR` says where it listens, `AUDIT_LOG` where its ledger goes.
//!
//! - `GET /hello`: answers at once
//! - `GET /readyz`: is ready for as long as it runs
//! - `GET /work/{ms}`: answers after that many milliseconds
//! - `GET /stream?chunks=10&every_ms=100`: a chunked body, one line at a time
//! - `POST /echo`: reads an upload of any size, answers its length and its SHA-256
//! - `POST /orders`: answers as if it had placed the order, and forgets it

use std::{
    convert::Infallible,
    env,
    fmt::Write,
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State, connect_info::Connected},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
    serve::IncomingStream,
};
use axum_server::Handle;
use futures_util::{StreamExt, stream};
use http_body::{Body as _, Frame, SizeHint};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use winddown::audit::{AuditLog, Event, Outcome};

/// axum-server waits so long for requests in flight; `axum::serve` without an end.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address: SocketAddr = env::var("HTTP_ADDR").unwrap_or_else(|_| "127.0.0.1:8080".into()).parse()?;
    let log = env::var_os("AUDIT_LOG").map(|path| AuditLog::open(path.as_ref())).transpose()?;
    let mut terminate = signal(SignalKind::terminate())?;

    let mut app = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/readyz", get(|| async { "ready" }))
        .route("/work/{ms}", get(work))
        .route("/stream", get(lines))
        .route("/echo", post(echo).layer(DefaultBodyLimit::disable()))
        .route("/orders", post(order));
    if let Some(log) = log {
        app = app.layer(middleware::from_fn_with_state(log, audited));
    }
    let app = app.layer(middleware::from_fn(with_request_id));

    let listener = TcpListener::bind(address).await?;
    let app = app.into_make_service_with_connect_info::<Connection>();
    match env::args().nth(1).as_deref() {
        None => {
            let terminated = async move {
                terminate.recv().await;
            };
            axum::serve(listener, app).with_graceful_shutdown(terminated).await?;
        }
        Some("axum-server") => {
            let handle = Handle::new();
            tokio::spawn({
                let handle = handle.clone();
                async move {
                    terminate.recv().await;
                    handle.graceful_shutdown(Some(GRACE));
                }
            });
            axum_server::from_tcp(listener.into_std()?)?.handle(handle).serve(app).await?;
        }
        Some(other) => anyhow::bail!("{other} is no server: say axum-server, or nothing for axum::serve"),
    }
    Ok(())
}

async fn work(Path(ms): Path<u64>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("worked {ms} ms")
}

#[derive(Deserialize)]
struct Lines {
    chunks: u64,
    every_ms: u64,
}

async fn lines(Query(Lines { chunks, every_ms }): Query<Lines>) -> Body {
    Body::from_stream(stream::iter(0..chunks).then(move |i| async move {
        if i > 0 {
            sleep(Duration::from_millis(every_ms)).await;
        }
        Ok::<_, Infallible>(format!("chunk {i}\n"))
    }))
}

async fn echo(body: Body) -> Result<String, (StatusCode, String)> {
    let (mut length, mut digest) = (0, Sha256::new());
    let mut upload = body.into_data_stream();
    while let Some(piece) = upload.next().await {
        let piece = piece.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        length += piece.len();
        digest.update(&piece);
    }
    let sha256 = digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Ok(format!(r#"{{"length":{length},"sha256":"{sha256}"}}"#))
}

/// The load has a right answer, and nobody asks a server without a database for its orders afterwards.
async fn order(headers: HeaderMap, order: Bytes) -> Result<(StatusCode, String), (StatusCode, &'static str)> {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let key = key.ok_or((StatusCode::BAD_REQUEST, "Idempotency-Key is missing: send one"))?;
    let mut order: Map<String, Value> =
        serde_json::from_slice(&order).map_err(|_| (StatusCode::BAD_REQUEST, "the order is no JSON object"))?;
    order.insert("id".to_owned(), key.into());
    order.insert("key".to_owned(), key.into());
    order.insert("status".to_owned(), "accepted".into());
    Ok((StatusCode::CREATED, Value::from(order).to_string()))
}

/// The number of a connection, from 1 in order of acceptance.
#[derive(Clone, Copy)]
struct Connection(u64);

impl Connected<IncomingStream<'_, TcpListener>> for Connection {
    fn connect_info(_: IncomingStream<'_, TcpListener>) -> Self {
        Self::next()
    }
}

impl Connected<SocketAddr> for Connection {
    fn connect_info(_: SocketAddr) -> Self {
        Self::next()
    }
}

impl Connection {
    fn next() -> Self {
        static ACCEPTED: AtomicU64 = AtomicU64::new(0);
        Self(ACCEPTED.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

async fn with_request_id(request: Request, next: Next) -> Response {
    let id = request.headers().get("x-request-id").cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

async fn audited(
    State(log): State<AuditLog>,
    ConnectInfo(Connection(connection)): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("-").to_owned();
    log.write(Event::Enter { connection, id: &id });
    let response = next.run(request).await;
    log.write(Event::HandlerDone { connection, status: response.status().as_u16(), id: &id });
    response.map(|inner| Body::new(AuditedBody { inner, ended: false, log, connection, id }))
}

/// Writes `body_end` when it is dropped, so also when the connection goes away beneath it.
struct AuditedBody {
    inner: Body,
    ended: bool,
    log: AuditLog,
    connection: u64,
    id: String,
}

impl http_body::Body for AuditedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for AuditedBody {
    fn drop(&mut self) {
        let complete = self.ended || self.inner.is_end_stream();
        let outcome = if complete { Outcome::Complete } else { Outcome::Aborted };
        self.log.write(Event::BodyEnd { connection: self.connection, outcome, id: &self.id });
    }
}
