//! A server under measurement: a child process, so that its memory and its end are its own.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use crate::asked::SERVE;

/// Longest time that a server may take to start.
const START: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// A child that has told on its standard output where it listens. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts this bench once more, as a server, and waits for its first line, an address.
    pub fn start(args: &[&OsStr]) -> anyhow::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg(SERVE).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, address: unspecified };
        let said = poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&START))?;
        ensure!(said > 0, "the server has not said in {} s where it listens", START.tv_sec);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        server.address = line.trim().parse().with_context(|| format!("the server said {line:?}, not an address"))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its resident memory in bytes. From `smaps_rollup`, which counts pages; the kernel's running count in `statm` is
    /// gathered from the cores in batches, and off by as much.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.with_context(|| format!("no Rss in {path}"))?.parse()?;
        Ok(kilobytes * 1024)
    }

    /// What its threads have taken of the cores until now.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let threads = format!("/proc/{}/task", self.child.id());
        let mut time = Duration::ZERO;
        for thread in fs::read_dir(&threads).with_context(|| format!("cannot read {threads}"))? {
            let path = thread?.path().join("schedstat");
            // A thread may end meanwhile. Those that matter do not.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
            time += Duration::from_nanos(nanoseconds.with_context(|| format!("{} has no time", path.display()))?);
        }
        Ok(time)
    }

    /// Asks it to stop; returns the time just before.
    pub fn terminate(&self) -> anyhow::Result<Instant> {
        let at = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        Ok(at)
    }

    /// Waits for its end and returns how and when that was, or that it still runs after `bound`.
    pub fn wait(&mut self, bound: Duration) -> anyhow::Result<(ExitStatus, Instant)> {
        let ended = wait(&mut self.child, bound)?;
        ended.with_context(|| format!("the server still runs after {bound:?}"))
    }
}

/// Waits for the end of `child`, and returns how and when that was; `None` when it still runs after `bound`.
pub(crate) fn wait(child: &mut Child, bound: Duration) -> anyhow::Result<Option<(ExitStatus, Instant)>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&bound.try_into()?))?;
    let at = Instant::now();
    Ok(if ended > 0 { Some((child.wait()?, at)) } else { None })
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of no effect on one that was waited for: the standard library remembers that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
