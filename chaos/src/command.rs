//! What can be asked for, and who does it.

use std::{collections::BTreeSet, num::NonZeroU32, path::PathBuf, time::Duration};

use chaos::{
    binaries::Binaries,
    controls::{self, CONTROLS},
    join::{Ledger, When},
    joined::Files,
    peers,
    probe::{self, Options},
    report::{self, Report},
    roll::{self, Balancer},
    runner,
    scenario::Scenario,
    server::Server,
    soak::{self, Until},
    verdict::Verdict,
    wait::listen_for_interrupts,
};
use clap::{Args, Subcommand, builder::PossibleValuesParser};

#[derive(Subcommand)]
pub(crate) enum Command {
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
pub(crate) struct Output {
    /// Print verdict.json instead of the table.
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Carries it out.
    pub(crate) fn carry_out(self) -> anyhow::Result<Verdict> {
        match self {
            Self::LoadtestShutdown { stops, seed, scenario, output } => {
                let mut scenario =
                    scenario.map_or_else(|| Ok(Scenario::loadtest_shutdown()), |path| Scenario::read(&path))?;
                scenario.stops = stops.unwrap_or(scenario.stops);
                scenario.seed = seed.unwrap_or(scenario.seed);
                run(&[scenario], &output)
            }
            Self::Run { scenarios, all, output } => {
                let scenarios = if all {
                    Scenario::library().collect()
                } else {
                    scenarios.iter().map(|path| Scenario::find(path)).collect::<Result<Vec<_>, _>>()?
                };
                run(&scenarios, &output)
            }
            Self::Soak { stops, at_risk, r#for: time, scenario, folder } => {
                let scenario = Scenario::find(&scenario)?;
                let binaries = build(&runner::servers(std::slice::from_ref(&scenario)))?;
                let folder = folder.unwrap_or_else(|| binaries.target.join("chaos/soak"));
                let summary = soak::run(&scenario, Until { stops, at_risk, time }, &binaries, &folder)?;
                print!("{}", summary.markdown());
                Ok(summary.verdict())
            }
            Self::Controls { names, output } => {
                listen_for_interrupts()?;
                eprintln!("building the service with its faults in release; the first time takes minutes");
                let report = controls::run(&controls::named(&names))?;
                print!("{}", if output.json { report.json()? } else { report.text() });
                Ok(report.verdict)
            }
            Self::Probe { options, output } => {
                options.check()?;
                listen_for_interrupts()?;
                let card = probe::run(&options)?;
                print!("{}", if output.json { card.json()? } else { card.text() });
                Ok(card.verdict)
            }
            Self::Peers(args) => {
                listen_for_interrupts()?;
                peers::run(&args)?;
                Ok(Verdict::Pass)
            }
            Self::Join { ledgers, server, k6, signal, clock_skew, min_in_flight, output } => {
                let clients = ledgers.into_iter().map(Ledger::Own).chain(k6.into_iter().map(Ledger::K6)).collect();
                let joined =
                    Files { clients, servers: server, when: When { signal, clock_skew }, min_in_flight }.judge()?;
                print!("{}", if output.json { joined.json()? } else { joined.text() });
                Ok(joined.verdict())
            }
            Self::Roll { behind, rounds, instances, seed, output } => {
                roll(&roll::Options { behind, rounds, instances, seed }, &output)
            }
            Self::List => {
                for Scenario { name, what, .. } in Scenario::library() {
                    println!("{name:<26}  {what}");
                }
                Ok(Verdict::Pass)
            }
        }
    }
}

/// The worst verdict of `scenarios`.
fn run(scenarios: &[Scenario], output: &Output) -> anyhow::Result<Verdict> {
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
    let binaries = build(&[Server::Service, Server::Naive].into())?;
    let report = roll::run(options, &binaries)?;
    print!("{}", if output.json { report.json()? } else { report.text() });
    Ok(report.verdict())
}

/// What `servers` and the load need; from here on an interrupt ends what was started.
fn build(servers: &BTreeSet<Server>) -> anyhow::Result<Binaries> {
    listen_for_interrupts()?;
    let names: Vec<_> = servers.iter().map(|server| server.binary().0).chain(["loadtest"]).collect();
    eprintln!("building {} in release; the first time takes minutes", names.join(", "));
    Binaries::build(servers)
}
