//! The stop as a trace of its own: a span from T0 to the flush, and in it one for each phase that is over.

use std::time::SystemTime;

use opentelemetry::{
    Context, KeyValue,
    trace::{Span, SpanBuilder, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SdkTracer;
use winddown::Shutdown;

/// Makes them from what the lifecycle found, which no watcher could miss.
pub(super) fn record(tracer: &SdkTracer, stop: &Shutdown) {
    let status = stop.status();
    let flush = SystemTime::now() - status.in_phase;
    let mut began = status.phases_done.iter().fold(flush, |at, phase| at - phase.duration);
    let whole = SpanBuilder::from_name("shutdown").with_start_time(began);
    let whole = tracer.build_with_context(whole, &Context::new());
    let context = Context::new().with_span(whole);
    if let Some(cause) = status.cause {
        context.span().set_attribute(KeyValue::new("shutdown.cause", cause.to_string()));
    }
    for phase in status.phases_done {
        let part = SpanBuilder::from_name(phase.phase.to_string()).with_start_time(began);
        let mut part = tracer.build_with_context(part, &context);
        if phase.overran {
            part.set_status(Status::error(format!("it overran its {:?}", phase.budget)));
        }
        began += phase.duration;
        part.end_with_timestamp(began);
    }
    context.span().end_with_timestamp(flush);
}
