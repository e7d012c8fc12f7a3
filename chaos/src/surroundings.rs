//! What stands around a server: a collector that takes nothing, a disk without room, a clock that jumps.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;

use rustix::process::Pid;

use crate::scenario::{Action, Collector, Scenario};

/// Where Debian and its kin have libfaketime (package `libfaketime`).
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// In the folder of a server whose clock can jump: by how much it has.
const CLOCK: &str = "clock";

/// In the folder of a server whose disk can fill up: where that is mounted, for the server alone.
const DISK: &str = "disk";

/// The port `discard`, which nobody has listened on for decades.
const NOBODY: &str = "http://127.0.0.1:9";

/// What stands around a server while it runs.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// For its environment.
    pub variables: Vec<(&'static str, OsString)>,
    small_disk: Option<PathBuf>,
    mute: Option<TcpListener>,
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
        if scenario.faults.iter().any(|fault| fault.action == Action::FillReportDisk) {
            let disk = folder.join(DISK);
            fs::create_dir_all(&disk).with_context(|| format!("cannot create {}", disk.display()))?;
            around.variables.push(("SHUTDOWN_REPORT", disk.join("shutdown.json").into()));
            around.small_disk = Some(disk);
        }
        Ok(around)
    }

    /// The command that runs `program` within them.
    pub fn command(&self, program: &Path) -> Command {
        // It becomes the program in the end, so that a signal reaches that.
        const WITHIN: &str = r#"mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2""#;
        let Some(disk) = &self.small_disk else { return Command::new(program) };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", WITHIN, "sh"]).arg(disk).arg(program);
        command
    }

    fn put_up(&mut self, collector: Collector) -> anyhow::Result<()> {
        let url = match collector {
            Collector::Dead => NOBODY.to_owned(),
            // The kernel establishes its connections; nobody accepts them.
            Collector::Mute => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port")?;
                let url = format!("http://{}", listener.local_addr()?);
                self.mute = Some(listener);
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

/// Leaves no room on the disk of the server `process` that runs in `folder`, which only that one sees.
pub fn fill_report_disk(process: Pid, folder: &Path) -> anyhow::Result<()> {
    let folder = folder.join(DISK);
    let seen_by_it = Path::new("/proc").join(process.as_raw_nonzero().to_string()).join("root");
    let path = seen_by_it.join(folder.strip_prefix("/").unwrap_or(&folder)).join("filled");
    let full = File::create(&path).and_then(|mut file| io::copy(&mut io::repeat(0), &mut file));
    match full {
        Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot fill {}", path.display())),
        Ok(_) => anyhow::bail!("{} has no end", path.display()),
    }
}
