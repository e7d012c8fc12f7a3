//! What stands around a server: a collector that takes nothing, a disk without room, a clock that jumps.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;

use crate::scenario::{Action, Collector, Disk, Scenario};

/// Where Debian and its kin have libfaketime (package `libfaketime`).
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// In the folder of a server whose clock can jump: by how much it has.
const CLOCK: &str = "clock";

/// The port `discard`, which nobody has listened on for decades.
const NOBODY: &str = "http://127.0.0.1:9";

/// What stands around a server while it runs.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// For its environment.
    pub variables: Vec<(&'static str, OsString)>,
    report_on: Option<(PathBuf, Disk)>,
    _mute: Option<TcpListener>,
}

impl Surroundings {
    /// What `scenario` wants around the server that runs in `folder`.
    pub fn of(scenario: &Scenario, folder: &Path) -> anyhow::Result<Self> {
        let mut around = Self::default();
        if let Some(collector) = scenario.surroundings.collector {
            around.put_up(collector)?;
        }
        if scenario.faults.iter().any(|fault| matches!(fault.action, Action::ClockJump(_))) {
            around.lend_a_clock(folder)?;
        }
        if let Some(disk) = scenario.surroundings.report_disk {
            let disk_folder = folder.join("disk");
            fs::create_dir_all(&disk_folder).with_context(|| format!("cannot create {}", disk_folder.display()))?;
            around.variables.push(("SHUTDOWN_REPORT", disk_folder.join("shutdown.json").into()));
            around.report_on = Some((disk_folder, disk));
        }
        Ok(around)
    }

    /// The command that runs `program` within them.
    pub fn command(&self, program: &Path) -> Command {
        // It becomes the program in the end, so that a signal reaches that.
        const WITHIN: &str = r#"mount -t tmpfs -o size=4k tmpfs "$1" && { cat /dev/zero > "$1/filled"; exec "$2"; }"#;
        match &self.report_on {
            None => Command::new(program),
            Some((folder, Disk::Full)) => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation", "private", "sh", "-c", WITHIN, "sh"]);
                command.arg(folder).arg(program);
                command
            }
        }
    }

    fn put_up(&mut self, collector: Collector) -> anyhow::Result<()> {
        let url = match collector {
            Collector::Dead => NOBODY.to_owned(),
            // The kernel establishes its connections; nobody accepts them.
            Collector::Mute => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port")?;
                let url = format!("http://{}", listener.local_addr()?);
                self._mute = Some(listener);
                url
            }
        };
        self.variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", url.into()));
        Ok(())
    }

    /// Only the wall clock: time-outs go by the other one, as both ledgers do.
    fn lend_a_clock(&mut self, folder: &Path) -> anyhow::Result<()> {
        let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
        let library = library.context("clock_jump needs libfaketime: install the package libfaketime")?;
        jump(folder, Duration::ZERO)?;
        self.variables.extend([
            ("LD_PRELOAD", library.into()),
            ("FAKETIME_TIMESTAMP_FILE", folder.join(CLOCK).into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]);
        Ok(())
    }
}

/// Puts the clock of the server that runs in `folder` this much ahead.
pub fn jump(folder: &Path, by: Duration) -> anyhow::Result<()> {
    let path = folder.join(CLOCK);
    fs::write(&path, format!("+{}\n", by.as_secs())).with_context(|| format!("cannot write {}", path.display()))
}
