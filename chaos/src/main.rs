//! Stops servers in the middle of a load and says what was lost.
//!
//! Exit codes: 0 pass · 1 fail · 2 inconclusive · 78 a scenario, a ledger or the command line is refused · 130 interrupted.

use std::{num::NonZeroU32, path::PathBuf, process::ExitCode, time::Duration};

use chaos::{
    binaries::Binaries,
    controls::{self, CONTROLS},
    join::{Ledger, When},
    joined::{self, Files},
    peers,
    probe::{self, Options},
    report::{self, Report},
    runner,
    scenario::{Scenario, ScenarioError},
    soak::{self, Until},
    verdict::Verdict,
    wait::{Interrupted, listen_for_interrupts},
};
use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser};

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
        /// Their TOML files, or the names of built-in ones.
        #[arg(required_unless_present = "all", value_name = "FILE|NAME")]
        scenarios: Vec<PathBuf>,
        /// Every built-in one.
        #[arg(long, conflicts_with = "scenarios")]
        all: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Stops the service again and again, until the rate of losses is known well enough. The same command goes on.
    Soak {
        /// How many stops it takes.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        stops: u32,
        /// How many requests have to be in flight at their signals.
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        at_risk: u64,
        /// How long this run may take.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
        r#for: Duration,
        /// What is repeated: a TOML file, or the name of a built-in scenario.
        #[arg(long, value_name = "FILE|NAME", default_value = "soak")]
        scenario: PathBuf,
        /// Where it is kept [default: soak, where the other reports are]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// The harness proves that it can fail: servers, clients and ledgers that are wrong on purpose must be caught.
    Controls {
        /// Which, instead of all.
        #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(CONTROLS.iter().map(|control| control.name)))]
        names: Vec<String>,
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
            let refused = error.is::<ScenarioError>() || error.is::<probe::Refused>() || error.is::<joined::Refused>();
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
        Command::Run { scenarios, all, output } => {
            let scenarios = if all {
                Scenario::library().collect()
            } else {
                scenarios.iter().map(|path| Scenario::find(path)).collect::<Result<Vec<_>, _>>()?
            };
            run(&scenarios, &output)
        }
        Command::Soak { stops, at_risk, r#for: time, scenario, folder } => {
            let scenario = Scenario::find(&scenario)?;
            let binaries = build(std::slice::from_ref(&scenario))?;
            let folder = folder.unwrap_or_else(|| binaries.target.join("chaos/soak"));
            let summary = soak::run(&scenario, Until { stops, at_risk, time }, &binaries, &folder)?;
            print!("{}", summary.markdown());
            Ok(summary.verdict())
        }
        Command::Controls { names, output } => {
            listen_for_interrupts()?;
            eprintln!("building the service with its faults in release; the first time takes minutes");
            let report = controls::run(&controls::named(&names))?;
            print!("{}", if output.json { report.json()? } else { report.text() });
            Ok(report.verdict)
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
        Command::Join { ledgers, server, k6, signal, clock_skew, min_in_flight, output } => {
            let clients = ledgers.into_iter().map(Ledger::Own).chain(k6.into_iter().map(Ledger::K6)).collect();
            let joined =
                Files { clients, servers: server, when: When { signal, clock_skew }, min_in_flight }.judge()?;
            print!("{}", if output.json { joined.json()? } else { joined.text() });
            Ok(joined.verdict())
        }
        Command::List => {
            for Scenario { name, what, .. } in Scenario::library() {
                println!("{name:<26}  {what}");
            }
            Ok(Verdict::Pass)
        }
    }
}

/// What `scenarios` need; from here on an interrupt ends what was started.
fn build(scenarios: &[Scenario]) -> anyhow::Result<Binaries> {
    listen_for_interrupts()?;
    let servers = runner::servers(scenarios);
    let names: Vec<_> = servers.iter().map(|server| server.binary().0).chain(["loadtest"]).collect();
    eprintln!("building {} in release; the first time takes minutes", names.join(", "));
    Binaries::build(&servers)
}

/// The worst verdict of `scenarios`.
fn run(scenarios: &[Scenario], output: &Output) -> anyhow::Result<Verdict> {
    let binaries = build(scenarios)?;
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
