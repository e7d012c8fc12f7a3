//! What becomes of spans, counted where it is known: at the way in and at the way out.
//!
//! The processor between the two drops what does not fit into its queue, and its flush and its shutdown succeed when
//! every export failed. So no more is let in than the queue holds, and each export is asked.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::{Counter, counter, describe_counter};
use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};

use super::Collector;

/// How many spans may wait; OpenTelemetry's default, four batches.
pub(super) const QUEUE: usize = 2048;

const SPANS: &str = "telemetry_spans_total";

/// Describes the metric, and registers its labels: a counter that is born at 3 never rose.
pub(crate) fn describe() {
    describe_counter!(SPANS, "spans that reached the collector, and spans that were lost");
    let _ = Counted::default();
}

/// Spans with a known fate.
struct Counted {
    exported: Counter,
    failed: Counter,
}

impl Default for Counted {
    fn default() -> Self {
        Self { exported: counter!(SPANS, "outcome" => "exported"), failed: counter!(SPANS, "outcome" => "failed") }
    }
}

/// One for the process.
#[derive(Default)]
pub(super) struct Tally {
    /// Ended, and of no known fate yet.
    pending: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    /// How many had failed, and been exported, when the stop was asked for.
    at_t0: OnceLock<(u64, u64)>,
    counted: Counted,
}

impl Tally {
    fn so_far(&self) -> (u64, u64) {
        (self.failed.load(Relaxed), self.exported.load(Relaxed))
    }

    /// Takes a span in, if the queue has room.
    fn enter(&self) -> bool {
        let fits = self.pending.fetch_add(1, Relaxed) < QUEUE as u64;
        if !fits {
            self.leave(1, false);
        }
        fits
    }

    fn leave(&self, spans: u64, exported: bool) {
        let (total, counter) =
            if exported { (&self.exported, &self.counted.exported) } else { (&self.failed, &self.counted.failed) };
        total.fetch_add(spans, Relaxed);
        counter.increment(spans);
        self.pending.fetch_sub(spans, Relaxed);
    }

    /// From now on a failure is one of the stop. Only the first call counts.
    pub(super) fn stop_begins(&self) {
        self.at_t0.get_or_init(|| self.so_far());
    }

    /// What the stop lost. What is still pending will not be sent any more.
    pub(super) fn stop_ends(&self) -> Result<(), Lost> {
        let (failed, exported) = self.so_far();
        let (failed_before, exported_before) = *self.at_t0.get_or_init(|| (failed, exported));
        let lost = Lost {
            failed: failed - failed_before,
            unsent: self.pending.load(Relaxed),
            exported: exported - exported_before,
        };
        self.counted.failed.increment(lost.unsent);
        if lost.failed + lost.unsent == 0 { Ok(()) } else { Err(lost) }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// Spans of a stop that did not reach the collector.
#[derive(Debug)]
pub(super) struct Lost {
    failed: u64,
    unsent: u64,
    exported: u64,
}

impl std::error::Error for Lost {}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, unsent, exported } = self;
        let (lost, all) = (failed + unsent, failed + unsent + exported);
        write!(f, "{lost} of {all} spans did not reach the collector: {failed} failed, {unsent} were not sent in time")
    }
}

/// The way in.
#[derive(Debug)]
pub(super) struct CountedEnds<P> {
    next: P,
    tally: Arc<Tally>,
}

impl<P> CountedEnds<P> {
    pub(super) fn new(next: P, tally: Arc<Tally>) -> Self {
        Self { next, tally }
    }
}

impl<P: SpanProcessor> SpanProcessor for CountedEnds<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.tally.enter() {
            self.next.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// The way out.
#[derive(Debug)]
pub(super) struct CountedExports<E> {
    next: E,
    to: Collector,
    tally: Arc<Tally>,
    /// Whether the last export failed: a collector that is down is worth one line, not one for each batch.
    failing: AtomicBool,
}

impl<E> CountedExports<E> {
    pub(super) fn new(next: E, to: Collector, tally: Arc<Tally>) -> Self {
        Self { next, to, tally, failing: AtomicBool::new(false) }
    }
}

impl<E: SpanExporter> SpanExporter for CountedExports<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.next.export(batch).await;
        self.tally.leave(spans, result.is_ok());
        match (&result, self.failing.swap(result.is_err(), Relaxed)) {
            (Err(error), false) => tracing::warn!(%error, "spans do not reach the collector at {}", self.to),
            (Ok(()), true) => tracing::info!("spans reach the collector at {} again", self.to),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_queue_has_no_room_for_is_lost_and_counted() {
        let tally = Tally::default();
        assert!((0..QUEUE).all(|_| tally.enter()));
        assert!(!tally.enter());
        assert_eq!(tally.so_far(), (1, 0));
        tally.leave(QUEUE as u64, true);
        assert!(tally.enter(), "there is room again");
        assert_eq!(tally.so_far(), (1, QUEUE as u64));
    }

    #[test]
    fn a_stop_answers_for_its_own_spans() {
        let tally = Tally::default();
        assert!((0..6).all(|_| tally.enter()));
        tally.leave(1, false);
        tally.stop_begins();
        tally.leave(2, true);
        tally.leave(1, false);
        tally.stop_begins();
        let lost = tally.stop_ends().expect_err("three are lost").to_string();
        assert_eq!(lost, "3 of 5 spans did not reach the collector: 1 failed, 2 were not sent in time");
        tally.leave(2, true);
        assert!(Tally::default().stop_ends().is_ok());
    }
}
