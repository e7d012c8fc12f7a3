//! The metrics that a dashboard may ask for. Those of the library come from its own constants, so that one that is renamed
//! breaks this build; the others are held against a real scrape by the service's tests.

pub(crate) use winddown::metrics::name::*;

pub(crate) const BUILD: &str = "build_info";
pub(crate) const SPANS: &str = "telemetry_spans_total";

pub(crate) const CPU: &str = "process_cpu_seconds_total";
pub(crate) const MEMORY: &str = "process_resident_memory_bytes";
pub(crate) const OPEN_FDS: &str = "process_open_fds";
pub(crate) const MAX_FDS: &str = "process_max_fds";
pub(crate) const THREADS: &str = "process_threads";
pub(crate) const STARTED: &str = "process_start_time_seconds";

pub(crate) const TOKIO_WORKERS: &str = "tokio_workers_count";
pub(crate) const TOKIO_TASKS: &str = "tokio_live_tasks_count";
pub(crate) const TOKIO_QUEUE: &str = "tokio_global_queue_depth";
/// A counter of microseconds, of all workers together.
pub(crate) const TOKIO_BUSY: &str = "tokio_total_busy_duration";

/// Prometheus' own, one for each target.
pub(crate) const SCRAPE_DURATION: &str = "scrape_duration_seconds";

/// The series in which Prometheus keeps how often a histogram's values were at most as high as each bound.
pub(crate) fn buckets(histogram: &str) -> String {
    format!("{histogram}_bucket")
}

/// The one in which it keeps how many values there were.
pub(crate) fn count(histogram: &str) -> String {
    format!("{histogram}_count")
}

/// Those that are no constants of the library; the last is asked for by rules alone.
#[cfg(test)]
pub(crate) const OTHERS: [&str; 14] = [
    BUILD,
    SPANS,
    CPU,
    MEMORY,
    OPEN_FDS,
    MAX_FDS,
    THREADS,
    STARTED,
    TOKIO_WORKERS,
    TOKIO_TASKS,
    TOKIO_QUEUE,
    TOKIO_BUSY,
    SCRAPE_DURATION,
    "up",
];
