//! The admin port: what the library has for it, and the metrics.
//!
//! - `GET /`: a page that shows a stop while it is under way
//! - `GET /livez`: 200 for as long as the process answers, through a stop, too
//! - `GET /startupz`: 200 once start-up is over
//! - `GET /readyz`: 200 while new traffic is wanted, 503 from the stop signal on
//! - `GET /shutdown`: phase, budget left, who is in flight and for how long, hooks done
//! - `GET /metrics`: Prometheus' text format; whoever scrapes regularly is waited for at the end

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use winddown::Shutdown;

use crate::telemetry;

pub(crate) fn router(stop: &Shutdown, metrics: PrometheusHandle) -> Router {
    stop.admin().route("/metrics", stop.metrics(move || telemetry::render(&metrics)))
}
