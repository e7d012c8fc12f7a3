//! What is measured of each server, and what winddown should reach.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use benches::{
    clients::Told,
    load::{self, Answers, Http},
    peers::Peer,
};

/// Connections with a request in flight at the stop under load.
const IN_FLIGHT: usize = 200;

/// Longest wait for the end of a server.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much is measured of each server in each round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Length of each load.
    pub(crate) seconds: usize,
    /// Idle connections whose memory is taken.
    pub(crate) connections: usize,
}

/// What one look at a server tells.
pub(crate) struct Measure {
    pub(crate) lines: &'static [Line],
    /// Whether it needs the programs that make load.
    pub(crate) is_load: bool,
    /// Starts a server of its own; one value for each line.
    pub(crate) of: fn(Peer, Size) -> anyhow::Result<Vec<f64>>,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) goal: Goal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Microseconds,
    Milliseconds,
    Bytes,
}

/// What winddown should reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// At least so many of what `axum::serve` has.
    AtLeast(f64),
    /// At most so many of what `axum::serve` has.
    AtMost(f64),
    /// At most so many, whatever others take.
    Within(f64),
    None,
}

pub(crate) const MEASURES: &[Measure] = &[
    Measure {
        lines: &[
            line("requests a second, HTTP/1.1", Unit::PerSecond, Goal::AtLeast(0.98)),
            line("CPU time of a request, HTTP/1.1", Unit::Microseconds, Goal::None),
        ],
        is_load: true,
        of: |peer, size| throughput(peer, load::kept, size),
    },
    Measure {
        lines: &[
            line("requests a second, HTTP/2", Unit::PerSecond, Goal::AtLeast(0.98)),
            line("CPU time of a request, HTTP/2", Unit::Microseconds, Goal::None),
        ],
        is_load: true,
        of: |peer, size| throughput(peer, load::streams, size),
    },
    Measure {
        lines: &[
            line("new connections a second", Unit::PerSecond, Goal::AtLeast(0.97)),
            line("CPU time of a new connection", Unit::Microseconds, Goal::None),
        ],
        is_load: true,
        of: |peer, size| throughput(peer, load::new_connections, size),
    },
    Measure {
        lines: &[
            line("p50 at a fixed rate, HTTP/1.1", Unit::Microseconds, Goal::None),
            line("p99 at a fixed rate, HTTP/1.1", Unit::Microseconds, Goal::None),
        ],
        is_load: true,
        of: |peer, size| percentiles(peer, Http::One, size),
    },
    Measure {
        lines: &[
            line("p50 at a fixed rate, HTTP/2", Unit::Microseconds, Goal::None),
            line("p99 at a fixed rate, HTTP/2", Unit::Microseconds, Goal::None),
        ],
        is_load: true,
        of: |peer, size| percentiles(peer, Http::Two, size),
    },
    Measure {
        lines: &[line("memory of an idle connection", Unit::Bytes, Goal::AtMost(1.05))],
        is_load: false,
        of: |peer, size| Ok(vec![peer.start_with_idle(size.connections)?.2]),
    },
    Measure {
        lines: &[line("SIGTERM to exit, no connection", Unit::Milliseconds, Goal::Within(20.0))],
        is_load: false,
        of: |peer, _| idle_stop(peer, 0),
    },
    Measure {
        lines: &[line("SIGTERM to exit, 100 idle connections", Unit::Milliseconds, Goal::Within(20.0))],
        is_load: false,
        of: |peer, _| idle_stop(peer, 100),
    },
    Measure {
        lines: &[line("last answer to exit, 200 in flight", Unit::Milliseconds, Goal::Within(10.0))],
        is_load: false,
        of: |peer, _| loaded_stop(peer),
    },
];

const fn line(name: &'static str, unit: Unit, goal: Goal) -> Line {
    Line { name, unit, goal }
}

fn throughput(
    peer: Peer,
    load: fn(SocketAddr, usize) -> anyhow::Result<Answers>,
    size: Size,
) -> anyhow::Result<Vec<f64>> {
    let server = peer.start()?;
    let before = server.cpu_time()?;
    let answers = load(server.address(), size.seconds)?;
    let taken = server.cpu_time()?.saturating_sub(before);
    Ok(vec![answers.per_second, taken.as_secs_f64() * 1e6 / answers.count])
}

fn percentiles(peer: Peer, http: Http, size: Size) -> anyhow::Result<Vec<f64>> {
    let times = load::latencies(peer.start()?.address(), http, size.seconds)?;
    Ok([50, 99].map(|percent| times[(times.len() - 1) * percent / 100]).to_vec())
}

/// A server that has answered before. What its clients are told is looked at by the idle bench.
fn idle_stop(peer: Peer, connections: usize) -> anyhow::Result<Vec<f64>> {
    let (mut server, clients, _) = peer.start_with_idle(connections)?;
    let signalled = server.terminate()?;
    clients.until_told(PATIENCE)?;
    let (status, ended) = server.wait(PATIENCE)?;
    ensure!(status.success(), "{} ended with {status}", peer.name());
    Ok(vec![milliseconds(signalled, ended)])
}

/// A server with requests in flight, all of which it answers.
fn loaded_stop(peer: Peer) -> anyhow::Result<Vec<f64>> {
    let (mut server, clients) = peer.start_with_held(IN_FLIGHT, PATIENCE)?;
    server.terminate()?;
    let (told, last) = clients.until_told(PATIENCE)?;
    let (status, ended) = server.wait(PATIENCE)?;
    let all = Told { answers: IN_FLIGHT, ..Told::default() };
    ensure!(status.success() && told == all, "{} ended with {status}, and its clients with {told:?}", peer.name());
    Ok(vec![milliseconds(last, ended)])
}

fn milliseconds(from: Instant, to: Instant) -> f64 {
    (to - from).as_secs_f64() * 1e3
}
