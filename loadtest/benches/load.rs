//! What `loadtest` gets out of a machine that it shares with its server, beside `wrk`, and what the ledger takes of it.
//!
//! All loads of a round are on the same server, one after the other. A ratio is of one round; the table has the medians.
//! Without `wrk` its columns are left out. `LOAD_ROUNDS` and `LOAD_SECONDS` size it.

use std::{
    env, io,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
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

/// What a round has measured, in requests a second.
struct Round {
    kept: f64,
    without_ledger: f64,
    without_goose: f64,
    fresh: f64,
    wrk: Option<[f64; 2]>,
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
    let row = |name: &str, measured: &dyn Fn(&Round) -> f64, beside: &dyn Fn(&Round) -> Option<f64>| {
        let ratios = rounds.iter().filter_map(|round| Some(measured(round) / beside(round)?));
        let ratio = median(ratios).map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"));
        let each = median(rounds.iter().map(measured)).unwrap_or_default();
        println!("| {name} | {each:.0} | {ratio} |");
    };
    println!(
        "| {CONNECTIONS} connections, a second | loadtest | of wrk, or of the row with the ledger |\n|---|---:|---:|"
    );
    row("requests, with the ledger", &|round| round.kept, &|round| Some(round.wrk?[0]));
    row("requests, without the ledger", &|round| round.without_ledger, &|round| Some(round.kept));
    row("requests, with the ledger, goose told nothing", &|round| round.without_goose, &|round| Some(round.kept));
    row("new connections, with the ledger", &|round| round.fresh, &|round| Some(round.wrk?[1]));
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Requests a second of a run, all of which went well.
fn loadtest(server: SocketAddr, seconds: u64, flags: &[&str]) -> f64 {
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
    count.unwrap_or_else(|| panic!("not all went well:\n{said}")) / Duration::from_secs(seconds).as_secs_f64()
}

fn wrk(server: SocketAddr, seconds: u64, flags: &[&str]) -> f64 {
    let said = Command::new("wrk")
        .args(["--threads=1", &format!("--connections={CONNECTIONS}"), &format!("--duration={seconds}")])
        .args(flags)
        .arg(format!("http://{server}/hello"))
        .output()
        .expect("wrk starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    // Requests/sec:  76031.22
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    rate.unwrap_or_else(|| panic!("wrk says nothing of its rate:\n{said}"))
}
