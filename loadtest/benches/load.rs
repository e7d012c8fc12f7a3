//! What `loadtest` gets out of a machine that it shares with its server, beside `wrk`, and what the ledger takes of it.
//!
//! All loads of a round are on the same server, one after the other. A ratio is of one round; the table has the medians.
//! Where other work wants the cores, look at the CPU time of a request: it hardly changes.
//! Without `wrk` its columns are left out. `LOAD_ROUNDS` and `LOAD_SECONDS` size it.

use std::{
    env, fs, io,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use axum::{Router, routing::get};

/// Connections, of each program.
const CONNECTIONS: &str = "32";

/// The first argument of a server that this program starts of itself.
const SERVE: &str = "serve";

fn main() {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        Some(SERVE) => serve(),
        Some("--bench") => compare(),
        // Among the tests there is nothing to see.
        _ => {}
    }
}

/// Says where it is on standard output, and serves until it is killed.
#[tokio::main]
async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    println!("{}", listener.local_addr().expect("it is bound"));
    axum::serve(listener, Router::new().route("/hello", get(|| async { "hello" }))).await.expect("it does not end");
}

struct Server(Child, SocketAddr);

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().expect("this program is a file"));
        let mut child = command.arg(SERVE).stdout(Stdio::piped()).spawn().expect("this program starts");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("it is piped");
        io::BufRead::read_line(&mut io::BufReader::new(output), &mut line).expect("the server says where it is");
        let address = line.trim().parse().expect("it says an address");
        Self(child, address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a round has measured.
struct Round {
    kept: Measured,
    without_ledger: Measured,
    without_goose: Measured,
    fresh: Measured,
    wrk: Option<[Measured; 2]>,
}

/// What a program made of its time.
#[derive(Clone, Copy)]
struct Measured {
    per_second: f64,
    /// What it took of the cores for one request, the server's share left out, in microseconds.
    cpu: f64,
}

fn compare() {
    let number = |name: &str, default: u64| env::var(name).map_or(default, |text| text.parse().expect(name));
    let (rounds, seconds) = (number("LOAD_ROUNDS", 9), number("LOAD_SECONDS", 3));
    let has_wrk = Command::new("wrk").arg("--version").output().is_ok();
    if !has_wrk {
        println!("wrk is not here (Debian: wrk): its column is left out");
    }
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let ledger = format!("--ledger={}", folder.path().join("ledger").display());
    let load = |flags: &[&str]| loadtest(server.1, seconds, flags);
    let rounds: Vec<_> = (0..rounds)
        .map(|_| Round {
            kept: load(&["--fresh=0", &ledger]),
            without_ledger: load(&["--fresh=0"]),
            without_goose: load(&["--fresh=0", &ledger, "--no-metrics"]),
            fresh: load(&["--fresh=100", &ledger]),
            wrk: has_wrk.then(|| [wrk(server.1, seconds, &[]), wrk(server.1, seconds, &["-H", "Connection: close"])]),
        })
        .collect();
    let row = |name: &str, measured: fn(&Round) -> Measured, beside: fn(&Round) -> Option<Measured>| {
        let of = |what: fn(Measured) -> f64| {
            let ratio = median(rounds.iter().filter_map(|round| Some(what(measured(round)) / what(beside(round)?))));
            let each = median(rounds.iter().map(|round| what(measured(round)))).unwrap_or_default();
            (each, ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}")))
        };
        let ((per_second, rate_ratio), (cpu, cpu_ratio)) = (of(|round| round.per_second), of(|round| round.cpu));
        println!("| {name} | {per_second:.0} | {rate_ratio} | {cpu:.1} µs | {cpu_ratio} |");
    };
    println!("| {CONNECTIONS} connections | a second | ratio | CPU time of one | ratio |\n|---|---:|---:|---:|---:|");
    row("requests, with the ledger · to wrk", |round| round.kept, |round| Some(round.wrk?[0]));
    row("without the ledger · to with it", |round| round.without_ledger, |round| Some(round.kept));
    row("goose told nothing · to told all", |round| round.without_goose, |round| Some(round.kept));
    row("new connections, with the ledger · to wrk", |round| round.fresh, |round| Some(round.wrk?[1]));
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A run, all of whose requests went well.
fn loadtest(server: SocketAddr, seconds: u64, flags: &[&str]) -> Measured {
    let before = cpu_of_children();
    let said = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args([
            &format!("--host=http://{server}"),
            &format!("--run-time={seconds}s"),
            &format!("--users={CONNECTIONS}"),
        ])
        .args(["--h2=0", "--mix=fast=1", "--no-print-metrics"])
        .args(flags)
        .output()
        .expect("loadtest starts");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    // loadtest: ok 211234
    let count = said.lines().last().and_then(|line| line.strip_prefix("loadtest: ok ")?.parse::<f64>().ok());
    let count = count.unwrap_or_else(|| panic!("not all went well:\n{said}"));
    Measured { per_second: count / seconds as f64, cpu: (cpu_of_children() - before) * 1e6 / count }
}

fn wrk(server: SocketAddr, seconds: u64, flags: &[&str]) -> Measured {
    let before = cpu_of_children();
    let said = Command::new("wrk")
        .args(["--threads=1", &format!("--connections={CONNECTIONS}"), &format!("--duration={seconds}")])
        .args(flags)
        .arg(format!("http://{server}/hello"))
        .output()
        .expect("wrk starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    // Requests/sec:  76031.22
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    let per_second: f64 = rate.unwrap_or_else(|| panic!("wrk says nothing of its rate:\n{said}"));
    Measured { per_second, cpu: (cpu_of_children() - before) * 1e6 / (per_second * seconds as f64) }
}

/// The seconds on a core that those children have had that have ended, and been waited for.
fn cpu_of_children() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
    // Behind the name, which may have spaces: cutime and cstime are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').expect("the name stands in brackets");
    let ticks = fields.split_whitespace().skip(13).take(2).map(|field| field.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / TICKS_A_SECOND
}
