//! What the service says about itself: log lines on stderr, metrics for a scraper.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::ValueEnum;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use winddown::{Report, Shutdown};

use crate::{
    config::VERSION,
    traces::{self, Traces},
};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For a person at a terminal.
    Pretty,
    /// One JSON object a line, for a collector.
    Json,
}

/// OpenTelemetry's advice for the duration of HTTP requests, in seconds.
const DURATION_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Without upkeep the samples of a histogram pile up until someone scrapes, and nobody may.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Lines that may wait to be written; more are dropped. A few megabytes.
const LINES: usize = 8192;

/// Logs to stderr what `RUST_LOG` asks for, `info` by default, and makes `traces` if there is a collector for them.
///
/// A thread of its own writes the lines: on a pipe that nobody reads any more, whoever logs would stand still, and with it the
/// stop. Dropping what is returned writes those that wait, for a second at the most.
pub(crate) fn init_logging(format: LogFormat, traces: Option<&Traces>) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES).thread_name("logs").finish(io::stderr());
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let (filter, refused) = match filter.try_from_env() {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), std::env::var("RUST_LOG").ok().map(|value| (value, error))),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        // A line that cannot be written is dropped. The default is to complain on stderr, which panics when it is
        // stderr that is gone: a log collector that went first must not turn a clean stop into a crash.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // The end of a stop is told twice: who reads takes the table, who searches the fields.
    let other = match format {
        LogFormat::Pretty => Report::EVENT,
        LogFormat::Json => Report::TABLE,
    };
    let filter = filter.and(filter_fn(move |line| line.target() != other));
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces.map(Traces::layer)).init();
    if let Some((value, error)) = refused {
        tracing::warn!(%error, value, "RUST_LOG is not understood, logging at info: write it as info,winddown=debug");
    }
    guard
}

/// Makes the recorder behind every `metrics` macro; the handle renders what it holds.
pub(crate) fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    let handle = prometheus()?.install_recorder()?;
    record_build_info();
    traces::describe();
    Collector::default().describe();
    describe_runtime();
    Ok(handle)
}

/// A histogram without buckets is exported as a summary, which cannot be summed over instances.
fn prometheus() -> Result<PrometheusBuilder, BuildError> {
    let duration = Matcher::Full("http_server_request_duration_seconds".into());
    PrometheusBuilder::new().set_buckets_for_metric(duration, &DURATION_BUCKETS)
}

fn record_build_info() {
    describe_gauge!("build_info", "1, labelled with the version and revision of this build");
    let revision = option_env!("GIT_REVISION").unwrap_or("unknown");
    gauge!("build_info", "version" => VERSION, "revision" => revision).set(1);
}

/// What a scraper gets: beside what is counted all along, what the process and its runtime are like right now.
pub(crate) fn render(metrics: &PrometheusHandle) -> String {
    Collector::default().collect();
    record_runtime();
    metrics.render()
}

fn describe_runtime() {
    describe_gauge!("tokio_workers_count", "threads that run tasks");
    describe_gauge!("tokio_live_tasks_count", "tasks that have not ended");
    describe_gauge!("tokio_global_queue_depth", "tasks that wait for a worker in the common queue");
    describe_counter!("tokio_total_busy_duration", "microseconds that all workers were busy");
}

fn record_runtime() {
    let runtime = Handle::current().metrics();
    let workers = 0..runtime.num_workers();
    let busy: Duration = workers.map(|worker| runtime.worker_total_busy_duration(worker)).sum();
    gauge!("tokio_workers_count").set(runtime.num_workers() as f64);
    gauge!("tokio_live_tasks_count").set(runtime.num_alive_tasks() as f64);
    gauge!("tokio_global_queue_depth").set(runtime.global_queue_depth() as f64);
    counter!("tokio_total_busy_duration").absolute(busy.as_micros() as u64);
}

/// Keeps the recorder's memory flat, until the stop.
pub(crate) fn keep_flat(stop: &Shutdown, metrics: PrometheusHandle) {
    stop.every("metrics upkeep", UPKEEP_EVERY, move |_| {
        metrics.run_upkeep();
        std::future::ready(())
    });
}

#[cfg(test)]
mod tests {
    use metrics::{histogram, with_local_recorder};

    use super::*;

    #[test]
    fn request_durations_are_a_histogram_in_the_agreed_buckets() {
        let recorder = prometheus().expect("the buckets are not empty").build_recorder();
        with_local_recorder(&recorder, || histogram!("http_server_request_duration_seconds").record(0.3));
        let text = recorder.handle().render();
        for (bound, count) in [("0.005", 0), ("0.25", 0), ("0.5", 1), ("10", 1), ("+Inf", 1)] {
            let line = format!("http_server_request_duration_seconds_bucket{{le=\"{bound}\"}} {count}");
            assert!(text.contains(&line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn the_build_says_its_version() {
        let recorder = prometheus().expect("the buckets are not empty").build_recorder();
        with_local_recorder(&recorder, record_build_info);
        let text = recorder.handle().render();
        assert!(text.contains(&format!("version=\"{VERSION}\"")), "{text}");
    }
}
