//! One stop: start, load, signal, wait for the end, join the ledgers.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::Serialize;

use crate::{
    binaries::Binaries,
    canary::Canary,
    classify::{Class, Counts, Weight},
    controls::lies::Lie,
    faults::Faults,
    health::Watch,
    join::Join,
    load::RunningLoad,
    orders::{self, Orders, successor},
    process::Exit,
    progress::Progress,
    report::{self, Timeline},
    scenario::{Load, Scenario},
    server::{Server, Traces},
    story::Story,
    surroundings::Surroundings,
    wait::Interrupted,
};

/// A runner that was held up for longer than this around the signal has not seen what happened.
const LONGEST_LAG: Duration = Duration::from_millis(250);

/// So long before the signal the runner must have been awake.
const BEFORE_SIGNAL: Duration = Duration::from_secs(1);

/// Signals of different stops meet the load at different moments, up to this far apart.
const JITTER_MS: u64 = 500;

/// One stop that is to be carried out.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Whose load and settings.
    pub scenario: &'a Scenario,
    /// What is stopped.
    pub server: Server,
    /// Which stop of that server, from 1.
    pub number: u32,
    /// What is run.
    pub binaries: &'a Binaries,
    /// Who notices when the machine stalls.
    pub canary: &'a Canary,
    /// Where its traces go.
    pub folder: PathBuf,
    /// Who lies about it, in a control.
    pub lie: Option<Lie>,
}

/// What a stop came to.
#[derive(Clone, Debug, Serialize)]
pub struct Stop {
    /// What was stopped.
    pub server: Server,
    /// Which stop of that server, from 1.
    pub number: u32,
    /// What its chance was drawn from.
    pub seed: u64,
    /// Requests that were sent before the signal and ended after it.
    pub in_flight: u64,
    /// How many requests came to which class.
    pub counts: Counts,
    /// What became of the orders, where the load had some and the server keeps them.
    pub orders: Option<Orders>,
    /// Signal to not ready, for a server that has a readiness.
    pub not_ready_ms: Option<f64>,
    /// Signal to exit; none when it had to be killed.
    pub exit_ms: Option<f64>,
    /// Its exit code, or 128 + n when signal n ended it; none when it had to be killed.
    pub exit_code: Option<i32>,
    /// Whether it left its report.
    pub report: bool,
    /// What else happened to it.
    pub faults: Vec<Happened>,
    /// Why the numbers are not to be trusted.
    pub doubts: Vec<String>,
    /// The first requests that fail.
    pub stories: Vec<Story>,
    /// What its picture is made from.
    #[serde(skip)]
    pub timeline: Timeline,
}

/// Something that happened to a server beside its load and its signal.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// Milliseconds after the signal; negative before it.
    pub ms: f64,
    /// What it was.
    pub what: String,
}

impl Plan<'_> {
    /// Carries it out. An error means that it could not be, not that the server did badly.
    pub fn carry_out(&self, progress: &mut Progress) -> anyhow::Result<Stop> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot create {}", self.folder.display()))?;
        let around = Surroundings::of(self.scenario, &self.folder)?;
        progress.step("starting");
        match &self.scenario.load {
            Some(load) => self.under_load(load, &around, progress),
            None => self.while_it_starts(&around, progress),
        }
    }

    /// The server is stopped as soon as it can catch the signal.
    fn while_it_starts(&self, around: &Surroundings, progress: &mut Progress) -> anyhow::Result<Stop> {
        let traces = Traces::within(&self.folder);
        let mut running = self.server.spawn(self.binaries, &self.scenario.service, &traces, around)?;
        running.wait_until_it_catches(self.scenario.signal.into())?;
        let signal = running.process.signal(self.scenario.signal.into())?;
        progress.step(&format!("{} sent", self.scenario.signal));
        let exit = running.process.wait(self.scenario.exit_bound())?;
        Ok(Stop { report: traces.report.is_file(), ..Stop::without_result(self) }.ended(signal, exit))
    }

    fn under_load(&self, load: &Load, around: &Surroundings, progress: &mut Progress) -> anyhow::Result<Stop> {
        let Self { scenario, server, number, binaries, .. } = self;
        let traces = Traces::within(&self.folder);
        let mut running = server.start(binaries, &scenario.service, &traces, around)?;

        let _liar = self.lie.map(|lie| lie.stand_before(&mut running)).transpose()?;

        progress.step("loading");
        let run = format!("{}-{number}", server.binary().0);
        let mut loading = RunningLoad::start(binaries, load, running.traffic, &run, self.seed(), &self.folder)?;
        let jitter = Duration::from_millis(mix(self.seed()) % JITTER_MS);
        loading.wait_until_steady(scenario.expect.min_in_flight, load.steady + jitter, progress)?;

        let mut faults = Faults::new(&scenario.faults, &traces);
        let planned = Instant::now() + faults.lead();
        let early = faults.run(&mut running, planned, planned)?;
        anyhow::ensure!(early.is_none(), "the server ended before the signal: see {}", traces.log.display());

        let watch = running.admin.map(|admin| Watch::start(admin, "/readyz")).transpose()?;
        let signal = running.process.signal(scenario.signal.into())?;
        let sent = Instant::now();
        progress.step(&format!("{} sent, draining", scenario.signal));
        let exit = faults.run(&mut running, sent, sent + scenario.exit_bound())?;
        drop(running);

        progress.step("the server has ended, joining the ledgers");
        let faults = faults.finish();
        let loading = loading.finish();
        let not_ready = watch.and_then(Watch::finish);
        let ledger = self.folder.join("client.ledger");
        self.lie.map(|lie| lie.edit(&ledger)).transpose()?;
        let join = Join::read(&ledger, &traces.audit)?;
        let mut stop = self.conclude(&join, signal, not_ready, exit, loading);
        stop.report = traces.report.is_file();
        match faults {
            Ok(done) => {
                stop.faults =
                    done.into_iter().map(|done| Happened { ms: since(signal, done.at), what: done.what }).collect();
            }
            Err(error) => stop.doubts.push(format!("{error:#}")),
        }
        stop.timeline = report::keep(&join, signal, &stop, &self.folder)?;

        if server.keeps_orders() && load.mix.has_orders() {
            progress.step("a successor tells the orders");
            match self.orders(&join) {
                Ok(orders) => stop.orders = Some(orders),
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => stop.doubts.push(format!("what became of the orders is not known: {error:#}")),
            }
        }
        Ok(stop)
    }

    /// Each stop has chance of its own, and each run of it the same.
    pub fn seed(&self) -> u64 {
        self.scenario.seed.wrapping_add(u64::from(self.number))
    }

    fn conclude(
        &self,
        join: &Join,
        signal: u64,
        not_ready: Option<u64>,
        exit: Option<Exit>,
        load: anyhow::Result<()>,
    ) -> Stop {
        let judgement = join.judge(signal);
        let mut stop = Stop {
            in_flight: judgement.in_flight,
            not_ready_ms: not_ready.map(|at| since(signal, at)),
            stories: judgement.stories,
            counts: judgement.counts,
            ..Stop::without_result(self)
        }
        .ended(signal, exit);
        let wanted = self.scenario.expect.min_in_flight;
        if stop.in_flight < wanted {
            let found = stop.in_flight;
            stop.doubts
                .push(format!("{found} requests were in flight at the signal, {wanted} are wanted: raise load.users"));
        }
        if let Err(error) = load {
            stop.doubts.push(format!("{error:#}"));
        }
        let end = exit.map_or(u64::MAX, |exit| exit.at);
        let lag = self.canary.longest_lag(signal.saturating_sub(BEFORE_SIGNAL.as_nanos() as u64), end);
        if lag > LONGEST_LAG {
            stop.doubts.push(format!("the machine held the runner up for {} ms around the signal", lag.as_millis()));
        }
        if not_ready.is_some_and(|at| at < signal) {
            stop.doubts.push("the server was not ready before the signal".to_owned());
        }
        if judgement.foreign > 0 {
            stop.doubts
                .push(format!("{} requests in the server's ledger are missing in the client's", judgement.foreign));
        }
        let doubtful: Vec<_> =
            stop.counts_of(Weight::Doubtful).map(|(class, n)| format!("{n} {}", class.label())).collect();
        if !doubtful.is_empty() {
            stop.doubts.push(format!("the ledgers do not agree: {}", doubtful.join(", ")));
        }
        stop
    }

    fn orders(&self, join: &Join) -> anyhow::Result<Orders> {
        let traces = Traces::of_successor(&self.folder);
        let running = self.server.start(self.binaries, &self.scenario.service, &traces, &Surroundings::default())?;
        let (found, end) = successor::ask(running, self.scenario.exit_bound())?;
        Ok(orders::reconcile(join.orders(), &found, end))
    }
}

impl Stop {
    /// The stop of `plan` when it could not be carried out.
    pub fn impossible(plan: &Plan<'_>, error: &anyhow::Error) -> Self {
        Self { doubts: vec![format!("{error:#}")], ..Self::without_result(plan) }
    }

    fn without_result(plan: &Plan<'_>) -> Self {
        Self {
            server: plan.server,
            number: plan.number,
            seed: plan.seed(),
            in_flight: 0,
            counts: Counts::new(),
            orders: None,
            not_ready_ms: None,
            exit_ms: None,
            exit_code: None,
            report: false,
            faults: Vec::new(),
            doubts: Vec::new(),
            stories: Vec::new(),
            timeline: Timeline::default(),
        }
    }

    /// Whether there was a stop; else its doubts say why there was none.
    pub fn was_carried_out(&self) -> bool {
        !self.counts.is_empty() || self.exit_code.is_some()
    }

    fn ended(self, signal: u64, exit: Option<Exit>) -> Self {
        Self { exit_ms: exit.map(|exit| since(signal, exit.at)), exit_code: exit.map(|exit| exit.code), ..self }
    }

    /// How many requests came to `class`.
    pub fn count(&self, class: Class) -> u64 {
        self.counts.get(&class).copied().unwrap_or_default()
    }

    /// The classes of this weight that any request came to.
    pub fn counts_of(&self, weight: Weight) -> impl Iterator<Item = (Class, u64)> {
        self.counts.iter().map(|(class, n)| (*class, *n)).filter(move |(class, _)| class.weight() == weight)
    }

    /// How many requests were dropped.
    pub fn dropped(&self) -> u64 {
        self.counts.iter().filter(|(class, _)| class.is_dropped()).map(|(_, n)| n).sum()
    }
}

/// Milliseconds from the signal to `at`, negative before it.
fn since(signal: u64, at: u64) -> f64 {
    (i128::from(at) - i128::from(signal)) as f64 / 1e6
}

/// Spreads neighbouring seeds (the finalizer of SplitMix64).
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
