//! Routes and a hook that misbehave, so that tests can see the stop hold against each. There with `ENABLE_FAULTS=1` only.
//!
//! - `GET /fault/panic`: the handler panics
//! - `GET /fault/panic-body`: the body panics after its first chunk
//! - `GET /fault/block/{ms}`: keeps a worker thread of the runtime to itself
//! - `GET /fault/never`: never answers
//! - `FAULT_HOOK`: a hook that fails, hangs or panics

use std::{future, thread};

use axum::{Router, body::Body, extract::Path, response::Response, routing::get};
use clap::ValueEnum;
use futures_util::stream;
use winddown::{Phase, Shutdown};

use crate::routes::{Refusal, milliseconds};

/// What a hook does that is not to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultHook {
    /// It returns an error
    Fail,
    /// It never ends
    Hang,
    /// It panics
    Panic,
}

impl FaultHook {
    /// Has the release of `stop` go through it.
    pub(crate) fn register(self, stop: &Shutdown) {
        stop.hook(Phase::Release, "fault", async move |_| match self {
            Self::Fail => Err("FAULT_HOOK asked for it".into()),
            Self::Hang => future::pending().await,
            Self::Panic => panic!("FAULT_HOOK asked for it"),
        });
    }
}

/// Every fault, under `/fault`.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/fault/panic", get(panic))
        .route("/fault/panic-body", get(panic_body))
        .route("/fault/block/{ms}", get(block))
        .route("/fault/never", get(future::pending::<()>))
}

async fn panic() -> Response {
    panic!("/fault/panic was asked for")
}

async fn panic_body() -> Body {
    Body::from_stream(stream::unfold(false, |sent| async move {
        if sent {
            // One turn for the connection, in which it writes the head and the first chunk: a body that panics
            // before a byte has left looks to the client like a connection that was never served.
            tokio::task::yield_now().await;
            panic!("/fault/panic-body was asked for");
        }
        Some((Ok::<_, std::convert::Infallible>("the first chunk\n"), true))
    }))
}

async fn block(Path(ms): Path<u64>) -> Result<String, Refusal> {
    // The standard library's sleep on purpose: it holds the thread, as a busy loop or a blocking call would.
    thread::sleep(milliseconds("ms", ms)?);
    Ok(format!("blocked a worker for {ms} ms\n"))
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use axum::http::{Request, StatusCode};
    use futures_util::FutureExt;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use crate::routes::app;

    use super::*;

    async fn get_path(path: &str) -> Response {
        let request = Request::get(path).header("x-request-id", "f-1").body(Body::empty()).expect("it is well formed");
        app(Router::new(), true).oneshot(request).await.expect("a router never fails")
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_500_that_still_carries_the_id() {
        let response = get_path("/fault/panic").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-request-id"], "f-1");
    }

    #[tokio::test]
    async fn a_panic_in_a_body_comes_after_its_first_chunk() {
        let mut body = get_path("/fault/panic-body").await.into_body();
        let first = body.frame().await.expect("there is a first frame").expect("which is sound");
        assert_eq!(first.into_data().expect("and has data"), "the first chunk\n");
        assert!(AssertUnwindSafe(body.frame()).catch_unwind().await.is_err());
    }

    #[tokio::test]
    async fn a_block_holds_its_thread_and_is_bounded() {
        let began = std::time::Instant::now();
        assert_eq!(get_path("/fault/block/20").await.status(), StatusCode::OK);
        assert!(began.elapsed().as_millis() >= 20);
        assert_eq!(get_path("/fault/block/600001").await.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn never_outlives_any_patience() {
        let a_day = std::time::Duration::from_hours(24);
        assert!(tokio::time::timeout(a_day, get_path("/fault/never")).await.is_err());
    }
}
