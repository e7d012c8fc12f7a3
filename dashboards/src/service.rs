//! The dashboard of a service and its stops.

use crate::{
    dashboard::Dashboard,
    rows::{
        history::history, now::now, requests::requests, runtime::runtime, telemetry::telemetry,
        this_shutdown::this_shutdown,
    },
};

pub(crate) fn service() -> Dashboard {
    Dashboard {
        uid: "winddown",
        title: "winddown / Service",
        description: "Is it stopping, in which phase, for how long still, and what was lost? Then the stops before, requests, \
                      telemetry and the runtime.",
        rows: vec![now(), this_shutdown(), history(), requests(), telemetry(), runtime()],
    }
}
