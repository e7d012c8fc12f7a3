//! Load by programs that everybody knows: `wrk` and `h2load`. One answer that is not well fails the run.

use std::{
    env, fs,
    io::Read,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use crate::server::wait;

/// The programs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 2] = [("wrk", "wrk"), ("h2load", "nghttp2-client")];

/// How long a program may take beyond what it was told to.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a load has had of a server.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    pub count: f64,
    pub per_second: f64,
}

/// What HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    /// By prior knowledge.
    Two,
}

/// Programs that are not here, each with the Debian package that has it.
pub fn missing() -> Vec<String> {
    let places = env::var_os("PATH").unwrap_or_default();
    let is_here = |name: &str| env::split_paths(&places).any(|folder| folder.join(name).is_file());
    let missing = PROGRAMS.into_iter().filter(|(name, _)| !is_here(name));
    missing.map(|(name, package)| format!("{name} (Debian: {package})")).collect()
}

/// What each of the programs says of its version.
pub fn versions() -> anyhow::Result<Vec<String>> {
    // wrk says it and fails.
    let said = |(name, _): (&str, _)| Command::new(name).arg("--version").output();
    let first_words = |text: &[u8]| {
        String::from_utf8_lossy(text).lines().next().map(|line| line.split(" [").next().unwrap_or_default().to_owned())
    };
    PROGRAMS.into_iter().map(|program| Ok(first_words(&said(program)?.stdout).unwrap_or_default())).collect()
}

/// Answers on 32 kept connections of HTTP/1.1, one request at a time on each.
pub fn kept(server: SocketAddr, seconds: usize) -> anyhow::Result<Answers> {
    wrk(server, seconds, &["--connections", "32"])
}

/// Answers to 32 clients which open a connection for each request.
pub fn new_connections(server: SocketAddr, seconds: usize) -> anyhow::Result<Answers> {
    wrk(server, seconds, &["--connections", "32", "--header", "Connection: close"])
}

/// Answers on 8 connections of HTTP/2, with 16 requests at a time on each.
pub fn streams(server: SocketAddr, seconds: usize) -> anyhow::Result<Answers> {
    let duration = format!("--duration={seconds}");
    let said = h2load(server, seconds, &["--clients=8", "--max-concurrent-streams=16", &duration])?;
    // finished in 2.01s, 3978.46 req/s, 470.11KB/s
    // requests: 8000 total, 8000 started, 8000 done, 8000 succeeded, ...
    Ok(Answers { count: number(&said, ", ", " succeeded,")?, per_second: number(&said, ", ", " req/s,")? })
}

/// Requests each second of [`latencies`], on so many connections.
pub const RATE: usize = 4_000;
const CONNECTIONS: usize = 80;

/// With less of the rate than this the load was late itself.
const KEPT: f64 = 0.95;

/// How long each answer takes, in microseconds from the sending of the request to the end of the answer, the shortest first,
/// while a fixed number of requests is sent each second.
///
/// Each connection sends 50 requests a second, and they begin one after the other, four in each millisecond: so requests
/// come evenly. On HTTP/2 none waits for the answer before it. On HTTP/1.1 one that is due while its connection still waits
/// is sent late, and its time begins only then. Such a wait is left out (coordinated omission), and so is any delay of
/// h2load itself. How much that can be is known by the rate that was kept, and is said when it matters.
pub fn latencies(server: SocketAddr, http: Http, seconds: usize) -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("requests");
    let log_file = format!("--log-file={}", log.display());
    let requests = format!("--requests={}", RATE * seconds);
    let (clients, each) = (format!("--clients={CONNECTIONS}"), format!("--rps={}", RATE / CONNECTIONS));
    let mut args = vec![&*clients, &*each, &*requests, "--rate=4", "--rate-period=1ms", &*log_file];
    match http {
        Http::One => args.push("--h1"),
        Http::Two => args.push("--max-concurrent-streams=100"),
    }
    let said = h2load(server, seconds, &args)?;
    let kept = number(&said, ", ", " req/s,")?;
    if kept < KEPT * RATE as f64 {
        eprintln!("h2load has sent {kept:.0} requests a second, not {RATE}: how late they were is in no percentile");
    }
    let mut times = times(&log)?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// The time of each request in the log of h2load: when it was sent, the status, the microseconds to the end of the answer.
fn times(log: &Path) -> anyhow::Result<Vec<f64>> {
    let text = fs::read_to_string(log).with_context(|| format!("h2load has left no {}", log.display()))?;
    let time = |line: &str| line.split('\t').nth(2)?.parse().ok();
    let times = text.lines().map(|line| time(line).with_context(|| format!("h2load logs {line:?}, no request")));
    times.collect()
}

fn wrk(server: SocketAddr, seconds: usize, args: &[&str]) -> anyhow::Result<Answers> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--duration", &seconds.to_string()]).args(args);
    let said = run(command.arg(format!("http://{server}/hello")), seconds)?;
    for word in ["Socket errors", "Non-2xx"] {
        ensure!(!said.contains(word), "wrk had other answers:\n{said}");
    }
    //   5486 requests in 2.07s, 750.04KB read
    // Requests/sec:   2652.91
    Ok(Answers { count: number(&said, "\n", " requests in ")?, per_second: number(&said, "Requests/sec:", "\n")? })
}

fn h2load(server: SocketAddr, seconds: usize, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("h2load");
    let said = run(command.args(args).arg(format!("http://{server}/hello")), seconds)?;
    ensure!(said.contains(" 0 failed, 0 errored, 0 timeout"), "h2load had other answers:\n{said}");
    ensure!(said.contains(" 0 3xx, 0 4xx, 0 5xx"), "h2load had other answers:\n{said}");
    Ok(said)
}

/// The number in what a program said that ends before `after`, and begins behind `before`.
fn number(said: &str, before: &str, after: &str) -> anyhow::Result<f64> {
    let within = |line: &str| line.rsplit_once(before)?.1.trim().parse().ok();
    let number = said.match_indices(after).find_map(|(end, _)| within(&said[..end]));
    number.with_context(|| format!("there is no number between {before:?} and {after:?} in:\n{said}"))
}

/// Runs a program that is to take some seconds; returns what it said.
fn run(command: &mut Command, seconds: usize) -> anyhow::Result<String> {
    let bound = Duration::from_secs(seconds as u64) + PATIENCE;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let Some((status, _)) = wait(&mut child, bound)? else {
        child.kill()?;
        child.wait()?;
        bail!("{command:?} still runs after {bound:?}");
    };
    let mut said = String::new();
    // It says less than a pipe holds.
    child.stdout.take().expect("it is piped").read_to_string(&mut said)?;
    ensure!(status.success(), "{command:?} ended with {status}:\n{said}");
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_what_the_programs_say() {
        let wrk = "    Req/Sec     2.67k\n  5486 requests in 2.07s, 750.04KB read\nRequests/sec:   2652.91\nTransfer/sec: 3KB\n";
        assert!(number(wrk, "\n", " requests in ").ok() == Some(5486.0));
        assert!(number(wrk, "Requests/sec:", "\n").ok() == Some(2652.91));
        let h2load =
            "finished in 2.01s, 3978.46 req/s, 470.11KB/s\nrequests: 80 total, 80 done, 79 succeeded, 1 failed\n";
        assert!(number(h2load, ", ", " req/s,").ok() == Some(3978.46));
        assert!(number(h2load, ", ", " succeeded,").ok() == Some(79.0));
        let error = number(wrk, ", ", " succeeded,").expect_err("it is not said").to_string();
        assert!(error.contains(" succeeded,") && error.contains("5486"), "{error}");
    }
}
