//! A child process that can be signalled, awaited within a bound, and that never outlives its handle.

use std::{
    fs::File,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, test_kill_process_group},
};
use winddown::audit;

use crate::wait;

/// A child in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    exit: Option<Exit>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub at: u64,
    /// Its exit code, or 128 + n when signal n ended it.
    pub code: i32,
}

/// Where a process's standard output goes. Its standard error goes into its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Into the log too.
    Logged,
    /// To [`Process::take_stdout`].
    Piped,
}

impl Process {
    /// Starts `command` and logs into the file `log`.
    pub fn spawn(name: &str, command: &mut Command, log: &Path, output: Output) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(match output {
                Output::Logged => file.try_clone()?.into(),
                Output::Piped => Stdio::piped(),
            })
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, exit: None })
    }

    /// Its standard output, once, when it was piped.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends `signal`; returns the time just before.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<u64> {
        anyhow::ensure!(self.exit.is_none(), "{} has already ended", self.name);
        let at = audit::now();
        kill_process(self.pid(), signal).with_context(|| format!("cannot signal {}", self.name))?;
        Ok(at)
    }

    /// Whether it has ended, without waiting.
    pub fn try_exit(&mut self) -> anyhow::Result<Option<Exit>> {
        if self.exit.is_none() {
            let at = audit::now();
            self.exit = self.child.try_wait()?.map(|status| Exit { at, code: code(status) });
        }
        Ok(self.exit)
    }

    /// Waits for its end, at most for `bound`; `None` when it still runs then.
    pub fn wait(&mut self, bound: Duration) -> anyhow::Result<Option<Exit>> {
        // So often an interrupt is looked for, and an exit where the system has no pidfd.
        const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        const WITHOUT_PIDFD: Duration = Duration::from_millis(1);

        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).ok();
        let deadline = Instant::now() + bound;
        while self.try_exit()?.is_none() && Instant::now() < deadline {
            wait::check()?;
            match &pidfd {
                // An interrupted poll is a short slice.
                Some(pidfd) => drop(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&SLICE))),
                None => thread::sleep(WITHOUT_PIDFD),
            }
        }
        Ok(self.exit)
    }

    /// Its number, which is that of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended and processes of its group have not.
    pub fn leaves_others(&mut self) -> bool {
        matches!(self.try_exit(), Ok(Some(_))) && test_kill_process_group(self.pid()).is_ok()
    }

    /// Kills it and all of its group, also when it has ended itself: as long as one member lives, the group is this one.
    pub fn kill_group(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }

    /// The same, for whoever signals it.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once it is reaped, its number may belong to somebody else.
        if matches!(self.try_exit(), Ok(None)) {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> (tempfile::TempDir, Process) {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let log = folder.path().join("log");
        let process = Process::spawn("sh", Command::new("sh").args(["-c", script]), &log, Output::Logged);
        (folder, process.expect("every system has a shell"))
    }

    #[test]
    fn an_exit_code_and_a_deadly_signal_are_told_apart() {
        let (_folder, mut ends) = sh("exit 7");
        assert_eq!(ends.wait(BOUND).expect("it can be awaited").expect("it ends by itself").code, 7);

        let (_folder, mut killed) = sh("exec sleep 60");
        let signalled = killed.signal(Signal::KILL).expect("a child can be signalled");
        let exit = killed.wait(BOUND).expect("it can be awaited").expect("nothing survives SIGKILL");
        assert_eq!(exit.code, 128 + 9);
        assert!(exit.at >= signalled);
    }

    #[test]
    fn what_a_shell_leaves_behind_is_seen_and_killed() {
        let (_folder, mut shell) = sh("sleep 60 & exit 3");
        assert_eq!(shell.wait(BOUND).expect("it can be awaited").expect("it ends by itself").code, 3);
        assert!(shell.leaves_others());
        shell.kill_group();
        let gone = wait::until(BOUND, Duration::from_millis(1), || Ok((!shell.leaves_others()).then_some(())));
        assert!(gone.expect("nobody interrupts it").is_some(), "the group is gone");
    }

    #[test]
    fn a_wait_is_bounded_and_a_dropped_process_is_dead() {
        let (_folder, mut process) = sh("exec sleep 60");
        assert!(process.wait(Duration::from_millis(1)).expect("it can be awaited").is_none());
        let pid = process.pid();
        drop(process);
        assert!(rustix::process::test_kill_process(pid).is_err(), "the process is gone and reaped");
    }
}
