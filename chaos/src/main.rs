//! Stops servers in the middle of a load and says what was lost.
//!
//! Exit codes: 0 pass · 1 fail · 2 inconclusive · 78 a scenario or the command line is refused · 130 interrupted.

use std::{num::NonZeroU32, path::PathBuf, process::ExitCode};

use chaos::{
    binaries::Binaries,
    peers,
    probe::{self, Options, Refused},
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
        /// Their TOML files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Says what a restart of any HTTP server loses, as far as clients can tell: `chaos probe -- COMMAND…`.
    Probe {
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        output: Output,
    },
    /// Probes the servers of chaos/peers one after the other, and writes what they lose into one table.
    Peers(peers::Args),
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
            let refused = error.is::<ScenarioError>() || error.is::<Refused>();
            ExitCode::from(if refused { REFUSED } else { Verdict::Inconclusive.exit_code() })
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
        Command::Probe { options, output } => {
            options.check()?;
            listen_for_interrupts()?;
            let card = probe::run(&options)?;
            print!("{}", if output.json { card.json()? } else { card.text() });
            Ok(card.verdict)
        }
        Command::Peers(args) => {
            listen_for_interrupts()?;
            peers::run(&args)?;
            Ok(Verdict::Pass)
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
