//! One run: goose starts the users and writes the reports, the clock ends them.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use goose::{
    GooseAttack, GooseError,
    client::GooseClientBuilder,
    config::{GooseConfiguration, GooseDefault, GooseDefaultType},
    goose::{Scenario, Transaction},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    arrivals::{Punctuality, Timetable},
    config::Config,
    ledger::{Class, Ledger},
    request::Catalogue,
    terminal::{Line, Times},
    user::{Load, live},
};

/// From the end of the run time to the end of the process, at the latest.
pub const OVERTIME: Duration = Duration::from_secs(10);
/// Of it, what requests under way may take, …
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// … and goose with its reports.
const REPORTS: Duration = Duration::from_secs(4);

/// Between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// Users that goose starts in a second, for each that there is: all are there after 100 ms.
const STARTS_PER_USER: u32 = 10;

/// A run failed. That requests failed is no such failure: the ledger tells of them.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger cannot be written.
    #[error("cannot write --ledger {}; name a file in a folder that exists and has room", path.display())]
    Ledger {
        /// What was named.
        path: PathBuf,
        /// Why it cannot be written.
        #[source]
        source: io::Error,
    },
    /// goose cannot do what it is asked for, or cannot write a report.
    #[error("goose: {}", told(.0))]
    Goose(Box<GooseError>),
    /// The users did not end in time.
    #[error("the users did not end within {} s of --run-time", (LAST_REQUESTS + REPORTS).as_secs())]
    Overrun,
}

impl From<GooseError> for RunError {
    fn from(error: GooseError) -> Self {
        Self::Goose(Box::new(error))
    }
}

/// What goose says of an error; of an option it says nothing but that there is one.
fn told(error: &GooseError) -> String {
    match error {
        GooseError::InvalidOption { option, value, detail } => format!("{option} {value:?} is refused: {detail}"),
        _ => error.to_string(),
    }
}

/// How many requests ended in which class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The classes that occurred.
    pub outcomes: Vec<(Class, u64)>,
    /// In the open model, whether requests were begun when they were due.
    pub punctuality: Option<Punctuality>,
}

/// Loads the server as `config` says and writes the ledger; progress goes to `progress`, a line every 50 ms, or else to
/// standard error if that is a terminal, one line that changes.
///
/// Only one run can be under way in a process, because goose's switch is one for all.
pub async fn run(config: Config, progress: Option<Box<dyn Write + Send>>) -> Result<Summary, RunError> {
    let ledger_error = |source| RunError::Ledger { path: config.ledger.clone().unwrap_or_default(), source };
    let ledger = config.ledger.as_deref().map_or_else(|| Ok(Ledger::counting()), Ledger::create);
    let until = Instant::now() + config.length();
    let load = Arc::new(Load {
        catalogue: Catalogue::new(&config),
        ledger: ledger.map_err(ledger_error)?,
        run_id: config.run_id.as_ref().map_or_else(random_run_id, |id| id.0.clone()),
        until,
        last: until + LAST_REQUESTS,
        active: AtomicU32::new(0),
        timetable: Timetable::new(&config),
        times: progress.is_none().then(Times::for_terminal).flatten(),
        config: config.clone(),
    });
    let attack = attack(&load)?;
    let watcher = Beside::start(&load, |load, stop| watch(load, progress, stop));
    let releaser = Beside::start(&load, |load, stop| {
        load.timetable.iter().for_each(|timetable| timetable.release(load.config.run_time, stop));
    });
    let ended = timeout_at(until + LAST_REQUESTS + REPORTS, Box::pin(attack.execute())).await;
    drop((watcher, releaser));
    load.ledger.finish().map_err(ledger_error)?;
    ended.map_err(|_| RunError::Overrun)??;
    let punctuality = load.timetable.as_ref().map(Timetable::punctuality);
    Ok(Summary { outcomes: load.ledger.outcomes(), punctuality })
}

/// Each user lives in one goose iteration: goose looks at its own clock only twice a second, and one that has met a
/// closed port would have to be kept from being started over. Under a plan, where goose decides who stays, a user lives
/// in turns instead.
fn attack(load: &Arc<Load>) -> Result<GooseAttack, GooseError> {
    let config = &load.config;
    let mut goose = GooseConfiguration::default();
    goose.host = Some(config.host.url());
    if config.test_plan.is_none() {
        goose.users = Some(config.users as usize);
        goose.increase_rate = Some((config.users * STARTS_PER_USER).to_string());
        goose.iterations = Some(1);
    }
    goose.report_file.clone_from(&config.report_file);
    goose.notes.clone_from(&config.notes);
    goose.baseline_file.clone_from(&config.baseline_file);
    goose.threshold.clone_from(&config.threshold);
    // Until the end of the run users do not hear of goose.
    goose.no_threshold_abort = !config.threshold.is_empty();
    goose.no_metrics = config.no_metrics;
    goose.no_print_metrics = config.progress || config.no_print_metrics;
    // With one transaction in a life there is nothing to tell of transactions.
    goose.no_transaction_metrics = true;
    goose.no_scenario_metrics = true;
    goose.no_telnet = true;
    goose.quiet = 1;

    let shared = Arc::clone(load);
    let life = Transaction::new(Arc::new(move |user| {
        let load = Arc::clone(&shared);
        Box::pin(async move { live(&load, user).await })
    }));
    let scenario = Scenario::new("load").register_transaction(life.set_name("life"));
    let attack = GooseAttack::initialize_with_config(goose)?
        .register_scenario(scenario)
        // Nobody uses it; without cookies there is one for all, and each of its own would read all certificates.
        .set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies())?;
    match &config.test_plan {
        Some(plan) => Ok(*attack.set_default(GooseDefault::TestPlan, plan.to_string().as_str())?),
        None => Ok(attack),
    }
}

/// Ids of several loads are joined with one server's ledger: so they begin with the machine, and differ on it.
fn random_run_id() -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let host: String = host.chars().take(40).filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    format!("{host}-{:08x}", RandomState::new().build_hasher().finish() as u32)
}

/// A thread beside the runtime, so that a busy runtime does not delay it. It ends when this is dropped.
struct Beside {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Beside {
    fn start(load: &Arc<Load>, work: impl FnOnce(&Load, &Receiver<()>) + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::channel();
        let load = Arc::clone(load);
        let thread = thread::spawn(move || work(&load, &stopped));
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only ends early by a panic, which the run need not share.
            let _ = thread.join();
        }
    }
}

/// Tells how the load goes, until `stop` is dropped.
fn watch(load: &Load, mut output: Option<Box<dyn Write + Send>>, stop: &Receiver<()>) {
    let mut line = load.times.as_ref().map(|times| (Line::new(), times));
    loop {
        let last = stop.recv_timeout(PROGRESS_INTERVAL) != Err(RecvTimeoutError::Timeout);
        // A reader that has gone away wants no more lines; the run goes on.
        output.take_if(|output| load.write_progress(output).is_err());
        if let Some((line, times)) = &mut line {
            let users = load.active.load(Ordering::Relaxed);
            line.show(users, load.ledger.progress(), times, &load.ledger.outcomes());
        }
        if last {
            return;
        }
    }
}

impl Load {
    fn write_progress(&self, output: &mut dyn Write) -> io::Result<()> {
        let users = self.active.load(Ordering::Relaxed);
        let progress = self.ledger.progress();
        writeln!(output, r#"{{"users":{users},"in_flight":{},"done":{}}}"#, progress.in_flight, progress.done)?;
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_of_chance_is_one_that_could_be_given_and_is_another_each_time() {
        let (first, second) = (random_run_id(), random_run_id());
        assert!(first.parse::<crate::RunId>().is_ok(), "{first}");
        assert_ne!(first, second);
    }

    #[test]
    fn the_parts_of_the_overtime_fit_into_it() {
        assert!(LAST_REQUESTS + REPORTS < OVERTIME);
    }
}
