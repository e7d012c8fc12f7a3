//! Traces: one span for each request and for the stop, sent to a collector in batches, and flushed by a stop before the process exits.
//!
//! There are none unless OTEL_EXPORTER_OTLP_ENDPOINT is set. What else is sent, and how, is said by OpenTelemetry's own
//! variables: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_SCHEDULE_DELAY,
//! OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_EXPORTER_OTLP_HEADERS.

mod collector;
mod requests;
mod stop;
mod tally;

use std::{env, sync::Arc, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider},
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use winddown::{BoxError, HookContext, Phase, Shutdown};

use self::tally::{CountedEnds, CountedExports, QUEUE, Tally};
pub(crate) use self::{collector::Collector, requests::on_every_request, tally::describe};

const NAME: &str = env!("CARGO_PKG_NAME");

/// How long one export may take at least and at most, with its repetitions. The latter is OpenTelemetry's default.
const EXPORT_TAKES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Spans on their way to a collector, from a thread of their own.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tally: Arc<Tally>,
}

impl Traces {
    /// Starts the thread. Nothing is connected before there is a span to send.
    ///
    /// An export may take half of the `flush` budget: one that is under way when the flush begins leaves the other half
    /// to what is queued behind it.
    pub(crate) fn start(collector: &Collector, flush: Duration) -> Result<Self, ExporterBuildError> {
        let (least, most) = EXPORT_TAKES;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(collector.traces())
            .with_timeout((flush / 2).clamp(least, most))
            .build()?;
        let tally = Arc::new(Tally::default());
        let batches = BatchSpanProcessor::builder(CountedExports::new(exporter, collector.clone(), tally.clone()))
            .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(QUEUE).build())
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_span_processor(CountedEnds::new(batches, tally.clone()))
            .build();
        Ok(Self { provider, tally })
    }

    fn tracer(&self) -> SdkTracer {
        self.provider.tracer(NAME)
    }

    /// Makes spans of this crate's `tracing` spans, of whatever level.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with(env!("CARGO_CRATE_NAME")));
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer())
            .with_context_activation(false)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours.with_max_level_hint(LevelFilter::TRACE))
    }

    /// Has the stop flush them when nothing can make a span any more.
    pub(crate) fn flush_in(self, stop: &Shutdown) {
        let (mut status, tally) = (stop.handle().watch(), self.tally.clone());
        tokio::spawn(async move {
            if status.wait_for(|status| status.stop.is_some()).await.is_ok() {
                tally.stop_begins();
            }
        });
        let its = stop.clone();
        stop.hook(Phase::Flush, "traces", move |context| {
            stop::record(&self.tracer(), &its);
            self.flush(context)
        });
    }

    /// Sends what is left. Fails when a span of this stop did not get there; what was lost before is in the metrics.
    ///
    /// The exporter's own answer is not asked for: it is good when every span was lost, too.
    async fn flush(self, context: HookContext) -> Result<(), BoxError> {
        self.tally.stop_begins();
        // A hook that is aborted could not say what was lost.
        let left = context.deadline.saturating_duration_since(Instant::now()) * 9 / 10;
        let provider = self.provider;
        let flushed = spawn_blocking(move || provider.shutdown_with_timeout(left));
        let _ = timeout_at(Instant::now() + left, flushed).await;
        self.tally.stop_ends().map_err(Into::into)
    }
}

/// What is said of the process with every batch.
fn resource() -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name(NAME)
        .with_attribute(KeyValue::new("service.version", crate::config::VERSION))
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}
