//! The server under test: a child process on ports of its own, started, awaited, told to stop.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    binaries::Binaries,
    health,
    process::{Output, Process},
    scenario::Setting,
    surroundings::Surroundings,
    wait,
};

/// From the start of the process to its readiness.
const READY_BOUND: Duration = Duration::from_secs(10);

/// Between the choice of a free port and its use somebody else may take it.
const PORT_ATTEMPTS: u32 = 3;

/// In the folder that it runs in; a path in a URL would have to be escaped.
pub(crate) const DATABASE_FILE: &str = "orders.db";

/// From the start of a process to its catching a signal.
const CATCH_BOUND: Duration = Duration::from_secs(5);

/// A server that can be stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// The template service.
    #[default]
    Service,
    /// Stock `axum::serve` with its graceful shutdown.
    Naive,
    /// The crate axum-server with its graceful shutdown.
    AxumServer,
}

/// Where a server leaves its traces.
#[derive(Debug)]
pub struct Traces {
    /// Where it runs, and where its database is.
    pub folder: PathBuf,
    /// Its ledger.
    pub audit: PathBuf,
    /// Its own report of the shutdown.
    pub report: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub process: Process,
    /// Where its traffic goes.
    pub traffic: SocketAddr,
    /// Where its readiness is asked for, if it has such a port.
    pub admin: Option<SocketAddr>,
}

impl Server {
    /// The control of the main job.
    pub const fn naive() -> Self {
        Self::Naive
    }

    /// Its binary and the folder of the package that has it.
    pub const fn binary(self) -> (&'static str, &'static str) {
        match self {
            Self::Service => ("service", "service"),
            Self::Naive | Self::AxumServer => ("naive", "chaos"),
        }
    }

    /// How a reader is told of it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Naive => "axum::serve",
            Self::AxumServer => "axum-server",
        }
    }

    /// Whether orders that it has acknowledged outlive it.
    pub const fn keeps_orders(self) -> bool {
        matches!(self, Self::Service)
    }

    /// Starts it and waits until it answers.
    pub fn start(
        self,
        binaries: &Binaries,
        settings: &BTreeMap<Setting, String>,
        traces: &Traces,
        around: &Surroundings,
    ) -> anyhow::Result<Running> {
        let mut attempt = 1;
        loop {
            let mut starting = self.spawn(binaries, settings, traces, around)?;
            match self.wait_until_ready(&mut starting, traces)? {
                None => return Ok(starting),
                Some(code) if attempt == PORT_ATTEMPTS => {
                    anyhow::bail!(
                        "{} ended with code {code} before it was ready: see {}",
                        self.label(),
                        traces.log.display()
                    )
                }
                Some(_) => attempt += 1,
            }
        }
    }

    /// Starts it, and waits for nothing.
    pub fn spawn(
        self,
        binaries: &Binaries,
        settings: &BTreeMap<Setting, String>,
        traces: &Traces,
        around: &Surroundings,
    ) -> anyhow::Result<Running> {
        self.spawn_at(free_ports()?, binaries, settings, traces, around)
    }

    /// Starts it on these addresses, of its traffic and of its readiness, and waits for nothing.
    pub fn spawn_at(
        self,
        [traffic, admin]: [SocketAddr; 2],
        binaries: &Binaries,
        settings: &BTreeMap<Setting, String>,
        traces: &Traces,
        around: &Surroundings,
    ) -> anyhow::Result<Running> {
        let mut command = self.command(binaries, settings, traces, around)?;
        command.env("HTTP_ADDR", traffic.to_string()).env("ADMIN_ADDR", admin.to_string());
        let process = Process::spawn(self.label(), &mut command, &traces.log, Output::Logged)?;
        Ok(Running { process, traffic, admin: (self == Self::Service).then_some(admin) })
    }

    /// The exit code of a process that ended instead of getting ready.
    pub(crate) fn wait_until_ready(self, starting: &mut Running, traces: &Traces) -> anyhow::Result<Option<i32>> {
        let (address, path) = match starting.admin {
            Some(admin) => (admin, "/readyz"),
            None => (starting.traffic, "/hello"),
        };
        let ready = wait::until(READY_BOUND, Duration::from_millis(5), || {
            if let Some(exit) = starting.process.try_exit()? {
                return Ok(Some(Some(exit.code)));
            }
            Ok(matches!(health::get(address, path), Ok(200)).then_some(None))
        })?;
        ready.with_context(|| {
            let (name, bound, log) = (self.label(), humantime::format_duration(READY_BOUND), traces.log.display());
            format!("{name} did not answer GET {path} with 200 within {bound}: see {log}")
        })
    }

    fn command(
        self,
        binaries: &Binaries,
        settings: &BTreeMap<Setting, String>,
        traces: &Traces,
        around: &Surroundings,
    ) -> anyhow::Result<Command> {
        let mut command = around.command(binaries.path(self.binary().0)?);
        if self == Self::AxumServer {
            command.arg("axum-server");
        }
        // What the caller's shell happens to export must not decide a verdict.
        for setting in Setting::all() {
            command.env_remove(setting.name());
        }
        command
            .current_dir(&traces.folder)
            .env("DATABASE_URL", format!("sqlite:{DATABASE_FILE}"))
            .env("AUDIT_LOG", &traces.audit)
            .env("SHUTDOWN_REPORT", &traces.report)
            .env("LOG_FORMAT", "json")
            .envs(settings.iter().map(|(setting, value)| (setting.name(), value)))
            .envs(around.variables.iter().map(|(name, value)| (*name, value)));
        Ok(command)
    }
}

impl Running {
    /// Waits until the process catches `signal`: before that, it would be ended by it as any program is.
    pub fn wait_until_it_catches(&mut self, signal: Signal) -> anyhow::Result<()> {
        let path = format!("/proc/{}/status", self.process.pid().as_raw_nonzero());
        let caught = wait::until(CATCH_BOUND, Duration::from_micros(100), || {
            let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            let mask =
                status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
            let caught = mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1);
            Ok(caught.then_some(()))
        })?;
        caught.with_context(|| format!("no handler of the signal within {}", humantime::format_duration(CATCH_BOUND)))
    }
}

impl Traces {
    /// The traces of a server that runs for `folder`.
    pub fn within(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            audit: folder.join("audit.log"),
            report: folder.join("shutdown.json"),
            log: folder.join("server.log"),
        }
    }

    /// The traces of its successor, which takes over its database.
    pub fn of_successor(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            audit: folder.join("successor-audit.log"),
            report: folder.join("successor-shutdown.json"),
            log: folder.join("successor.log"),
        }
    }
}

/// Two ports that are free right now; both are held until both are known, so they differ.
fn free_ports() -> anyhow::Result<[SocketAddr; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port");
    let (first, second) = (listen()?, listen()?);
    Ok([first.local_addr()?, second.local_addr()?])
}
