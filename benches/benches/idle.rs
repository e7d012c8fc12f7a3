//! What an idle kept connection costs, and how quickly 10,000 of them are told to leave.
//!
//! The same router is served by `winddown` and by stock `axum::serve`, in turn, each in a process of its own that this
//! binary starts from itself. Every connection carries one request and then rests. Memory is the growth of the server's
//! resident set, divided by the connections. Then `winddown` is stopped, with no lame duck, and each client waits for its
//! 408 and FIN.
//!
//! It fails when `winddown` takes more than [`MEMORY`] times the memory of the other, or when a client was not told.
//! Times depend on what else the machine does, and are only shown. `IDLE_CONNECTIONS` and `IDLE_PAIRS` say how much is
//! measured.

use std::{
    env,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, ensure};
use axum::{Router, routing::get};
use benches::{
    clients::{Clients, Told, most_connections},
    server::Server,
};
use tokio::net::TcpListener;
use winddown::{Shutdown, Split};

/// Connections of each server.
const CONNECTIONS: usize = 10_000;

/// Pairs of servers. One comes first in the odd pairs, the other in the even ones.
const PAIRS: usize = 4;

/// Connections of the one pair that `cargo test` runs, to see that the bench still works.
const SMOKE: usize = 20;

/// The most memory of an idle connection, in those of stock axum.
const MEMORY: f64 = 1.10;

/// The time in which all should have been told, and the process gone.
const STOP: Duration = Duration::from_millis(500);

/// Longest wait for either.
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<_> = env::args().skip(1).collect();
    let given = |arg: &str| args.iter().any(|other| other == arg);
    match args.as_slice() {
        [serve, server] if serve == "--serve" && server == WINDDOWN => return serve_winddown(),
        [serve, server] if serve == "--serve" && server == AXUM => return serve_axum(),
        // Test runners ask so for the names of tests, of which there are none.
        _ if given("--list") => return Ok(ExitCode::SUCCESS),
        _ => {}
    }
    // `cargo bench` says so, and `cargo test` does not.
    if given("--bench") {
        let results = Results::measure(setting("IDLE_CONNECTIONS", CONNECTIONS)?, setting("IDLE_PAIRS", PAIRS)?)?;
        results.print();
        let passed = results.ratio() <= MEMORY && results.are_all_told();
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    } else {
        let results = Results::measure(SMOKE, 1)?;
        ensure!(results.are_all_told(), "not all were told: {:?}", results.stops);
        Ok(ExitCode::SUCCESS)
    }
}

fn setting(name: &str, default: usize) -> anyhow::Result<usize> {
    let Ok(value) = env::var(name) else { return Ok(default) };
    let value = value.parse().ok().filter(|value| *value > 0);
    value.with_context(|| format!("{name} must be a whole number from 1 on; without it, {default} is taken"))
}

const WINDDOWN: &str = "winddown";
const AXUM: &str = "axum";

fn router() -> Router {
    Router::new().route("/hello", get(|| async { "hello" }))
}

/// Serves until SIGTERM. The first line on standard output says where.
#[tokio::main]
async fn serve_winddown() -> anyhow::Result<ExitCode> {
    let signals = winddown::signals()?;
    let split = Split { lame_duck: Some(Duration::ZERO), ..Split::default() };
    let stop = Shutdown::builder().split(split).build()?;
    let server = stop.serve("bench", winddown::bind("127.0.0.1:0".parse()?)?, router());
    println!("{}", server.local_addr()?);
    Ok(stop.run_until(signals).await.into())
}

/// The same until it is killed.
#[tokio::main]
async fn serve_axum() -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router()).await?;
    Ok(ExitCode::SUCCESS)
}

/// What was measured; one value a pair.
#[derive(Debug, Default)]
struct Results {
    connections: usize,
    /// Bytes per connection.
    winddown: Vec<f64>,
    axum: Vec<f64>,
    stops: Vec<Stop>,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    told: Told,
    /// From the signal until the last client had its FIN.
    all_told: Duration,
    /// From the signal to the end of the process.
    exit: Duration,
}

impl Results {
    fn measure(wanted: usize, pairs: usize) -> anyhow::Result<Self> {
        let connections = wanted.min(most_connections()?);
        if connections < wanted {
            println!("The limit of open files allows for {connections} connections, not for {wanted}.");
        }
        let mut results = Self { connections, ..Self::default() };
        for pair in 0..pairs {
            // What the machine does meanwhile must not always hit the same one of them.
            if pair % 2 == 0 {
                results.measure_axum()?;
                results.measure_winddown()?;
            } else {
                results.measure_winddown()?;
                results.measure_axum()?;
            }
        }
        Ok(results)
    }

    fn measure_winddown(&mut self) -> anyhow::Result<()> {
        let (mut server, clients, bytes) = self.open(WINDDOWN)?;
        self.winddown.push(bytes);
        let signalled = server.terminate()?;
        let (told, last) = clients.until_told(PATIENCE)?;
        let (status, ended) = server.wait(PATIENCE)?;
        ensure!(status.success(), "winddown ended with {status}");
        self.stops.push(Stop { told, all_told: last - signalled, exit: ended - signalled });
        Ok(())
    }

    fn measure_axum(&mut self) -> anyhow::Result<()> {
        let (_server, _clients, bytes) = self.open(AXUM)?;
        self.axum.push(bytes);
        Ok(())
    }

    /// Starts a server and opens its connections; returns what each of them costs it.
    fn open(&self, name: &str) -> anyhow::Result<(Server, Clients, f64)> {
        let server = Server::start(Command::new(env::current_exe()?).args(["--serve", name]))?;
        // What the first request brings into being is no cost of a connection.
        drop(Clients::open(server.address(), 1)?);
        let before = server.resident()?;
        let clients = Clients::open(server.address(), self.connections)?;
        let growth = server.resident()?.saturating_sub(before);
        Ok((server, clients, growth as f64 / self.connections as f64))
    }

    fn ratio(&self) -> f64 {
        median(&self.winddown) / median(&self.axum)
    }

    fn are_all_told(&self) -> bool {
        self.stops.iter().all(|stop| stop.told == Told { farewells: self.connections, ..Told::default() })
    }

    fn print(&self) {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let row = |name: &str, winddown: f64, axum: f64, told: &str, all_told: f64, exit: f64| {
            let ratio = winddown / axum;
            println!("{name:6} {winddown:9.0} B {axum:9.0} B {ratio:7.2} {told:>9} {all_told:6.0} ms {exit:6.0} ms");
        };
        println!("{} idle connections, each of which has carried one request\n", self.connections);
        println!("{:6} {:>33} {:>29}", "", "memory of a connection", "stop of winddown");
        println!("pair {:>13} {:>11} {:>7} {:>9} {:>9} {:>9}", WINDDOWN, AXUM, "ratio", "told", "all told", "exit");
        for (pair, stop) in self.stops.iter().enumerate() {
            let (all_told, exit) = (milliseconds(stop.all_told), milliseconds(stop.exit));
            let (name, told) = ((pair + 1).to_string(), stop.told.farewells.to_string());
            row(&name, self.winddown[pair], self.axum[pair], &told, all_told, exit);
        }
        let median_of = |time: fn(&Stop) -> Duration| {
            median(&self.stops.iter().map(|stop| milliseconds(time(stop))).collect::<Vec<_>>())
        };
        let (all_told, exit) = (median_of(|stop| stop.all_told), median_of(|stop| stop.exit));
        row("median", median(&self.winddown), median(&self.axum), "", all_told, exit);

        let verdict = |passed| if passed { "PASS" } else { "FAIL" };
        println!(
            "\n{}  memory: {:.2} of stock axum's, at most {MEMORY:.2}",
            verdict(self.ratio() <= MEMORY),
            self.ratio()
        );
        println!("{}  every client was told: 408, then FIN", verdict(self.are_all_told()));
        let within = if exit <= milliseconds(STOP) { "PASS" } else { "over" };
        println!("{within}  time: all told and gone in {exit:.0} ms, on a quiet machine at most {STOP:?} (not a gate)");
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}
