//! The admin port: probes, metrics, and the answer to "what holds the shutdown?"
//!
//! - `GET /livez`: 200 for as long as the process answers, through a stop, too
//! - `GET /startupz`: 200 once start-up is over
//! - `GET /readyz`: 200 while new traffic is wanted, 503 from the stop signal on
//! - `GET /metrics`: Prometheus' text format; whoever scrapes regularly is waited for at the end
//! - `GET /shutdown`: phase, budget left, who is in flight and for how long, hooks done

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use winddown::{Readiness, Shutdown, Status};

use crate::telemetry;

pub(crate) fn router(stop: &Shutdown, metrics: PrometheusHandle) -> Router {
    let probes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/startupz", get(startupz))
        .route("/readyz", get(readyz))
        .with_state(stop.readiness());
    let views = Router::new()
        .route("/metrics", stop.metrics(move || telemetry::render(&metrics)))
        .route("/shutdown", get(status))
        .with_state(stop.clone());
    probes.merge(views)
}

async fn startupz(State(readiness): State<Readiness>) -> impl IntoResponse {
    probe(readiness.is_started(), &readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    probe(readiness.is_ready(), &readiness)
}

fn probe(passes: bool, readiness: &Readiness) -> (StatusCode, String) {
    let status = if passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", readiness.phase()))
}

async fn status(State(stop): State<Shutdown>) -> Json<Status> {
    Json(stop.status())
}
