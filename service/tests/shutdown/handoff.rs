//! Sockets that the service inherits: it says where they came from, and never closes them.

use std::{
    fs::File,
    io::{self, ErrorKind},
    net::{TcpListener, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use winddown::Address;

use crate::{
    harness::{BINARY, PATIENCE, SETTINGS, Service, Settings, Signal, free_ports},
    load::{Client, Now, Tally, one_request_each},
    observe::eventually,
    parts,
    stream::Target,
    wire::Wire,
};

const CLIENTS: usize = 16;
/// So many requests each instance, or each pair of them, has answered before anybody is told to stop.
const WARM: usize = 10 * CLIENTS;

const NAMED: [(&str, &str); 2] = [("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "http")];

#[test]
fn c46_restarts_under_a_socket_that_is_held_lose_and_refuse_nobody() {
    let door = Door::new();
    let mut entered = Vec::new();
    let tally = door.under_load(|now| {
        for _ in 0..3 {
            let mut service = door.start(&[]);
            now.await_answers(WARM);
            service.signal(Signal::TERM);
            service.expect_exit(0);
            assert_eq!(closed(&service, "public"), "left_open");
            entered.push(service);
        }
        let last = door.start(&[]);
        now.await_answers(WARM);
        entered.push(last);
    });
    tally.assert_agrees_with(entered.iter().flat_map(Service::entered).collect());
}

#[test]
fn c46_successor_that_fails_leaves_the_old_one_serving_until_one_is_ready() {
    let door = Door::new();
    let mut all = Vec::new();
    let tally = door.under_load(|now| {
        let mut old = door.start(&[]);
        let taken = old.admin.address.to_string();
        for (settings, code) in [(("GRACE_PERIOD", "abc"), 78), (("ADMIN_ADDR", taken.as_str()), 1)] {
            let mut successor = door.spawn(&[settings]);
            assert_eq!(successor.wait_exit(PATIENCE).status.code(), Some(code), "{}", successor.stderr());
            now.await_answers(WARM);
        }
        let successor = door.start(&[]);
        now.await_answers(WARM);
        old.signal(Signal::TERM);
        old.expect_exit(0);
        now.await_answers(WARM);
        all.extend([old, successor]);
    });
    tally.assert_agrees_with(all.iter().flat_map(Service::entered).collect());
}

#[test]
fn c46_sockets_of_systemd_socket_activate_are_served_and_left_open() {
    let Some(activate) = parts::program("systemd-socket-activate", "systemd") else { return };
    // One without a name, and both in another order.
    let cases: [(bool, Option<&str>, &[&str]); 2] =
        [(false, None, &["HTTP_ADDR"]), (true, Some("admin:http"), &["HTTP_ADDR", "ADMIN_ADDR"])];
    for (both, names, inherited) in cases {
        let (http, admin) = free_ports();
        let mut command = Command::new(&activate);
        command.args(both.then(|| format!("--listen={admin}"))).arg(format!("--listen={http}"));
        command.args(names.map(|names| format!("--fdname={names}")));
        // It hands on nothing that it was not told to.
        let own = ["HTTP_ADDR", "ADMIN_ADDR", "SHUTDOWN_REPORT", "AUDIT_LOG"];
        command.args(own.into_iter().chain(SETTINGS.map(|(name, _)| name)).map(|name| format!("--setenv={name}")));
        command.arg(BINARY);
        let mut service = Service::spawn_as(command, (http, admin), &[]);
        // The first connection starts the service, and waits for it.
        let mut first = eventually("somebody listens", || Wire::connect(&service.http).ok());
        assert_eq!(first.get("/hello", "first").expect("it waits in the queue").status, 200);
        service.await_ready().expect("it serves already");
        let mut busy = service.in_flight("/work/700", "busy");
        service.signal(Signal::TERM);
        assert_eq!(busy.response().expect("it finishes").status, 200);
        service.expect_exit(0);
        assert_eq!(closed(&service, "public"), "left_open");
        for setting in ["HTTP_ADDR", "ADMIN_ADDR"] {
            let says = service.stderr().contains(&format!("in the place of {setting}="));
            assert_eq!(says, inherited.contains(&setting), "{setting}: {}", service.stderr());
        }
    }
}

#[test]
fn c41_socket_that_cannot_be_served_is_refused_with_78_and_named() {
    let datagram = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports"));
    let stream = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"));
    let cases: [(OwnedFd, &str, &[&str]); 3] = [
        (datagram(), "http", &["`http` is a datagram socket", "ListenStream="]),
        (stream(), "htpp", &["`htpp`", "`http`, `admin`"]),
        (stream(), "http:admin", &["LISTEN_FDNAMES"]),
    ];
    for (socket, names, words) in cases {
        let settings = [("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", names)];
        let mut service = Service::spawn_as(inheriting(socket), free_ports(), &settings);
        assert_eq!(service.wait_exit(PATIENCE).status.code(), Some(78), "{names}: {}", service.stderr());
        for word in words {
            assert!(service.stderr().contains(word), "{names}: no {word} in: {}", service.stderr());
        }
        assert!(service.left_behind().is_empty());
    }
}

#[test]
fn c41_sockets_that_are_promised_and_not_passed_are_refused_with_78_and_touch_nothing_else() {
    for promised in ["2", "3", "4", "9"] {
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"));
        let mut service = Service::spawn_as(inheriting(socket), free_ports(), &[("LISTEN_FDS", promised)]);
        let exit = service.wait_exit(PATIENCE);
        assert_eq!(exit.status.code(), Some(78), "{promised}: {exit:?} {}", service.stderr());
        assert!(service.stderr().contains("LISTEN_FDS promises descriptor 4"), "{promised}: {}", service.stderr());
        assert!(!service.stderr().contains("panicked"), "{promised}: {}", service.stderr());
    }
}

/// What a supervisor holds for the service.
struct Door {
    listener: TcpListener,
    http: Address,
}

impl Door {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let http = listener.local_addr().expect("it is bound").into();
        Self { listener, http }
    }

    /// One more instance, at an admin port of its own.
    fn spawn(&self, settings: Settings<'_>) -> Service {
        let socket = self.listener.as_fd().try_clone_to_owned().expect("there are descriptors");
        let addresses = (self.http.clone(), free_ports().1);
        Service::spawn_as(inheriting(socket), addresses, &[&NAMED, settings].concat())
    }

    fn start(&self, settings: Settings<'_>) -> Service {
        let mut service = self.spawn(settings);
        service.await_ready().unwrap_or_else(|status| panic!("{status}:\n{}", service.stderr()));
        service
    }

    /// Clients connect for every request, all the time, and each request is answered.
    fn under_load(&self, run: impl FnOnce(&Now)) -> Tally {
        let (target, over, now) = (Target::from(self.http.clone()), AtomicBool::new(false), Now::default());
        let connect = |_| {
            // The way to send a client home; nobody is refused in earnest.
            let goes_home = || io::Error::from(ErrorKind::ConnectionRefused);
            if over.load(Relaxed) { Err(goes_home()) } else { Ok(Wire::connect(&target).expect("nobody is refused")) }
        };
        let tally = thread::scope(|scope| {
            let run_client = |mut client: Client<'_>| {
                client.until_refused(one_request_each);
                client.tally
            };
            let client = |name| Client::new(name, &connect, &now);
            let clients: Vec<_> =
                (0..CLIENTS).map(client).map(|client| scope.spawn(move || run_client(client))).collect();
            let home = GoHome(&over); // also when an assertion fails here
            run(&now);
            drop(home);
            let tallies = clients.into_iter().map(|client| client.join().expect("nobody is refused"));
            tallies.fold(Tally::default(), Tally::add)
        });
        println!("{}", tally.summary());
        assert!(tally.dropped.is_empty(), "{}\n{:#?}", tally.summary(), tally.dropped);
        tally
    }
}

struct GoHome<'a>(&'a AtomicBool);

impl Drop for GoHome<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Now {
    /// Waits for so many more.
    fn await_answers(&self, count: usize) {
        let goal = self.answered.load(Relaxed) + count;
        eventually("answers", || (self.answered.load(Relaxed) >= goal).then_some(()));
    }
}

/// A command that becomes the service, with `socket` as its descriptor 3, and says whose it is.
fn inheriting(socket: OwnedFd) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"exec 3<&0 </dev/null; export LISTEN_PID=$$; exec "$0""#, BINARY]).stdin(File::from(socket));
    command
}

/// How the listener of this server was closed.
fn closed(service: &Service, server: &str) -> String {
    let report = service.report();
    let listeners = report["listeners"].as_array().expect("a list");
    let listener = listeners.iter().find(|listener| listener["server"] == server);
    listener.and_then(|listener| listener["closed"].as_str()).unwrap_or("not reported").to_owned()
}
