//! The answer to a request that was not admitted.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use crate::sabotage::{self, Fault};

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
    if !sabotage::is(Fault::RejectedBare) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_says_what_happened_and_when_to_come_back() {
        let response = rejection(Duration::ZERO);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
