//! How long the parts take by themselves, and how they grow.
//!
//! | group | what it stands for |
//! |---|---|
//! | `admission` | a request counted in and out; on two threads, that all requests of a server meet at one counter |
//! | `body` | an answer of so many pieces of 1 KiB: what a long download pays for being in flight to its end |
//! | `cancel` | telling so many handlers that the stop has come: how soon the last of them can know |
//! | `stop` | the whole stop of a process with nothing in flight and so many hooks: what a restart costs at the least |
//! | `ledger` | a client noting a request; joining the ledgers of so many requests: how long a verdict takes |

use std::{
    fmt::Write,
    fs,
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use benches::requests::{self, request, router, streams};
use chaos::join::Join;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use loadtest::ledger::{Event, Kind, Ledger, Protocol};
use tokio::runtime::Runtime;
use winddown::{
    Cause, Phase, Shutdown, Signals, Split,
    bench::{Requests, Tree},
};

fn admission(criterion: &mut Criterion) {
    let requests = Requests::of(router(1));
    let mut group = criterion.benchmark_group("admission");
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("threads", threads), |bench| {
            bench.iter_custom(|times| {
                let admit = || (0..times).for_each(|_| assert!(black_box(requests.admit())));
                let began = Instant::now();
                thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(admit))));
                began.elapsed()
            });
        });
    }
}

fn body(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("body");
    for pieces in [1, 100, 10_000] {
        let requests = Requests::of(streams(pieces));
        group.throughput(Throughput::Elements(pieces as u64));
        group.bench_function(BenchmarkId::new("pieces", pieces), |bench| {
            bench.iter(|| requests::serve(&requests, request()));
        });
    }
}

fn cancel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cancel");
    group.sample_size(20);
    for handlers in [10, 1_000, 100_000] {
        group.throughput(Throughput::Elements(handlers as u64));
        group.bench_function(BenchmarkId::new("handlers", handlers), |bench| {
            bench.iter_batched_ref(|| Tree::of(handlers), |tree| tree.cancel(), BatchSize::PerIteration);
        });
    }
}

fn stop(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime can be made");
    let mut group = criterion.benchmark_group("stop");
    group.sample_size(20);
    for hooks in [0, 20] {
        group.bench_function(BenchmarkId::new("hooks", hooks), |bench| {
            bench.iter_custom(|times| (0..times).map(|_| runtime.block_on(one_stop(hooks))).sum());
        });
    }
}

/// From asking for the stop to its report.
async fn one_stop(hooks: usize) -> Duration {
    let split = Split { lame_duck: Some(Duration::ZERO), ..Split::default() };
    let stop = Shutdown::builder().split(split).build().expect("it fits");
    (0..hooks).for_each(|hook| stop.hook(Phase::Release, format!("hook {hook}"), |_| async { Ok(()) }));
    let handle = stop.handle();
    let mut phase = handle.watch();
    let running = tokio::spawn(stop.run_until(Signals::from_stream(tokio_stream::pending())));
    phase.wait_for(|status| status.phase == Phase::Running).await.expect("it starts");
    let began = Instant::now();
    handle.request(Cause::Requested { reason: "bench".into() });
    let report = running.await.expect("it ends");
    assert_eq!(report.exit_code(), 0);
    began.elapsed()
}

fn ledger(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (client, server) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
    let mut group = criterion.benchmark_group("ledger");
    let ledger = Ledger::create(&client).expect("the folder is new");
    let writer = ledger.writer();
    let intent = Event::Intent {
        connection: 1,
        sequence: 1,
        reused: true,
        protocol: Protocol::H1,
        kind: Kind::Fast,
        id: "t-1-1",
    };
    group.bench_function("append", |bench| bench.iter(|| writer.write(intent)));
    ledger.finish().expect("the disk has room");

    group.sample_size(10);
    for requests in [1_000, 100_000] {
        let [mut told, mut audit] = [String::from("1 connected 1 h1\n"), String::new()];
        for i in 0..requests {
            let at = 1_000 * (i + 1);
            let intent = writeln!(told, "{at} intent 1 {i} reused h1 fast r-{i}\n{} outcome ok 200 - r-{i}", at + 500);
            let entered = writeln!(audit, "{} enter 1 r-{i}\n{} handler_done 1 200 r-{i}", at + 100, at + 200);
            let ended = writeln!(audit, "{} body_end 1 complete r-{i}", at + 300);
            assert!([intent, entered, ended].iter().all(Result::is_ok), "writing to memory does not fail");
        }
        fs::write(&client, &told).and_then(|()| fs::write(&server, &audit)).expect("the disk has room");
        group.throughput(Throughput::Elements(requests));
        group.bench_function(BenchmarkId::new("join", requests), |bench| {
            bench.iter(|| Join::read(&client, &server).expect("they are well formed").judge(1_000));
        });
    }
}

criterion_group!(benches, admission, body, cancel, stop, ledger);
criterion_main!(benches);
