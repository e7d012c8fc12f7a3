//! How many instructions the paths take that every request or every stop goes, and how often they ask for memory: numbers that
//! repeat, by Valgrind. `gate` holds them against `benches/baseline.json`.
//!
//! | bench | what it stands for |
//! |---|---|
//! | `request_bare`, `request_in_a_layer` | what axum takes for a request by itself, and inside one layer |
//! | `request_winddown` | the same on a connection of winddown: what every request of a service pays |
//! | `request_streamed` | an answer in 100 pieces: what each piece of a long answer pays |
//! | `admission` | counting a request in and out: what all requests of a server meet at |
//! | `cancel` | telling 10,000 handlers that the stop has come |
//!
//! A scrape is none of them: how long its text is depends on the times in it.

use std::hint::black_box;

use benches::{
    injected::{INJECT, Injected},
    requests::{self, Bare, request, router},
};
use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use metrics_exporter_prometheus::PrometheusBuilder;
use winddown::bench::{Requests, Tree};

/// Requests of one measurement, and as many before it.
const REQUESTS: usize = 100;

fn bare() -> Bare {
    warm(Bare::of(router(20)))
}

fn in_a_layer() -> Bare {
    warm(Bare::in_a_layer(router(20)))
}

fn warm(bare: Bare) -> Bare {
    (0..REQUESTS).for_each(|_| bare.serve(request()));
    bare
}

fn winddown() -> (Requests, Injected) {
    install();
    let requests = Requests::of(router(20));
    (0..REQUESTS).for_each(|_| requests::serve(&requests, request()));
    (requests, Injected::from_env())
}

fn streams() -> Requests {
    install();
    let requests = Requests::of(requests::streams(100));
    (0..2).for_each(|_| requests::serve(&requests, request()));
    requests
}

/// The service's recorder.
fn install() {
    let recorder = PrometheusBuilder::new().set_buckets(&requests::BUCKETS).expect("there are some");
    recorder.install_recorder().expect("it is the first");
}

#[library_benchmark(setup = bare)]
#[bench::of_100()]
fn request_bare(bare: Bare) -> Bare {
    warm(bare)
}

#[library_benchmark(setup = in_a_layer)]
#[bench::of_100()]
fn request_in_a_layer(bare: Bare) -> Bare {
    warm(bare)
}

#[library_benchmark(setup = winddown)]
#[bench::of_100()]
fn request_winddown((requests, injected): (Requests, Injected)) -> Requests {
    for _ in 0..REQUESTS {
        requests::serve(&requests, request());
        injected.happen();
    }
    requests
}

#[library_benchmark(setup = streams)]
#[bench::of_100()]
fn request_streamed(requests: Requests) -> Requests {
    requests::serve(&requests, request());
    requests
}

#[library_benchmark(setup = winddown)]
#[bench::of_100()]
fn admission((requests, _): (Requests, Injected)) -> Requests {
    (0..REQUESTS).for_each(|_| assert!(black_box(requests.admit())));
    requests
}

#[library_benchmark(setup = Tree::of)]
#[bench::of_10_000(10_000)]
fn cancel(tree: Tree) -> Tree {
    tree.cancel();
    tree
}

library_benchmark_group!(
    name = paths,
    benchmarks = [request_bare, request_in_a_layer, request_winddown, request_streamed, admission, cancel]
);

main!(
    config = LibraryBenchmarkConfig::default()
        .pass_through_env(INJECT)
        // A block counts for a bench when its stack goes down to it, and stacks are deep here.
        .tool(Dhat::with_args(["--num-callers=200"])),
    library_benchmark_groups = paths
);
