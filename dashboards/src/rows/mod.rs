//! The rows of the dashboard of a service, the most urgent first.

pub(crate) mod history;
pub(crate) mod now;
pub(crate) mod phases;
pub(crate) mod requests;
pub(crate) mod runtime;
pub(crate) mod telemetry;
pub(crate) mod this_shutdown;
