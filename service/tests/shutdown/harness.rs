//! The real binary in a process of its own, started, signalled and watched from outside.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;
use winddown::Address;

use crate::{
    certificates::Files,
    observe::eventually,
    stream::Target,
    wire::{Wire, get},
};

/// How long a test waits for what must happen: far beyond what a loaded machine needs, so only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A stop without a lame duck and with room for everything else; a test overrides what it is about.
pub(crate) const SETTINGS: [(&str, &str); 10] = [
    ("GRACE_PERIOD", "20s"),
    ("LAME_DUCK", "0s"),
    ("DRAIN_TIMEOUT", "12s"),
    ("CANCEL_GRACE", "300ms"),
    ("BACKGROUND_TIMEOUT", "1s"),
    ("RELEASE_TIMEOUT", "1s"),
    ("FLUSH_TIMEOUT", "1s"),
    ("EXIT_MARGIN", "1s"),
    ("ENABLE_FAULTS", "1"),
    ("LOG_FORMAT", "json"),
];

pub(crate) const BINARY: &str = env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME")));

/// How late after the hard deadline, grace period less margin, a process may be gone, in every case there is. A quarter of it is
/// promised; the rest is what a busy machine may add.
const LATEST: Duration = Duration::from_secs(1);

pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// One run of the service. Dropped, it is killed.
pub(crate) struct Service {
    pub(crate) http: Target,
    pub(crate) admin: Target,
    /// What it was told to read for TLS.
    pub(crate) certificate: Option<Files>,
    child: Child,
    /// The service itself, where another process had to start it.
    grandchild: Option<Pid>,
    pub(crate) folder: TempDir,
    /// From the signal to the moment at which the watchdog ends the process.
    hard_limit: Duration,
    stop_asked: Option<Instant>,
    was_frozen: bool,
}

/// How a run ended, and how long after its first signal.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) after: Duration,
}

impl Service {
    /// Starts a service on two free ports and waits until it is ready.
    pub(crate) fn start(settings: Settings<'_>) -> Self {
        for _ in 0..5 {
            let mut service = Self::spawn(free_ports(), settings);
            match service.await_ready() {
                Ok(()) => return service,
                // Between looking for a free port and binding it, a neighbour was faster.
                Err(_) if service.stderr().contains("in use") => {}
                Err(status) => panic!("the service ended with {status} before it was ready:\n{}", service.stderr()),
            }
        }
        panic!("five pairs of ports, and each was taken by somebody else")
    }

    /// Starts a service and does not wait for it.
    pub(crate) fn spawn(addresses: (Address, Address), settings: Settings<'_>) -> Self {
        Self::spawn_as(Command::new(BINARY), addresses, settings)
    }

    /// The same by a `command` that becomes the service, or has it for its only child.
    pub(crate) fn spawn_as(mut command: Command, (http, admin): (Address, Address), settings: Settings<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let work = folder.path().join("work");
        fs::create_dir(&work).expect("the folder is new and empty");
        let log = File::create(folder.path().join("stderr.log")).expect("the folder is new and empty");
        let child = command
            .env_clear()
            .current_dir(work)
            .env("HTTP_ADDR", http.to_string())
            .env("ADMIN_ADDR", admin.to_string())
            .env("SHUTDOWN_REPORT", folder.path().join("report.json"))
            .env("AUDIT_LOG", folder.path().join("audit.log"))
            .env("DATABASE_URL", format!("sqlite:{}", folder.path().join("orders.db").display()))
            .envs(SETTINGS)
            .envs(settings.iter().copied())
            .stdout(log.try_clone().expect("an open file can be shared"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("the program is there");
        Self {
            http: http.into(),
            admin: admin.into(),
            certificate: None,
            child,
            grandchild: None,
            folder,
            hard_limit: hard_limit(settings),
            stop_asked: None,
            was_frozen: false,
        }
    }

    /// Starts a service at these addresses, which are free or just being left, and waits until it is ready.
    pub(crate) fn start_at(addresses: (Address, Address), settings: Settings<'_>) -> Self {
        let mut service = Self::spawn(addresses, settings);
        service.await_ready().unwrap_or_else(|status| panic!("{status}:\n{}", service.stderr()));
        service
    }

    /// Where it listens, for its successor.
    pub(crate) fn addresses(&self) -> (Address, Address) {
        (self.http.address.clone(), self.admin.address.clone())
    }

    pub(crate) fn await_ready(&mut self) -> Result<(), ExitStatus> {
        eventually("readiness", || {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return Some(Err(status));
            }
            self.admin_get("/readyz").filter(|response| response.status == 200).map(|_| Ok(()))
        })
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(&self.http).expect("the service listens")
    }

    /// Sends a GET on a connection of its own and waits until its handler runs.
    pub(crate) fn in_flight(&self, path: &str, id: &str) -> Wire {
        let mut wire = self.connect();
        wire.send(get(path, id)).expect("the service reads");
        self.await_entered(id);
        wire
    }

    /// A kept connection that has carried one request.
    pub(crate) fn idle(&self, id: &str) -> Wire {
        let mut wire = self.connect();
        assert_eq!(wire.get("/hello", id).expect("the service runs").status, 200);
        wire
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        if signal != Signal::STOP && signal != Signal::CONT {
            self.stop_asked.get_or_insert_with(Instant::now);
        }
        self.send(signal);
    }

    /// Sends a signal that asks for no stop.
    pub(crate) fn send(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is our child and not yet reaped");
    }

    /// Stops the process as a debugger would, so that what comes now waits in the kernel.
    pub(crate) fn freeze(&mut self) {
        self.was_frozen = true;
        self.signal(Signal::STOP);
        let stat = self.proc("stat");
        eventually("the process stands still", || {
            let stat = fs::read_to_string(&stat).expect("the process is not yet reaped");
            // The state follows the name, which is in parentheses.
            stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
        });
    }

    pub(crate) fn pid(&self) -> Pid {
        self.grandchild.unwrap_or_else(|| Pid::from_child(&self.child))
    }

    /// Takes the only child of our child for the service, as soon as there is one.
    pub(crate) fn await_grandchild(&mut self) {
        let children = self.proc(&format!("task/{}/children", self.child.id()));
        let pid = eventually("the service has been started", || {
            fs::read_to_string(&children).expect("our child is not yet reaped").trim().parse().ok()
        });
        self.grandchild = Pid::from_raw(pid);
    }

    /// Waits until the process has come to install its handler for SIGTERM.
    pub(crate) fn await_signal_handler(&self) {
        let caught = |line: &str| {
            let mask = u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).expect("proc(5): hexadecimal");
            Some(mask & 1 << (Signal::TERM.as_raw() - 1) != 0)
        };
        eventually("a handler for SIGTERM", || {
            let status = fs::read_to_string(self.proc("status")).expect("the process is not yet reaped");
            status.lines().find_map(caught)?.then_some(())
        });
    }

    /// A file in which the kernel tells about the process (proc(5)).
    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid().as_raw_nonzero()))
    }

    /// Waits for the end, which must come within `bound` of the first signal, and by the hard deadline.
    pub(crate) fn wait_exit(&mut self, bound: Duration) -> Exit {
        const TURN: Duration = Duration::from_millis(1);

        let since = self.stop_asked.unwrap_or_else(Instant::now);
        let (mut turn, mut lag) = (Instant::now(), Duration::ZERO);
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                let after = since.elapsed();
                // What holds this loop up holds the process up, too: the machine's lateness is not the service's.
                let latest = self.hard_limit + LATEST + lag;
                assert!(
                    self.was_frozen || after <= latest,
                    "gone {after:?} after the signal, {latest:?} is the latest"
                );
                return Exit { status, after };
            }
            lag = lag.max(turn.elapsed().saturating_sub(TURN));
            turn = Instant::now();
            let phase = || self.admin_get("/shutdown").map(|status| status.body);
            assert!(since.elapsed() < bound, "still running {bound:?} after the signal: {:?}", phase());
            thread::sleep(TURN);
        }
    }

    /// Waits for the end and expects nothing but this exit code of it.
    pub(crate) fn expect_exit(&mut self, code: i32) -> Exit {
        let exit = self.wait_exit(PATIENCE);
        assert_eq!(exit.status.code(), Some(code), "{exit:?}");
        exit
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Who has become another user outlives the one that started it, whatever that asked of the kernel.
        if let (Some(grandchild), Ok(None)) = (self.grandchild, self.child.try_wait()) {
            let _ = kill_process(grandchild, Signal::KILL);
        }
        // Both fail only when the process has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.explain();
        }
    }
}

fn hard_limit(settings: Settings<'_>) -> Duration {
    let set = |name| settings.iter().rev().chain(&SETTINGS).find(|(setting, _)| *setting == name);
    // One that is wrong ends the process before there is anything to limit.
    let length = |name| humantime::parse_duration(set(name).expect("it is among the settings").1).unwrap_or_default();
    length("GRACE_PERIOD").saturating_sub(length("EXIT_MARGIN"))
}

/// Addresses for the traffic and the admin port of a service.
pub(crate) fn free_ports() -> (Address, Address) {
    (free_port().into(), free_port().into())
}

/// A port that nobody listens on.
///
/// It comes from below the range that the kernel gives to outgoing connections, or a storm in a neighbouring test
/// might take it before the service does.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = std::process::id() as u16 % 100 * 120; // test runners may give each test a process
    loop {
        let port = 12_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
