//! Rolling restarts behind a real load balancer: what they cost clients that only know the balancer.
//!
//! Several instances run on one database. Under load they are restarted by SIGTERM one after the other; the next one only
//! when the last is ready again and the balancer believes it. Afterwards the clients' ledger is joined with those of all
//! lives of all instances: every request must have been answered, by one of them, once. The same goes on with
//! `axum::serve`, which must lose something, or the run proves nothing.

mod balancer;
mod instance;
mod ledgers;
mod report;

use std::{
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;

pub use self::{
    balancer::Balancer,
    ledgers::Failed,
    report::{Behind, Report, Rolled},
};
use self::{
    instance::{Instance, Kind, Restart},
    ledgers::join,
};
use crate::{
    binaries::Binaries,
    load::RunningLoad,
    orders::{self, successor},
    progress::Progress,
    runner::new_folder,
    scenario::{Load, Scenario, StopSignal},
    server::{Server, Traces},
    surroundings::Surroundings,
    wait::Interrupted,
};

/// Enough that every instance always has some requests in flight, and no more: balancers and instances share the machine.
const USERS: NonZeroU32 = NonZeroU32::new(48).expect("it is not zero");

/// Between an answer and a user's next request: kept connections rest, too.
const THINK: Duration = Duration::from_millis(20);

/// A restart takes less; the load goes on for as long as all may take.
const RESTART_BOUND: Duration = Duration::from_secs(40);

/// Longer than that no load runs.
const LONGEST_LOAD: Duration = Duration::from_hours(23);

/// What is to be rolled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Behind which balancers; all that are installed when there is none.
    pub behind: Vec<Balancer>,
    /// How often every instance is restarted.
    pub rounds: NonZeroU32,
    /// How many instances there are: from 2 to 20.
    pub instances: u8,
    /// What all chance is drawn from.
    pub seed: u64,
}

/// A balancer that is not there.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// One that was asked for.
    #[error("--behind {}: no such program in PATH; install {}, or leave it out", .0.program(), .0.package())]
    Program(Balancer),
    /// All of them.
    #[error("none of haproxy, nginx and envoy is in PATH: install one")]
    All,
}

impl Options {
    /// The balancers that are meant, with their programs.
    pub fn programs(&self) -> Result<Vec<(Balancer, PathBuf)>, Missing> {
        let found = |balancer: Balancer| balancer.find().map(|program| (balancer, program));
        if !self.behind.is_empty() {
            return self.behind.iter().map(|it| found(*it).ok_or(Missing::Program(*it))).collect();
        }
        let all: Vec<_> = Balancer::ALL.into_iter().filter_map(found).collect();
        if all.is_empty() { Err(Missing::All) } else { Ok(all) }
    }

    /// The settings and the kinds of requests are those of the main job. HTTP/2 is left out: nginx cannot tell it from
    /// HTTP/1 on a port without TLS.
    fn scenario(&self) -> Scenario {
        let main_job = Scenario::loadtest_shutdown();
        let load = main_job.load.map(|load| {
            let run_time = RESTART_BOUND.saturating_mul(self.restarts()).min(LONGEST_LOAD);
            Load { users: USERS, h2: 0, think: THINK, run_time, ..load }
        });
        Scenario { load, seed: self.seed, ..main_job }
    }

    fn restarts(&self) -> u32 {
        self.rounds.get().saturating_mul(self.instances.into())
    }
}

/// Rolls behind each of the balancers, the service and then its control, and saves the report.
///
/// # Errors
///
/// [`Missing`] balancers, interrupts, and what the system refuses. Whatever else goes wrong is for the verdict to weigh.
pub fn run(options: &Options, binaries: &Binaries) -> anyhow::Result<Report> {
    let programs = options.programs()?;
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let folder = new_folder(&binaries.target.join("chaos"), "roll", &started)?;
    let scenario = options.scenario();
    let mut progress = Progress::new();
    let mut behind = Vec::new();
    for (balancer, program) in programs {
        let version = balancer.version(&program)?;
        let mut roll = |server: Server, name: &str| {
            let folder = folder.join(format!("{}-{name}", balancer.program()));
            progress.begin(format!("{balancer}, {}", server.label()));
            let roll = Roll { options, balancer, program: &program, server, scenario: &scenario, binaries, folder };
            match roll.carry_out(&mut progress) {
                Err(error) if !error.is::<Interrupted>() => Ok(Rolled::impossible(server, &error)),
                result => result,
            }
        };
        let service = roll(Server::Service, "service")?;
        let control = roll(Server::Naive, "control")?;
        behind.push(Behind { balancer, version, service, control });
    }
    progress.clear();
    let report = Report::new(options, started, scenario.load_in_words(), behind, folder);
    report.save()?;
    Ok(report)
}

/// One server behind one balancer.
struct Roll<'a> {
    options: &'a Options,
    balancer: Balancer,
    program: &'a Path,
    server: Server,
    scenario: &'a Scenario,
    binaries: &'a Binaries,
    folder: PathBuf,
}

impl Roll<'_> {
    fn carry_out(&self, progress: &mut Progress) -> anyhow::Result<Rolled> {
        let Self { options, balancer, server, scenario, binaries, folder, .. } = self;
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let load = scenario.load.as_ref().context("the main job has a load")?;
        let signal = if *server == Server::Service { StopSignal::Term } else { balancer.control_signal() };
        let kind = Kind { server: *server, signal, scenario, binaries, folder };

        progress.step("starting");
        let mut instances = (0..options.instances)
            .map(|number| Instance::numbered(number, *server))
            .collect::<anyhow::Result<Vec<_>>>()?;
        instances.iter_mut().try_for_each(|instance| instance.start(kind))?;
        let front = balancer.start(self.program, *server, &instances, folder)?;
        let name = format!("{}-{}", balancer.program(), server.binary().0);
        let mut loading = RunningLoad::start(binaries, load, front.address, &name, scenario.seed, folder)?;
        loading.wait_until_steady(1, load.steady, progress)?;

        let mut rolled = Rolled::new(*server);
        // A stock server is only ever seen to be gone.
        let sees = balancer.asks_for_readiness() && *server == Server::Service;
        for round in 1..=options.rounds.get() {
            progress.step(&format!("round {round} of {}", options.rounds));
            for instance in &mut instances {
                let restart = instance.restart(kind, &front, sees)?;
                rolled.add(&instance.name, round, sees, &restart);
                anyhow::ensure!(loading.is_running()?, "the load ended before the last restart: see loadtest.log");
            }
        }
        progress.step("ending the load, joining the ledgers");
        if let Err(error) = loading.stop() {
            rolled.doubts.push(format!("{error:#}"));
        }
        instances.iter_mut().try_for_each(|instance| instance.stop(scenario.exit_bound()))?;
        let lives: Vec<_> = instances.iter().flat_map(|instance| &instance.lives).collect();
        let outcome = join(&folder.join("client.ledger"), &lives)?;
        if server.keeps_orders() && load.mix.has_orders() {
            progress.step("a successor tells the orders");
            let traces = Traces::of_successor(folder);
            let running = server.start(binaries, &scenario.service, &traces, &Surroundings::default())?;
            let (found, end) = successor::ask(running, scenario.exit_bound())?;
            let told = outcome.orders.iter().map(|(key, told)| (key.as_str(), *told));
            rolled.orders = Some(orders::reconcile(told, &found, end));
        }
        rolled.counts = outcome.counts;
        rolled.at_risk = outcome.at_risk;
        rolled.failed = outcome.failed;
        Ok(rolled)
    }
}

impl Rolled {
    fn add(&mut self, instance: &str, round: u32, sees: bool, restart: &Restart) {
        self.restarts += 1;
        let of = |what: String| format!("{instance}, round {round}: {what}");
        match restart.exit {
            None => self.failures.push(of("it did not end in time and was killed".to_owned())),
            Some(exit) if exit.code != 0 => self.failures.push(of(format!("exit code {}, expected 0", exit.code))),
            Some(_) => {}
        }
        match restart.looked_away {
            Some(after) => self.looked_away_ms = self.looked_away_ms.max(Some(after.as_millis() as u64)),
            None if sees => self.failures.push(of("the balancer had not looked away when it ended".to_owned())),
            None => {}
        }
    }
}
