//! Every response says which request it answers: `x-request-id` comes back as it was sent, or is born here.

use axum::Router;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};

/// Wraps every route, the 404 for unknown ones included.
pub(crate) fn on_every_response(routes: Router) -> Router {
    routes.layer(
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id())
            // Inside the other two, so that the 500 of a panic carries the id as well.
            .layer(CatchPanicLayer::new()),
    )
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::Body,
        http::{Request, Response},
    };
    use tower::ServiceExt;
    use uuid::Uuid;

    use crate::routes::app;

    async fn answer(request: axum::http::request::Builder) -> Response<Body> {
        app(Router::new(), false)
            .oneshot(request.body(Body::empty()).expect("it is well formed"))
            .await
            .expect("a router never fails")
    }

    fn id(response: &Response<Body>) -> &str {
        response.headers()["x-request-id"].to_str().expect("an id is printable")
    }

    #[tokio::test]
    async fn the_id_of_a_request_comes_back_unchanged() {
        for path in ["/hello", "/no/such/route", "/work/600001"] {
            let response = answer(Request::get(path).header("x-request-id", "3f2a-0007")).await;
            assert_eq!(id(&response), "3f2a-0007", "{path}");
        }
    }

    #[tokio::test]
    async fn a_request_without_an_id_gets_a_new_one_each_time() {
        let (one, two) = (answer(Request::get("/hello")).await, answer(Request::get("/hello")).await);
        for response in [&one, &two] {
            let id: Uuid = id(response).parse().expect("the new id is a UUID");
            assert_eq!(id.get_version_num(), 4);
        }
        assert_ne!(id(&one), id(&two));
    }
}
