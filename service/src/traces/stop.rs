//! The stop as a trace of its own: a span from T0 to the flush, in it one for each phase that is over, and in these one for each hook.

use std::time::{Duration, SystemTime};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SdkTracer;
use winddown::{PhaseReport, Shutdown};

/// Makes them from what the lifecycle found, which no watcher could miss.
pub(super) fn record(tracer: &SdkTracer, stop: &Shutdown) {
    let status = stop.status();
    let flush = SystemTime::now() - status.in_phase;
    let done = status.phases_done.last().map_or(Duration::ZERO, |phase| phase.at + phase.duration);
    let t0 = flush - done;
    let whole = under(tracer, &Context::new(), "shutdown", t0);
    if let Some(cause) = status.cause {
        whole.span().set_attribute(KeyValue::new("shutdown.cause", cause.to_string()));
    }
    for PhaseReport { phase, at, duration, budget, overran, .. } in status.phases_done {
        let part = under(tracer, &whole, phase.to_string(), t0 + at);
        if overran {
            part.span().set_status(Status::error(format!("it overran its {budget:?}")));
        }
        for hook in status.hooks_done.iter().filter(|hook| hook.phase == phase) {
            let work = under(tracer, &part, hook.hook.clone(), t0 + hook.at);
            if !hook.is_ok() {
                work.span().set_status(Status::error(hook.outcome.to_string()));
            }
            work.span().end_with_timestamp(t0 + hook.at + hook.duration);
        }
        part.span().end_with_timestamp(t0 + at + duration);
    }
    whole.span().end_with_timestamp(flush);
}

/// A span that began at `at`, in the one of `context`.
fn under(tracer: &SdkTracer, context: &Context, name: impl Into<String>, at: SystemTime) -> Context {
    let span = SpanBuilder::from_name(name.into()).with_start_time(at);
    Context::new().with_span(tracer.build_with_context(span, context))
}
