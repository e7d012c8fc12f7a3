//! Stops servers in the middle of a load and says what was lost.
//!
//! Exit codes: 0 pass · 1 fail · 2 inconclusive · 78 a scenario, a ledger or the command line is refused · 130 interrupted.

use std::{num::NonZeroU32, path::PathBuf, process::ExitCode, time::Duration};

use chaos::{
    binaries::Binaries,
    join::{Ledger, When},
    joined::{Files, Refused},
    report::Report,
    runner,
    scenario::{BUILT_IN, Scenario, ScenarioError},
    verdict::Verdict,
    wait::{Interrupted, listen_for_interrupts},
};
use clap::{Args, Parser, Subcommand};

const REFUSED: u8 = 78;
const INTERRUPTED: u8 = 130;

/// Stops servers in the middle of a load and says what was lost.
///
/// Exit codes: 0 pass, 1 fail, 2 inconclusive, 78 a scenario, a ledger or the command line is refused, 130 interrupted.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The main job: the service is stopped in the middle of a load and must lose nothing.
    LoadtestShutdown {
        /// How often it is stopped, instead of the scenario's number.
        #[arg(long, value_name = "N")]
        stops: Option<NonZeroU32>,
        /// What all chance is drawn from, instead of the scenario's.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// A scenario of your own instead of the built-in one.
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Carries out scenarios, one after the other.
    Run {
        /// Their TOML files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Judges ledgers that loads and servers have left, on any number of machines.
    Join {
        /// What loadtest has written, each file a load.
        #[arg(required_unless_present = "k6", value_name = "LEDGER")]
        ledgers: Vec<PathBuf>,
        /// What the servers have written (AUDIT_LOG).
        #[arg(long, required = true, num_args = 1.., value_name = "AUDIT")]
        server: Vec<PathBuf>,
        /// What k6 has written by loadtest/k6/requests.js.
        #[arg(long, num_args = 1.., value_name = "FILE")]
        k6: Vec<PathBuf>,
        /// When the servers were told to stop, where their ledgers do not say it: nanoseconds of CLOCK_MONOTONIC.
        #[arg(long, value_name = "NS")]
        signal: Option<u64>,
        /// How far the wall clocks of two machines may lie apart.
        #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration)]
        clock_skew: Duration,
        /// With fewer requests in flight at a signal the verdict is inconclusive.
        #[arg(long, value_name = "N", default_value_t = 1)]
        min_in_flight: u64,
        #[command(flatten)]
        output: Output,
    },
    /// Lists the built-in scenarios.
    List,
}

#[derive(Args)]
struct Output {
    /// Print verdict.json instead of the table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) => {
            let _ = help.print();
            return ExitCode::from(if help.use_stderr() { REFUSED } else { 0 });
        }
    };
    match dispatch(cli.command) {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("chaos: interrupted, everything that was started has been stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(if error.is::<ScenarioError>() || error.is::<Refused>() {
                REFUSED
            } else {
                Verdict::Inconclusive.exit_code()
            })
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Verdict> {
    match command {
        Command::LoadtestShutdown { stops, seed, scenario, output } => {
            let mut scenario =
                scenario.map_or_else(|| Ok(Scenario::loadtest_shutdown()), |path| Scenario::read(&path))?;
            scenario.stops = stops.unwrap_or(scenario.stops);
            scenario.seed = seed.unwrap_or(scenario.seed);
            run(&[scenario], &output)
        }
        Command::Run { files, output } => {
            let scenarios = files.iter().map(|path| Scenario::read(path)).collect::<Result<Vec<_>, _>>()?;
            run(&scenarios, &output)
        }
        Command::Join { ledgers, server, k6, signal, clock_skew, min_in_flight, output } => {
            let clients = ledgers.into_iter().map(Ledger::Own).chain(k6.into_iter().map(Ledger::K6)).collect();
            let joined =
                Files { clients, servers: server, when: When { signal, clock_skew }, min_in_flight }.judge()?;
            print!("{}", if output.json { joined.json()? } else { joined.text() });
            Ok(joined.verdict())
        }
        Command::List => {
            for (path, text) in BUILT_IN {
                let Scenario { name, what, .. } = Scenario::parse(text, path.as_ref())?;
                println!("{name:<20}  {what}  ({path})");
            }
            Ok(Verdict::Pass)
        }
    }
}

/// The worst verdict of `scenarios`.
fn run(scenarios: &[Scenario], output: &Output) -> anyhow::Result<Verdict> {
    listen_for_interrupts()?;
    let servers = runner::servers(scenarios);
    let names: Vec<_> = servers.iter().map(|server| server.binary().0).chain(["loadtest"]).collect();
    eprintln!("building {} in release; the first time takes minutes", names.join(", "));
    let binaries = Binaries::build(&servers)?;

    let mut worst = Verdict::Pass;
    for scenario in scenarios {
        let report: Report = runner::run(scenario, &binaries)?;
        print!("{}", if output.json { report.json()? } else { report.text() });
        worst = worst.max(report.verdict());
    }
    Ok(worst)
}
