//! The sample application: a handful of routes, each of which is in flight in a way of its own.
//!
//! - `GET /hello`: answers at once
//! - `GET /work/{ms}`: answers after that many milliseconds
//! - `GET /stream?chunks=10&every_ms=100`: a chunked body, one line at a time
//! - `GET /events?every_ms=1000`, `GET /ws`: see [`live`]
//! - `POST /orders`, `GET /orders`, `GET /orders/{id}`, with feature `orders`: see `orders/`
//! - `POST /echo`: reads an upload of any size, answers its length and its SHA-256

use std::{fmt::Write, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::{faults, live, request_id};

/// No request asks for more than ten minutes: what can wait for ever cannot be drained.
const LONGEST_MS: u64 = 600_000;
const MOST_CHUNKS: u64 = 1_000_000;

/// A refusal that names the field, its value and the remedy.
pub(crate) type Refusal = (StatusCode, String);

/// Everything that the traffic port serves.
pub(crate) fn app(orders: Router, enable_faults: bool) -> Router {
    let routes = router().merge(orders);
    let routes = if enable_faults { routes.merge(faults::router()) } else { routes };
    request_id::on_every_response(routes)
}

/// The routes that are there for use; [`faults::router`] has those that are there to fail.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/work/{ms}", get(work))
        .route("/stream", get(stream_lines))
        .route("/echo", post(echo))
        .merge(live::router())
}

async fn work(Path(ms): Path<u64>) -> Result<String, Refusal> {
    sleep(milliseconds("ms", ms)?).await;
    Ok(format!("worked {ms} ms"))
}

#[derive(Deserialize)]
struct Lines {
    #[serde(default = "Lines::default_chunks")]
    chunks: u64,
    #[serde(default = "Lines::default_every_ms")]
    every_ms: u64,
}

impl Lines {
    const fn default_chunks() -> u64 {
        10
    }

    const fn default_every_ms() -> u64 {
        100
    }
}

async fn stream_lines(Query(Lines { chunks, every_ms }): Query<Lines>) -> Result<Response, Refusal> {
    at_most("chunks", chunks, MOST_CHUNKS)?;
    let pause = milliseconds("every_ms", every_ms)?;
    let lines = stream::iter(0..chunks).then(move |i| async move {
        // The first line goes out at once, so that the client sees a body that has begun.
        if i > 0 {
            sleep(pause).await;
        }
        Ok::<_, std::convert::Infallible>(format!("chunk {i}\n"))
    });
    Ok(Body::from_stream(lines).into_response())
}

#[derive(Serialize)]
struct Echo {
    length: u64,
    sha256: String,
}

/// Takes the body as a stream: an upload of any size needs the memory of one frame, and no default limit applies.
async fn echo(body: Body) -> Result<Json<Echo>, Refusal> {
    let mut body = body.into_data_stream();
    let (mut length, mut digest) = (0, Sha256::new());
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| (StatusCode::BAD_REQUEST, format!("the upload broke off: {error}\n")))?;
        length += part.len() as u64;
        digest.update(&part);
    }
    Ok(Json(Echo { length, sha256: hex(&digest.finalize()) }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a string cannot fail
        text
    })
}

/// A wait that a client may ask for.
pub(crate) fn milliseconds(name: &str, ms: u64) -> Result<Duration, Refusal> {
    at_most(name, ms, LONGEST_MS).map(Duration::from_millis)
}

fn at_most(name: &str, value: u64, most: u64) -> Result<u64, Refusal> {
    if value <= most {
        return Ok(value);
    }
    Err((StatusCode::BAD_REQUEST, format!("{name} is {value}, and {most} is the most: ask for less\n")))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tokio::time::Instant;
    use tower::ServiceExt;

    use super::*;

    async fn answer(request: Request<Body>) -> (StatusCode, String) {
        let response = app(Router::new(), false).oneshot(request).await.expect("a router never fails");
        let status = response.status();
        let body = response.into_body().collect().await.expect("the body ends well").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("the sample routes answer text"))
    }

    async fn get_path(path: &str) -> (StatusCode, String) {
        answer(Request::get(path).body(Body::empty()).expect("the request is well formed")).await
    }

    #[tokio::test]
    async fn hello_answers_hello() {
        assert_eq!(get_path("/hello").await, (StatusCode::OK, "hello".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_takes_as_long_as_it_was_told() {
        let began = Instant::now();
        assert_eq!(get_path("/work/1500").await, (StatusCode::OK, "worked 1500 ms".into()));
        assert_eq!(began.elapsed().as_millis(), 1500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_sends_its_first_line_at_once_and_one_more_each_interval() {
        let began = Instant::now();
        let (status, body) = get_path("/stream?chunks=3&every_ms=200").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "chunk 0\nchunk 1\nchunk 2\n"));
        assert_eq!(began.elapsed().as_millis(), 400);
        assert_eq!(get_path("/stream").await.1.lines().count(), 10);
    }

    #[tokio::test]
    async fn a_wait_without_a_bound_is_refused_with_its_name_value_and_limit() {
        for (path, complaint) in [
            ("/work/600001", "ms is 600001, and 600000 is the most: ask for less\n"),
            ("/stream?every_ms=600001", "every_ms is 600001, and 600000 is the most: ask for less\n"),
            ("/stream?chunks=1000001", "chunks is 1000001, and 1000000 is the most: ask for less\n"),
        ] {
            assert_eq!(get_path(path).await, (StatusCode::BAD_REQUEST, complaint.into()), "{path}");
        }
    }

    #[tokio::test]
    async fn echo_digests_an_upload_beyond_any_default_limit() {
        let upload = Body::from_stream(stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 64 * 1024]))));
        let (status, body) = answer(Request::post("/echo").body(upload).expect("the request is well formed")).await;
        let whole = hex(&Sha256::digest(vec![b'a'; 4 * 1024 * 1024]));
        assert_eq!((status, body), (StatusCode::OK, format!(r#"{{"length":4194304,"sha256":"{whole}"}}"#)));
    }

    #[tokio::test]
    async fn faults_are_there_only_when_asked_for() {
        assert_eq!(get_path("/fault/panic").await.0, StatusCode::NOT_FOUND);
    }
}
