//! The filter that refuses while closing and counts while open.
//!
//! The gate counts, and says whether its server closes. Whether a request that comes then is still admitted is decided by
//! its connection (`Connection::admit`); the drain waits for connections, and so for every request on them.
//!
//! # Invariants
//!
//! 1. A request takes its token first and asks second. Both are operations on one atomic of the tracker, so they have
//!    one order with [`Gate::close`]: either the request sees the gate closed, or whoever counts then sees its token.
//! 2. The token lives until the end of the response body, not of the handler.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Counts requests in flight and can be closed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    requests: TaskTracker,
}

impl Gate {
    /// Lets one request in, or not (invariant 1).
    pub(crate) fn enter(&self) -> Option<TaskTrackerToken> {
        let token = self.requests.token();
        (!self.requests.is_closed()).then_some(token)
    }

    /// Lets one request in although the gate is closed: for one that its connection had received in time.
    pub(crate) fn enter_late(&self) -> TaskTrackerToken {
        self.requests.token()
    }

    pub(crate) fn close(&self) {
        self.requests.close();
    }

    /// How many requests are in flight.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }
}

/// The answer to a request that came after the lame duck: somebody else will serve it, and soon.
///
/// 503 and not 502, which would accuse an upstream. `Retry-After` is RFC 9110 §10.2.3, the body RFC 9457.
pub(crate) fn rejection(retry_after: Duration) -> Response<Body> {
    const PROBLEM: &str = concat!(
        r#"{"type":"about:blank","title":"Service Unavailable","status":503,"#,
        r#""detail":"this instance is shutting down and did not process the request; repeat it"}"#
    );
    let mut response = Response::new(Body::from(PROBLEM));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_sees_a_request_that_was_admitted_before_the_close() {
        let gate = Gate::default();
        let request = gate.enter().expect("the gate is open");
        gate.close();
        assert!(gate.enter().is_none(), "a closed gate admits nobody");
        assert_eq!(gate.len(), 1, "and counts nobody whom it did not admit");

        let wait = gate.requests.wait();
        tokio::pin!(wait);
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut wait).await.is_err());
        drop(request);
        wait.await;
    }

    #[test]
    fn no_request_is_both_admitted_and_forgotten() {
        for _ in 0..2_000 {
            let gate = Gate::default();
            let (admitted, waited) = std::thread::scope(|scope| {
                let enter = scope.spawn(|| gate.enter().map(std::mem::forget).is_some());
                let close = scope.spawn(|| {
                    gate.close();
                    gate.len()
                });
                (enter.join().expect("no panic"), close.join().expect("no panic"))
            });
            assert!(!admitted || waited == 1, "admitted, and the closer did not see it");
        }
    }

    #[test]
    fn a_rejection_says_what_happened_and_when_to_come_back() {
        let response = rejection(Duration::ZERO);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
