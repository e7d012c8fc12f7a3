//! The same router on `winddown`, on `axum::serve` and on the crate axum-server: what a user of one would gain or lose with
//! another.
//!
//! In each round every measure is taken of all three, one after the other, each time of a new process: in one round in this
//! order, in the next one in the other (A B, B A), so that what the machine does meanwhile does not always hit the same one. A
//! round has one ratio of each; what is told is their median, and the order-statistic interval of it, 95 % (`median.rs`).
//!
//! Load is made by `wrk` and `h2load`, which take their share of the same cores: so ratios of throughput are nearer to 1
//! than those of what the servers alone take. That is told as CPU time, which other processes hardly change.
//!
//! It fails when an answer is missing or another than it should be, and not by what it measures. What is missed is said.
//! `PEERS_ROUNDS`, `PEERS_SECONDS` (of each load) and `PEERS_CONNECTIONS` (idle ones) say how much is measured;
//! `PEERS_PLOT=docs/peers.svg` draws it. The table is Markdown.

mod measures;
mod table;

use std::{env, fs, path::Path, process::ExitCode, thread::available_parallelism};

use anyhow::{Context, ensure};
use benches::{
    asked::{Asked, setting},
    clients::most_connections,
    load,
    median::FEWEST,
    peers::{self, Peer},
};

use crate::{
    measures::{MEASURES, Measure, Size},
    table::Table,
};

const ROUNDS: usize = 30;
const SECONDS: usize = 1;
const CONNECTIONS: usize = 2_000;

/// The one round of `cargo test`.
const SMOKE: Size = Size { seconds: 1, connections: 20 };

fn main() -> anyhow::Result<ExitCode> {
    match Asked::now() {
        Asked::Server(args) => return peers::serve(&args),
        Asked::Names => {}
        Asked::Bench => bench()?,
        Asked::Test => test()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn bench() -> anyhow::Result<()> {
    let missing = load::missing();
    ensure!(missing.is_empty(), "this bench needs {}", missing.join(" and "));
    let rounds = setting("PEERS_ROUNDS", ROUNDS)?;
    let connections = setting("PEERS_CONNECTIONS", CONNECTIONS)?.min(most_connections()?);
    let size = Size { seconds: setting("PEERS_SECONDS", SECONDS)?, connections };
    let measures: Vec<_> = MEASURES.iter().collect();
    let table = measure(&measures, size, rounds)?;
    println!("{rounds} rounds · loads of {} s · {} idle connections", size.seconds, size.connections);
    // Beyond three it is the work of others: a client, and a server on two workers.
    let load_average = fs::read_to_string("/proc/loadavg")?;
    let load_average = load_average.split(' ').next().unwrap_or_default();
    println!("{} · {} cores, load average {load_average}\n", load::versions()?.join(" · "), available_parallelism()?);
    println!("{table}");
    if rounds < FEWEST {
        println!("Fewer than {FEWEST} rounds: behind a ratio are the least and the most, not an interval of 95 %.");
    }
    if let Some(path) = env::var_os("PEERS_PLOT") {
        // Cargo runs benches in the folder of their package, and is itself run in that of the workspace.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        fs::write(&path, table.plot()).with_context(|| format!("PEERS_PLOT: cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One small round, of what can be measured here.
fn test() -> anyhow::Result<()> {
    let missing = load::missing();
    if !missing.is_empty() {
        let required = env::var_os("REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
        ensure!(!required, "REQUIRE_REAL_PARTS is 1, and this needs {}", missing.join(" and "));
        eprintln!("peers: loads are skipped: they need {}", missing.join(" and "));
    }
    let measures: Vec<_> = MEASURES.iter().filter(|measure| !measure.is_load || missing.is_empty()).collect();
    let table = measure(&measures, SMOKE, 1)?;
    ensure!(table.to_string().lines().count() > measures.len(), "lines are missing:\n{table}");
    ensure!(table.plot().ends_with("</svg>\n"), "the plot does not end");
    Ok(())
}

fn measure(measures: &[&Measure], size: Size, rounds: usize) -> anyhow::Result<Table> {
    let mut table = Table::of(measures);
    for round in 0..rounds {
        let mut line = 0;
        for measure in measures {
            let mut order = Peer::ALL;
            if round % 2 == 1 {
                order.reverse();
            }
            for peer in order {
                let values = (measure.of)(peer, size)
                    .with_context(|| format!("{} of {}", measure.lines[0].name, peer.name()))?;
                table.add(line, peer, &values);
            }
            line += measure.lines.len();
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    Ok(table)
}
