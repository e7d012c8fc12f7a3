//! Stops servers in the middle of a load and says what was lost.
//!
//! Exit codes: 0 pass · 1 fail · 2 inconclusive · 78 a scenario or the command line is refused · 130 interrupted.

use std::{collections::BTreeSet, num::NonZeroU32, path::PathBuf, process::ExitCode};

use chaos::{
    binaries::Binaries,
    report::{self, Report},
    roll::{self, Balancer},
    runner,
    scenario::{Scenario, ScenarioError},
    server::Server,
    verdict::Verdict,
    wait::{Interrupted, listen_for_interrupts},
};
use clap::{Args, Parser, Subcommand};

const REFUSED: u8 = 78;
const INTERRUPTED: u8 = 130;

/// Stops servers in the middle of a load and says what was lost.
///
/// Exit codes: 0 pass, 1 fail, 2 inconclusive, 78 a scenario or the command line is refused, 130 interrupted.
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
        /// Their TOML files, or the names of built-in ones.
        #[arg(required_unless_present = "all", value_name = "FILE|NAME")]
        scenarios: Vec<PathBuf>,
        /// Every built-in one.
        #[arg(long, conflicts_with = "scenarios")]
        all: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Restarts instances one after the other, behind real load balancers and under load: no client may notice.
    Roll {
        /// Behind which balancers, instead of all that are installed. May be repeated.
        #[arg(long, value_enum, value_name = "BALANCER")]
        behind: Vec<Balancer>,
        /// How often every instance is restarted.
        #[arg(long, value_name = "N", default_value = "10")]
        rounds: NonZeroU32,
        /// How many instances there are.
        #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(2..=20))]
        instances: u8,
        /// What all chance is drawn from.
        #[arg(long, value_name = "N", default_value = "42")]
        seed: u64,
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
            ExitCode::from(if is_refusal(&error) { REFUSED } else { Verdict::Inconclusive.exit_code() })
        }
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    error.is::<ScenarioError>() || error.is::<roll::Missing>()
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
        Command::Run { scenarios, all, output } => {
            let scenarios = if all {
                Scenario::library().collect()
            } else {
                scenarios.iter().map(|path| Scenario::find(path)).collect::<Result<Vec<_>, _>>()?
            };
            run(&scenarios, &output)
        }
        Command::Roll { behind, rounds, instances, seed, output } => {
            roll(&roll::Options { behind, rounds, instances, seed }, &output)
        }
        Command::List => {
            for Scenario { name, what, .. } in Scenario::library() {
                println!("{name:<26}  {what}");
            }
            Ok(Verdict::Pass)
        }
    }
}

/// The worst verdict of `scenarios`.
fn run(scenarios: &[Scenario], output: &Output) -> anyhow::Result<Verdict> {
    listen_for_interrupts()?;
    let binaries = build(&runner::servers(scenarios))?;

    let mut reports = Vec::new();
    for scenario in scenarios {
        let report: Report = runner::run(scenario, &binaries)?;
        print!("{}", if output.json { report.json()? } else { report.text() + "\n" });
        reports.push(report);
    }
    if reports.len() > 1 && !output.json {
        print!("{}", report::summary(&reports));
    }
    Ok(reports.iter().map(Report::verdict).max().unwrap_or(Verdict::Pass))
}

fn roll(options: &roll::Options, output: &Output) -> anyhow::Result<Verdict> {
    // Before the build, which takes minutes.
    options.programs()?;
    listen_for_interrupts()?;
    let binaries = build(&[Server::Service, Server::Naive].into())?;
    let report = roll::run(options, &binaries)?;
    print!("{}", if output.json { report.json()? } else { report.text() });
    Ok(report.verdict())
}

fn build(servers: &BTreeSet<Server>) -> anyhow::Result<Binaries> {
    let names: Vec<_> = servers.iter().map(|server| server.binary().0).chain(["loadtest"]).collect();
    eprintln!("building {} in release; the first time takes minutes", names.join(", "));
    Binaries::build(servers)
}
