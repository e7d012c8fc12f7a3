//! An instance behind a balancer: the same addresses in every life.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;

use super::balancer::Front;
use crate::{
    binaries::Binaries,
    process::Exit,
    scenario::{Scenario, StopSignal},
    server::{Running, Server, Traces},
    surroundings::Surroundings,
    wait,
};

/// Instances have addresses from here on, as if each had a host of its own: so nobody's outgoing connection can be given
/// the port of one that is being restarted.
const FIRST_HOST: u8 = 11;

/// From an instance's readiness to the balancer's belief in it.
const BELIEF_BOUND: Duration = Duration::from_secs(15);

/// Between two looks at what a balancer believes.
const PAUSE: Duration = Duration::from_millis(20);

/// An instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// As the balancer calls it.
    pub(super) name: String,
    /// Of its traffic, and of its readiness.
    pub(super) addresses: [SocketAddr; 2],
    running: Option<Running>,
    /// One after the other.
    pub(super) lives: Vec<Life>,
}

/// What is left of a process of an instance.
#[derive(Debug)]
pub(super) struct Life {
    /// Its ledger.
    pub(super) audit: PathBuf,
    /// When it was told to stop, in `CLOCK_MONOTONIC` nanoseconds; none when it was only told after the load.
    pub(super) signal: Option<u64>,
}

/// How a restart went.
#[derive(Debug)]
pub(super) struct Restart {
    /// The end of the old life; none when it had to be killed.
    pub(super) exit: Option<Exit>,
    /// From the signal to when the balancer had stopped to believe in the instance. None when it did not in time.
    pub(super) looked_away: Option<Duration>,
}

/// What the lives of all instances have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind<'a> {
    pub(super) server: Server,
    /// What ends it under load.
    pub(super) signal: StopSignal,
    pub(super) scenario: &'a Scenario,
    pub(super) binaries: &'a Binaries,
    pub(super) folder: &'a Path,
}

impl Instance {
    pub(super) fn new(name: &str, addresses: [SocketAddr; 2]) -> Self {
        Self { name: name.to_owned(), addresses, running: None, lives: Vec::new() }
    }

    /// The instance of this number, from 0, on ports that are free.
    pub(super) fn numbered(number: u8, server: Server) -> anyhow::Result<Self> {
        let host = IpAddr::V4(Ipv4Addr::new(127, 0, 0, FIRST_HOST + number));
        let listen = || TcpListener::bind((host, 0)).with_context(|| format!("{host} has no free port"));
        let (traffic, admin) = (listen()?, listen()?);
        let traffic = traffic.local_addr()?;
        // A server without a port for it tells its readiness where its traffic goes.
        let admin = if server == Server::Service { admin.local_addr()? } else { traffic };
        Ok(Self::new(&format!("instance-{}", number + 1), [traffic, admin]))
    }

    /// Starts it and waits until it is ready.
    pub(super) fn start(&mut self, kind: Kind<'_>) -> anyhow::Result<()> {
        let Kind { server, scenario, binaries, folder, .. } = kind;
        let file = |what: &str| folder.join(format!("{}-life-{}-{what}", self.name, self.lives.len() + 1));
        let traces = Traces {
            // All have one database, as behind a real balancer.
            folder: folder.to_owned(),
            audit: file("audit.log"),
            report: file("shutdown.json"),
            log: file("server.log"),
        };
        let around = Surroundings::default();
        let mut running = server.spawn_at(self.addresses, binaries, &scenario.service, &traces, &around)?;
        if let Some(code) = server.wait_until_ready(&mut running, &traces)? {
            anyhow::bail!("{} ended with code {code} before it was ready: see {}", self.name, traces.log.display());
        }
        self.running = Some(running);
        self.lives.push(Life { audit: traces.audit, signal: None });
        Ok(())
    }

    /// Stops it, starts it again, and waits until it is ready and `front` believes so.
    pub(super) fn restart(&mut self, kind: Kind<'_>, front: &Front, sees: bool) -> anyhow::Result<Restart> {
        let mut running = self.running.take().context("only what runs can be restarted")?;
        let signal = running.process.signal(kind.signal.into())?;
        self.lives.last_mut().context("what runs has a life")?.signal = Some(signal);

        let (mut looked_away, mut exit) = (None, None);
        wait::until(kind.scenario.exit_bound(), Duration::ZERO, || {
            if sees && looked_away.is_none() && !front.believes_in(self)? {
                looked_away = Some(Duration::from_nanos(winddown::audit::now() - signal));
            }
            exit = running.process.wait(PAUSE)?;
            Ok(exit.map(drop))
        })?;
        drop(running);

        self.start(kind)?;
        let believed = wait::until(BELIEF_BOUND, PAUSE, || Ok(front.believes_in(self)?.then_some(())))?;
        believed.with_context(|| {
            let bound = humantime::format_duration(BELIEF_BOUND);
            format!("the balancer did not go back to {} within {bound} of its readiness", self.name)
        })?;
        Ok(Restart { exit, looked_away })
    }

    /// Stops it for good, behind the load.
    pub(super) fn stop(&mut self, bound: Duration) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.process.signal(Signal::TERM)?;
        running.process.wait(bound)?;
        Ok(())
    }

    /// Whether its present life has been asked for anything by a client; a probe sends no id.
    pub(super) fn has_been_asked(&self) -> bool {
        let Some(Life { audit, .. }) = self.lives.last() else { return false };
        let by_client = |line: &str| line.contains(" enter ") && !line.ends_with(" -");
        fs::read_to_string(audit).is_ok_and(|text| text.lines().any(by_client))
    }
}
