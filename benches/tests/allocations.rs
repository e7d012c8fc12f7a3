//! How often a request asks for memory: a number that repeats, unlike a time.

use allocation_counter::measure;
use benches::requests::{self, Bare, request, router};
use metrics_exporter_prometheus::PrometheusBuilder;
use winddown::bench::Requests;

/// Requests that are counted, and as many before them: of a route's clock, a connection's list, a histogram's first block.
const REQUESTS: u64 = 64;

#[test]
fn a_request_asks_for_memory_three_times_more_than_the_bare_router() {
    PrometheusBuilder::new().install_recorder().expect("it is the first");
    let (bare, layered) = (Bare::of(router(20)), Bare::in_a_layer(router(20)));
    let winddown = Requests::of(router(20));
    let each = |serve: &dyn Fn()| {
        (0..REQUESTS).for_each(|_| serve());
        // In whole ones: a histogram asks for a block now and then.
        measure(|| (0..REQUESTS).for_each(|_| serve())).count_total / REQUESTS
    };
    let alone = each(&|| bare.serve(request()));
    assert_eq!(each(&|| layered.serve(request())) - alone, 2, "a layer");
    // What is known of it, its place among the request's extensions, and the layer, less the box of a body that is empty.
    let more = each(&|| requests::serve(&winddown, request())) - alone;
    assert_eq!(more, 3);
}
