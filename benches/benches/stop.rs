//! What a stop of something large costs by itself: 10,000 connections with a request in flight on each, 1,000 background
//! tasks, 20 hooks.
//!
//! - **cancelling**: half of the time of a stop outside of its phases, in which the tokens of the whole tree are cancelled twice:
//!   at T0, and when the servers close.
//! - **overhead**: what the phases took beyond their own work: the hooks one after the other, the lame duck its length. The
//!   drain is left out, for its work is that of connections and clients.
//! - **told**: from the moment at which the stop is asked for until the last handler and the last task has been woken, polled
//!   and told; and for handlers the same of the word that comes at the deadline, here by a second signal. For that one each of
//!   them waits on a token of its own.
//!
//! It fails when somebody was not told or something was cut. Times depend on what else the machine does, and are only shown.
//! `STOP_CONNECTIONS` says how many there are.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use axum::{Router, extract::State, routing::get};
use benches::{
    asked::{Asked, setting},
    clients::{Clients, Told, most_connections},
    median::median,
    server::Server,
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use winddown::{Draining, Phase, Report, Shutdown, Signal, Signals, Split};

const CONNECTIONS: usize = 10_000;
const TASKS: usize = 1_000;
const HOOKS: usize = 20;
const RUNS: usize = 5;

/// Connections of the run that `cargo test` makes, to see that the bench still works.
const SMOKE: usize = 20;

const LAME_DUCK: Duration = Duration::from_millis(300);

/// How long a hook works.
const HOOK: Duration = Duration::from_millis(2);

/// Longest wait for the process and its clients.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is wanted of a quiet machine.
const CANCELLING_MS: f64 = 20.0;
const OVERHEAD_MS: f64 = 10.0;

fn main() -> anyhow::Result<ExitCode> {
    match Asked::now() {
        Asked::Server(args) => {
            let [connections, result] = args.as_slice() else { bail!("{args:?} are no connections and a file") };
            return serve_and_stop(connections.parse()?, result.as_ref());
        }
        Asked::Names => {}
        Asked::Bench => {
            let connections = setting("STOP_CONNECTIONS", CONNECTIONS)?.min(most_connections()?);
            let stops = (0..RUNS).map(|_| Stop::measure(connections)).collect::<anyhow::Result<Vec<_>>>()?;
            print(connections, &stops);
        }
        Asked::Test => {
            Stop::measure(SMOKE)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// When the last of many was told.
#[derive(Debug)]
struct Last {
    count: AtomicUsize,
    begin: Instant,
    /// Nanoseconds since `begin`.
    at: AtomicU64,
}

impl Last {
    fn new() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), begin: Instant::now(), at: AtomicU64::new(0) })
    }

    fn told(&self) {
        self.at.fetch_max(self.begin.elapsed().as_nanos() as u64, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    fn since(&self, moment: Instant) -> f64 {
        (self.at.load(Relaxed) as f64 / 1e6) - (moment - self.begin).as_secs_f64() * 1e3
    }
}

type Held = (Arc<Last>, Arc<Last>, CancellationToken);

/// The child: serves until `connections` requests are in flight, stops, and writes what it saw.
#[tokio::main]
async fn serve_and_stop(connections: usize, result: &Path) -> anyhow::Result<ExitCode> {
    // Time for all answers and their clients once they are told to end.
    let split = Split { lame_duck: Some(LAME_DUCK), cancel_grace: Some(Duration::from_secs(10)), ..Split::default() };
    let stop = Shutdown::builder().split(split).build()?;
    let (draining, cancelled) = (Last::new(), Last::new());
    for i in 0..TASKS {
        let draining = draining.clone();
        stop.spawn(format!("task {i}"), |task| async move {
            task.draining().await;
            draining.told();
        });
    }
    for i in 0..HOOKS {
        let phase = [Phase::LameDuck, Phase::Background, Phase::Release, Phase::Flush][i % 4];
        stop.hook(phase, format!("hook {i}"), |_| async {
            sleep(HOOK).await;
            Ok(())
        });
    }
    // Nobody answers before all are told: answers take longer, and would stand between the first and the last.
    let answer = CancellationToken::new();
    let held = |State((draining, cancelled, answer)): State<Held>, told: Draining| async move {
        let at_the_deadline = told.cancelled();
        told.draining().await;
        draining.told();
        at_the_deadline.await;
        cancelled.told();
        answer.cancelled().await;
        "held"
    };
    let router = Router::new().route("/held", get(held));
    let router = router.with_state((draining.clone(), cancelled.clone(), answer.clone()));
    let server = stop.serve("bench", winddown::bind("127.0.0.1:0".parse()?)?, router);
    println!("{}", server.local_addr()?);

    let (signals, received) = tokio::sync::mpsc::unbounded_channel();
    let signals_stream = Signals::from_stream(tokio_stream::wrappers::UnboundedReceiverStream::new(received));
    let status = stop.clone();
    let running = tokio::spawn(stop.run_until(signals_stream));
    while status.status().requests_in_flight < connections {
        sleep(Duration::from_millis(10)).await;
    }
    let t0 = Instant::now();
    signals.send(Signal::Term)?;
    sleep(winddown::DEBOUNCE + Duration::from_millis(200)).await;
    let forced = Instant::now();
    signals.send(Signal::Term)?;
    while cancelled.count.load(Relaxed) < connections {
        sleep(Duration::from_millis(10)).await;
    }
    answer.cancel();
    let report = running.await?;
    ensure!(draining.count.load(Relaxed) == connections + TASKS, "not all were told of T0: {draining:?}");
    ensure!((report.requests.cut, report.cut_tasks_total) == (0, 0), "{report}");
    let told = json!({
        "draining_ms": draining.since(t0),
        "cancelled_ms": cancelled.since(forced),
        "cancelling_ms": cancelling(&report).as_secs_f64() * 1e3,
        "overhead_ms": overhead(&report).as_secs_f64() * 1e3,
        "drain_ms": duration(&report, Phase::Drain).as_secs_f64() * 1e3,
    });
    fs::write(result, told.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn duration(report: &Report, phase: Phase) -> Duration {
    report.phases.iter().filter(|report| report.phase == phase).map(|report| report.duration).sum()
}

/// What a stop took outside of its phases, for each of two times.
fn cancelling(report: &Report) -> Duration {
    report.duration.saturating_sub(report.phases.iter().map(|phase| phase.duration).sum()) / 2
}

/// What the phases took that neither a hook nor the lame duck nor the drain took.
fn overhead(report: &Report) -> Duration {
    let work = |phase| match phase {
        Phase::LameDuck => LAME_DUCK,
        Phase::Drain => duration(report, phase),
        _ => report.hooks.iter().filter(|hook| hook.phase == phase).map(|hook| hook.duration).sum(),
    };
    report.phases.iter().map(|phase| phase.duration.saturating_sub(work(phase.phase))).sum()
}

/// One stop, in milliseconds.
#[derive(Debug)]
struct Stop {
    cancelling: f64,
    overhead: f64,
    draining: f64,
    cancelled: f64,
    drain: f64,
}

impl Stop {
    fn measure(connections: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let result = folder.path().join("result.json");
        let mut server = Server::start(&[connections.to_string().as_ref(), result.as_os_str()])?;
        let clients = Clients::hold(server.address(), connections)?;
        let (told, _) = clients.until_told(PATIENCE)?;
        let (status, _) = server.wait(PATIENCE)?;
        ensure!(status.success(), "the server ended with {status}");
        ensure!(told == Told { answers: connections, ..Told::default() }, "not all had their answer: {told:?}");
        let told: Value = serde_json::from_str(&fs::read_to_string(&result)?)?;
        let of = |key: &str| told[key].as_f64().with_context(|| format!("no {key} in {told}"));
        Ok(Self {
            cancelling: of("cancelling_ms")?,
            overhead: of("overhead_ms")?,
            draining: of("draining_ms")?,
            cancelled: of("cancelled_ms")?,
            drain: of("drain_ms")?,
        })
    }
}

fn print(connections: usize, stops: &[Stop]) {
    println!("{connections} connections with a request each, {TASKS} background tasks, {HOOKS} hooks of {HOOK:?}\n");
    println!(
        "{:6} {:>13} {:>12} {:>13} {:>14} {:>11}",
        "", "cancelling", "overhead", "told of T0", "told to end", "(drain"
    );
    let columns: [fn(&Stop) -> f64; 5] =
        [|stop| stop.cancelling, |stop| stop.overhead, |stop| stop.draining, |stop| stop.cancelled, |stop| stop.drain];
    let row = |name: &str, [cancelling, overhead, draining, cancelled, drain]: [f64; 5]| {
        println!(
            "{name:6} {cancelling:10.1} ms {overhead:9.2} ms {draining:10.1} ms {cancelled:11.1} ms {drain:8.0} ms)"
        );
    };
    for (run, stop) in stops.iter().enumerate() {
        row(&(run + 1).to_string(), columns.map(|of| of(stop)));
    }
    let median = columns.map(|of| median(&stops.iter().map(of).collect::<Vec<_>>()));
    row("median", median);
    let [cancelling, overhead, ..] = median;
    let within = |value: f64, most: f64| if value <= most { "PASS" } else { "over" };
    println!(
        "\n{}  the whole tree cancelled in {cancelling:.1} ms, on a quiet machine at most {CANCELLING_MS} ms (not a gate)",
        within(cancelling, CANCELLING_MS)
    );
    println!(
        "{}  overhead {overhead:.2} ms, on a quiet machine at most {OVERHEAD_MS} ms (not a gate)",
        within(overhead, OVERHEAD_MS)
    );
}
