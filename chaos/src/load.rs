//! The load: the `loadtest` binary as a child, watched through the progress that it prints.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::Signal;
use serde::Deserialize;

use crate::{
    binaries::Binaries,
    process::{Output, Process},
    progress::Progress,
    scenario::Load,
    wait,
};

/// From the start of the load to the number in flight that is wanted.
const STEADY_BOUND: Duration = Duration::from_secs(10);

/// A load is steady when it has so many requests behind it for each user.
const STEADY_DONE: u64 = 2;

/// From the end of the server to the end of the load: its slowest request, and its own report.
const END_BOUND: Duration = Duration::from_secs(15);

/// A load that runs.
#[derive(Debug)]
pub struct RunningLoad {
    process: Process,
    latest: Arc<Mutex<Option<State>>>,
    began: Instant,
    steady_done: u64,
}

/// What the load says of itself, twenty times a second.
#[derive(Clone, Copy, Debug, Deserialize)]
struct State {
    in_flight: u64,
    done: u64,
}

impl RunningLoad {
    /// Starts `load` against whoever listens at `traffic`; `run` names its requests.
    pub fn start(
        binaries: &Binaries,
        load: &Load,
        traffic: SocketAddr,
        run: &str,
        seed: u64,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binaries.loadtest()?);
        command
            .args(["--host", &format!("http://{traffic}")])
            .args(["--users", &load.users.to_string()])
            .args(["--run-time", &humantime::format_duration(load.run_time).to_string()])
            .args(["--mix", &load.mix.as_flag()])
            .args(["--h2", &load.h2.to_string()])
            .args(["--fresh", &load.fresh.to_string()])
            .args(["--slow-ms", load.slow_ms.as_ref()])
            .args(["--think", &humantime::format_duration(load.think).to_string()])
            .args(["--seed", &seed.to_string()])
            .args(["--run-id", run])
            .args(["--until-refused", "--progress"])
            .arg("--ledger")
            .arg(folder.join("client.ledger"))
            .arg("--report-file")
            .arg(folder.join("goose.html"));
        let mut process = Process::spawn("loadtest", &mut command, &folder.join("loadtest.log"), Output::Piped)?;
        let output = process.take_stdout().context("loadtest's output was asked for")?;
        let latest = Arc::<Mutex<Option<State>>>::default();
        // The thread ends with the process, whose output it reads.
        thread::Builder::new().name("progress".into()).spawn({
            let latest = Arc::clone(&latest);
            move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Ok(state) = serde_json::from_str(&line) {
                        *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
                    }
                }
            }
        })?;
        let steady_done = STEADY_DONE * u64::from(load.users.get());
        Ok(Self { process, latest, began: Instant::now(), steady_done })
    }

    /// Waits until the load has run for `time`, is steady, and has `wanted` requests in flight.
    pub fn wait_until_steady(&mut self, wanted: u64, time: Duration, progress: &mut Progress) -> anyhow::Result<()> {
        let mut seen = State { in_flight: 0, done: 0 };
        wait::until(STEADY_BOUND + time, Duration::from_millis(5), || {
            if let Some(exit) = self.process.try_exit()? {
                anyhow::bail!("loadtest ended with code {} before the signal: see loadtest.log", exit.code);
            }
            seen = self.latest.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(seen);
            progress.now(&format!("loading: {} in flight, {} done", seen.in_flight, seen.done));
            let steady = self.began.elapsed() >= time && seen.done >= self.steady_done;
            Ok((steady && seen.in_flight >= wanted).then_some(()))
        })?
        .with_context(|| {
            let (State { in_flight, done }, bound) = (seen, humantime::format_duration(STEADY_BOUND));
            format!("no steady load of {wanted} requests in flight within {bound}, but {in_flight} ({done} done): raise load.users")
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.try_exit()?.is_none())
    }

    /// Lets its users end what they have begun, and waits for its end.
    pub fn stop(self) -> anyhow::Result<()> {
        self.process.signal(Signal::INT)?;
        self.finish()
    }

    /// Waits for its end; an error says why its ledger is not to be trusted.
    pub fn finish(mut self) -> anyhow::Result<()> {
        match self.process.wait(END_BOUND)? {
            Some(exit) if exit.code == 0 => Ok(()),
            Some(exit) => anyhow::bail!("loadtest ended with code {}: see loadtest.log", exit.code),
            None => {
                anyhow::bail!("loadtest did not end within {} of the server", humantime::format_duration(END_BOUND))
            }
        }
    }
}
