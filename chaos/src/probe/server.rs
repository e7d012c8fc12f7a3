//! The server: started, found, awaited, told to stop, and never left behind.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;

use super::{
    address::{Url, free_port, listening},
    options::{Options, PORT},
};
use crate::{
    health,
    process::{Exit, Output, Process},
    wait,
};

/// From the start of the command to its readiness.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Behind the grace, before it is killed: a deadline of just that much is kept.
pub(super) const MARGIN: Duration = Duration::from_secs(1);

/// So much of a log tells why a server did not start.
const LAST_LINES: usize = 5;

/// A server that answers.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) url: Url,
    log: PathBuf,
    /// Keeps what a stop command has started until the server is gone.
    stopping: Vec<Process>,
}

impl Running {
    /// Starts the command of `options` with `log`, and waits until it answers.
    pub(super) fn start(options: &Options, log: PathBuf) -> anyhow::Result<Self> {
        let port = free_port()?;
        let offered = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let fill = |text: &String| text.replace(PORT, &port.to_string());
        let (program, args) = options.command.split_first().context("there is a command")?;
        let mut command = Command::new(program);
        command.args(args.iter().map(fill)).env("PORT", port.to_string());
        let mut process = Process::spawn(program, &mut command, &log, Output::Logged)?;

        let told = match &options.url {
            Some(url) => Some(Url::parse(&fill(url)).map_err(anyhow::Error::msg)?),
            None if options.command.iter().any(|arg| arg.contains(PORT)) => {
                Some(Url { address: offered, path: "/".to_owned() })
            }
            None => None,
        };
        let group = process.id();
        let mut last = "it does not listen".to_owned();
        let ready = wait::until(READY_WITHIN, PAUSE, || {
            if let Some(exit) = process.try_exit()? {
                anyhow::bail!("the command ended with code {} before it was ready{}", exit.code, tail(&log));
            }
            let url = match &told {
                Some(url) => url.clone(),
                // Before the whole of /proc is read.
                None if TcpStream::connect(offered).is_ok() => Url { address: offered, path: "/".to_owned() },
                None => match choose(&listening(group).into_iter().collect::<Vec<_>>())? {
                    Some(address) => Url { address, path: "/".to_owned() },
                    None => return Ok(None),
                },
            };
            match health::get(url.address, options.ready.as_ref().unwrap_or(&url.path)) {
                Ok(status) if status < if options.ready.is_some() { 400 } else { 500 } => return Ok(Some(url)),
                Ok(status) => last = format!("{} answers {status}", url.address),
                Err(error) => last = format!("{}: {error}", url.address),
            }
            Ok(None)
        })?;
        let within = humantime::format_duration(READY_WITHIN);
        let url = ready.with_context(|| format!("the server was not ready within {within}, {last}{}", tail(&log)))?;
        Ok(Self { process, url, log, stopping: Vec::new() })
    }

    /// Asks it to stop, by signal or by command; returns the time just before.
    pub(super) fn stop(&mut self, options: &Options) -> anyhow::Result<u64> {
        let Some(shell) = &options.stop_command else { return self.process.signal(options.signal.signal()) };
        let shell = shell.replace(PORT, &self.url.address.port().to_string());
        let at = winddown::audit::now();
        let log = self.log.with_extension(format!("stop-{}.log", self.stopping.len() + 1));
        let command = Process::spawn("the stop command", Command::new("sh").args(["-c", &shell]), &log, Output::Logged);
        self.stopping.push(command?);
        Ok(at)
    }

    /// Waits for its end, at most for `bound`.
    pub(super) fn wait(&mut self, bound: Duration) -> anyhow::Result<Option<Exit>> {
        self.process.wait(bound)
    }

    /// Whether processes of its group outlived it: then its end says nothing of theirs.
    pub(super) fn has_left_others(&mut self) -> bool {
        self.process.leaves_others()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Also what a shell has left behind when it ended.
        self.process.kill_group();
    }
}

/// Of the addresses on which the command listens, and none of them is what PORT told it, the only one.
fn choose(found: &[SocketAddr]) -> anyhow::Result<Option<SocketAddr>> {
    match found {
        [] => Ok(None),
        [first, others @ ..] if others.iter().all(|other| other.port() == first.port()) => Ok(Some(*first)),
        several => {
            let list: Vec<_> = several.iter().map(ToString::to_string).collect();
            anyhow::bail!("the command listens on {}: say which is asked, by --url http://HOST:PORT/", list.join(", "))
        }
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    [format!(": see {}", log.display()).as_str()].iter().chain(last).copied().collect::<Vec<_>>().join("\n  | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_ports_none_is_guessed() {
        let found = |addresses: &[&str]| {
            let parsed = addresses.iter().map(|address| address.parse().expect("it is an address"));
            parsed.collect::<Vec<SocketAddr>>()
        };
        let chosen = |addresses: &[&str]| choose(&found(addresses)).map(|one| one.map(|address| address.port()));
        assert_eq!(chosen(&[]).expect("it may listen later"), None);
        assert_eq!(chosen(&["127.0.0.1:9090"]).expect("there is one"), Some(9090));
        assert_eq!(chosen(&["127.0.0.1:9090", "[::1]:9090"]).expect("it is one port"), Some(9090));
        let error = chosen(&["127.0.0.1:9090", "127.0.0.1:9091"]).expect_err("nobody knows which").to_string();
        assert!(error.contains("127.0.0.1:9090, 127.0.0.1:9091: say which is asked, by --url"), "{error}");
    }
}
