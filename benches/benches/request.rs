//! What winddown adds to every request between hyper and the handler, to the end of the answer, and what a scrape costs.
//!
//! - **request**: the bare router as `axum::serve` has it; the same inside one layer that does nothing, for the route's
//!   name is only known there, and that is axum's own price; the same on a connection of winddown: admission, the guard in
//!   flight, the clock. Each makes its request anew, and that alone is there to be subtracted.
//! - **scrape**: `/metrics` of a service with 200 routes that have all been asked for, without its transport.
//!
//! What a request asks of the allocator is counted by `tests/allocations.rs`.

use benches::requests::{self, Bare, request, router};
use criterion::{Criterion, criterion_group, criterion_main};
use metrics_exporter_prometheus::PrometheusBuilder;
use winddown::{Shutdown, bench::Requests};

const ROUTES: usize = 200;

fn all(criterion: &mut Criterion) {
    let recorder = PrometheusBuilder::new().set_buckets(&requests::BUCKETS).expect("there are some");
    let metrics = recorder.install_recorder().expect("it is the first");
    let (bare, winddown) = (Bare::of(router(ROUTES)), Requests::of(router(ROUTES)));
    let layered = Bare::in_a_layer(router(ROUTES));

    let mut group = criterion.benchmark_group("request");
    group.bench_function("made", |bench| bench.iter(request));
    group.bench_function("bare", |bench| bench.iter(|| bare.serve(request())));
    group.bench_function("in a layer", |bench| bench.iter(|| layered.serve(request())));
    group.bench_function("winddown", |bench| {
        // Without upkeep what is recorded piles up, and the service does it every five seconds.
        metrics.run_upkeep();
        bench.iter(|| requests::serve(&winddown, request()));
    });
    group.finish();

    let stop = Shutdown::builder().build().expect("the defaults fit");
    for route in 0..ROUTES {
        requests::serve(&winddown, requests::to(route));
    }
    criterion.benchmark_group("scrape").bench_function("200 routes", |bench| {
        bench.iter(|| {
            stop.publish_metrics();
            metrics.render()
        });
    });
}

criterion_group!(benches, all);
criterion_main!(benches);
