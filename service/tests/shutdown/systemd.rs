//! What the service tells a supervisor, heard on a real notification socket.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    handlers::{TIGHT, block_every_worker},
    harness::{Service, Settings, Signal, free_ports},
    observe::eventually,
};

/// How often the service pings, which is half of what it is told.
const PING: Duration = Duration::from_millis(150);
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "300000");

#[test]
fn supervisor_hears_of_readiness_and_of_every_phase_of_the_stop() {
    let supervisor = Supervisor::listen();
    let grace_period = Duration::from_secs(20);
    let mut service = supervisor.start(&[("LAME_DUCK", "300ms"), ("SECOND_SIGNAL", "ignore")]);
    let mut busy = service.in_flight("/work/2800", "busy");
    assert!(!supervisor.has_heard("STOPPING=1"), "{:?}", supervisor.heard());

    let signalled = Instant::now();
    service.signal(Signal::TERM);
    let (heard_at, t0) = supervisor.await_message("STOPPING=1");
    let extension = value(&t0, "EXTEND_TIMEOUT_USEC").parse().map(Duration::from_micros).expect("microseconds");
    assert!(extension <= grace_period, "more than the service grants itself: {t0}");
    assert!(extension + (heard_at - signalled) >= grace_period, "{t0}: less than what is left of 20 s");
    thread::sleep(Duration::from_millis(1300)); // past the debounce
    service.signal(Signal::TERM);
    assert_eq!(busy.response().expect("the first deadline holds").status, 200);
    service.expect_exit(0);

    let heard = supervisor.all();
    let count = |text| heard.iter().filter(|(_, message)| message.contains(text)).count();
    assert_eq!((count("READY=1"), count("EXTEND_TIMEOUT_USEC="), count("WATCHDOG=1")), (1, 1, 0), "{heard:#?}");
    assert!(count("STATUS=drain: 1 request on 1 connection, 0 tasks; ") >= 2, "a long phase is refreshed: {heard:#?}");
    let mut told: Vec<_> = heard.iter().map(|(_, message)| phase_of(message)).collect();
    told.dedup();
    let phases = ["starting", "running", "stopping", "lame_duck", "drain", "background", "release", "flush", "stopped"];
    assert_eq!(told, phases, "{heard:#?}");
    let (_, last) = heard.last().expect("much was heard");
    assert!(last.starts_with("STATUS=stopped in ") && last.ends_with(": clean, exit code 0"), "{last}");
}

#[test]
fn supervisor_at_an_abstract_socket_hears_the_same() {
    let supervisor = Supervisor::listen_at_a_name();
    let mut service = supervisor.start(&[]);
    service.signal(Signal::TERM);
    service.expect_exit(0);
    let heard = supervisor.all();
    for text in ["READY=1", "STOPPING=1", "STATUS=stopped"] {
        assert!(heard.iter().any(|(_, message)| message.contains(text)), "no {text} in {heard:#?}");
    }
}

#[test]
fn pings_go_on_through_the_stop() {
    let supervisor = Supervisor::listen();
    let mut service = supervisor.start(&[WATCHDOG]);
    let mut busy = service.in_flight("/work/2000", "busy");
    service.signal(Signal::TERM);
    assert_eq!(busy.response().expect("it finishes").status, 200);
    service.expect_exit(0);
    let heard = supervisor.all();
    let stopping = heard.iter().position(|(_, message)| message.contains("STOPPING=1")).expect("it was told");
    let (before, after) = heard.split_at(stopping);
    let pings = |heard: &[Heard]| heard.iter().filter(|(_, message)| message == "WATCHDOG=1").count();
    assert!(pings(before) > 0, "none before the stop: {heard:#?}");
    // Some 13 are due. On a machine that hardly runs there are fewer, and more only when the stop takes longer.
    let took = after.last().expect("it is not empty").0 - after[0].0;
    let due = took.as_secs_f64() / PING.as_secs_f64();
    let heard_of = pings(after) as f64;
    assert!(heard_of >= 4.0 && heard_of <= due + 2.0, "{heard_of} pings, {due:.1} are due in {took:?} of a stop");
    assert!(heard.last().is_some_and(|(_, last)| last.starts_with("STATUS=stopped")), "{heard:#?}");
}

#[test]
fn pings_for_another_process_are_not_sent() {
    let supervisor = Supervisor::listen();
    let mut service = supervisor.start(&[WATCHDOG, ("WATCHDOG_PID", "1")]);
    assert_eq!(service.connect().get("/work/500", "slow").expect("it runs").status, 200);
    service.signal(Signal::TERM);
    service.expect_exit(0);
    assert!(!supervisor.has_heard("WATCHDOG"), "{:?}", supervisor.all());
}

#[test]
fn c27_pings_stop_when_every_worker_is_blocked_and_the_stop_is_told_all_the_same() {
    let supervisor = Supervisor::listen();
    let mut service = supervisor.start(&[&TIGHT[..], &[WATCHDOG]].concat());
    supervisor.await_message("WATCHDOG=1");
    let _blocking = block_every_worker(&service);
    supervisor.await_silence();
    service.signal(Signal::TERM);
    let (_, t0) = supervisor.await_message("STOPPING=1");
    assert!(t0.contains("EXTEND_TIMEOUT_USEC="), "{t0}");
    service.expect_exit(10);
}

#[test]
fn supervisor_that_is_gone_disturbs_nothing() {
    let mut service = Service::start(&[("NOTIFY_SOCKET", "/no/such/socket"), WATCHDOG]);
    let mut busy = service.in_flight("/work/700", "busy");
    service.signal(Signal::TERM);
    assert_eq!(busy.response().expect("it finishes").status, 200);
    service.expect_exit(0);
    let said = service.stderr().matches("the supervisor cannot be told").count();
    assert_eq!(said, 1, "{}", service.stderr());
}

/// When, and what.
type Heard = (Instant, String);

/// Listens to one service, on a thread: the kernel keeps ten messages for whoever does not read.
struct Supervisor {
    address: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    over: Arc<AtomicBool>,
    ear: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Supervisor {
    fn listen() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("the path is free");
        Self::at(socket, path.to_str().expect("a temporary path is text").to_owned(), folder)
    }

    fn listen_at_a_name() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let name = folder.path().to_str().expect("a temporary path is text").trim_start_matches('/').to_owned();
        let address = SocketAddr::from_abstract_name(&name).expect("it is short");
        Self::at(UnixDatagram::bind_addr(&address).expect("the name is free"), format!("@{name}"), folder)
    }

    fn at(socket: UnixDatagram, address: String, folder: TempDir) -> Self {
        let (heard, over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("the time-out is not zero");
        let (note, is_over) = (heard.clone(), over.clone());
        let ear = thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // Asked first: what was sent before the end is in the queue.
                let last_look = is_over.load(Relaxed);
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        let message = String::from_utf8(buffer[..length].to_vec()).expect("it is text");
                        note.lock().expect("nobody panics with it").push((Instant::now(), message));
                    }
                    Err(_) if last_look => return,
                    Err(_) => {}
                }
            }
        });
        Self { address, heard, over, ear: Some(ear), _folder: folder }
    }

    /// Starts a service, and finds it ready as soon as it says so.
    fn start(&self, settings: Settings<'_>) -> Service {
        let settings = [&[("NOTIFY_SOCKET", self.address.as_str())], settings].concat();
        let service = Service::spawn(free_ports(), &settings);
        self.await_message("READY=1");
        assert_eq!(service.admin_get("/readyz").expect("it listens by now").status, 200);
        service
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("nobody panics with it").clone()
    }

    fn has_heard(&self, text: &str) -> bool {
        self.heard().iter().any(|(_, message)| message.contains(text))
    }

    fn await_message(&self, text: &str) -> Heard {
        eventually(text, || self.heard().into_iter().find(|(_, message)| message.contains(text)))
    }

    /// Waits until several pings have not come.
    fn await_silence(&self) {
        eventually("no pings", || {
            let heard = self.heard();
            let (at, _) = heard.iter().rfind(|(_, message)| message == "WATCHDOG=1")?;
            (at.elapsed() > PING * 8).then_some(())
        });
    }

    /// Everything, when nobody is left who could send more.
    fn all(&self) -> Vec<Heard> {
        // Whatever has been sent is in the queue; the ear has read it when it has found nothing twice.
        eventually("the last message", || {
            let before = self.heard().len();
            thread::sleep(Duration::from_millis(120));
            (self.heard().len() == before).then_some(())
        });
        self.heard()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        let _ = self.ear.take().map(JoinHandle::join);
    }
}

/// What stands behind `name=` in one of the lines.
fn value<'a>(message: &'a str, name: &str) -> &'a str {
    let of_line = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    message.lines().find_map(of_line).unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// The first word of its status.
fn phase_of(message: &str) -> &str {
    value(message, "STATUS").split([':', ' ']).next().unwrap_or_default()
}
