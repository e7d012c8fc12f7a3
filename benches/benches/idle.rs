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

use std::{process::ExitCode, time::Duration};

use anyhow::ensure;
use benches::{
    asked::{Asked, setting},
    clients::{Told, most_connections},
    median::median,
    peers::{self, Peer},
};

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
    match Asked::now() {
        Asked::Server(args) => peers::serve(&args),
        Asked::Names => Ok(ExitCode::SUCCESS),
        Asked::Bench => {
            let results = Results::measure(setting("IDLE_CONNECTIONS", CONNECTIONS)?, setting("IDLE_PAIRS", PAIRS)?)?;
            results.print();
            let passed = results.ratio() <= MEMORY && results.are_all_told();
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Asked::Test => {
            let results = Results::measure(SMOKE, 1)?;
            ensure!(results.are_all_told(), "not all were told: {:?}", results.stops);
            Ok(ExitCode::SUCCESS)
        }
    }
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
        let (mut server, clients, bytes) = Peer::Winddown.start_with_idle(self.connections)?;
        self.winddown.push(bytes);
        let signalled = server.terminate()?;
        let (told, last) = clients.until_told(PATIENCE)?;
        let (status, ended) = server.wait(PATIENCE)?;
        ensure!(status.success(), "winddown ended with {status}");
        self.stops.push(Stop { told, all_told: last - signalled, exit: ended - signalled });
        Ok(())
    }

    fn measure_axum(&mut self) -> anyhow::Result<()> {
        let (_server, _clients, bytes) = Peer::Axum.start_with_idle(self.connections)?;
        self.axum.push(bytes);
        Ok(())
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
        println!("pair      winddown        axum   ratio      told  all told      exit");
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
