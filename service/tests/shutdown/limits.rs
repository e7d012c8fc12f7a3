//! A service that has no room for more connections: those who wait in the queue are served, sooner or later.

use std::{
    fs::{self, DirEntry},
    io, thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, prlimit};

use crate::{
    harness::{PATIENCE, Service, Settings, Signal},
    observe::eventually,
    wire::{End, Wire, get},
};

/// How many connections fit in before descriptors run out.
const ROOM: usize = 12;
/// How many come.
const COMERS: usize = 40;
/// What the service says then.
const COMPLAINT: &str = "few descriptors are left; newcomers wait in the queue";

#[test]
fn process_out_of_descriptors_neither_dies_nor_spins_and_serves_who_waits() {
    let mut service = Service::start(&[]);
    let mut wires = fill_up(&service);
    let cpu = cpu_share(&service);
    println!("out of descriptors, it used {:.1} % of a core", cpu * 100.0);
    assert!(cpu < 0.5, "it spins: {:.0} % of a core", cpu * 100.0);
    let inside = wires[0].get("/hello", "inside").expect("who is in is served as ever");
    assert_eq!(inside.status, 200);
    for _ in 0..10 {
        let alive = service.admin_get("/livez").expect("some descriptors are kept back");
        assert_eq!(alive.status, 200);
    }
    // Each that leaves makes room for one.
    for (i, mut wire) in wires.drain(..).enumerate().skip(1) {
        let response = wire.response().unwrap_or_else(|broken| panic!("connection {i}: {broken:?}"));
        assert_eq!(response.status, 200, "connection {i}: {response:?}");
    }
    let complaints = service.stderr().matches(COMPLAINT).count();
    assert!((1..=3).contains(&complaints), "{complaints} complaints within seconds");
    service.signal(Signal::TERM);
    service.expect_exit(0);
}

#[test]
fn c01_queue_of_a_process_out_of_descriptors_is_served_when_the_listener_closes() {
    let mut service = Service::start(&[]);
    let mut wires = fill_up(&service);
    // Some leave by the farewell of the drain, the others only when they have been answered.
    for (i, wire) in wires[..ROOM / 2].iter_mut().enumerate() {
        assert_eq!(wire.response().expect("it fitted in").status, 200);
        wire.send(get("/work/1000", &format!("busy-{i}"))).expect("the connection is open");
        service.await_entered(&format!("busy-{i}"));
    }
    service.signal(Signal::TERM);
    for (i, wire) in wires.iter_mut().enumerate() {
        let response = wire.response().unwrap_or_else(|broken| panic!("connection {i}: {broken:?}"));
        assert_eq!(response.status, 200, "connection {i}: {response:?}");
        wire.assert_ends_after(&response);
    }
    let exit = service.expect_exit(0);
    println!("{} waited for a descriptor, signal to exit {:?}", COMERS - ROOM, exit.after);
}

/// Leaves a running service few descriptors, and comes with more connections than that, each with a request.
fn fill_up(service: &Service) -> Vec<Wire> {
    service.leave_descriptors(ROOM);
    let comers = (0..COMERS).map(|i| {
        let mut wire = service.connect();
        wire.send(get("/hello", &format!("comer-{i}"))).expect("the kernel takes it");
        wire
    });
    let wires = comers.collect();
    eventually("a process that is out of descriptors", || service.stderr().contains(COMPLAINT).then_some(()));
    wires
}

#[test]
fn newcomers_beyond_the_limit_wait_and_are_served() {
    let (service, mut wires) = start_full(&[]);
    let said = || service.stderr().contains("no more connections are allowed; newcomers wait in the queue");
    eventually("a line that says so", || said().then_some(()));
    // Each that leaves makes room for one, in the order in which they came.
    for (i, mut wire) in wires.drain(..).enumerate() {
        let response = wire.response().unwrap_or_else(|broken| panic!("connection {i}: {broken:?}"));
        assert_eq!((response.status, response.closes()), (200, false), "connection {i}: {response:?}");
    }
}

#[test]
fn c01_newcomers_beyond_the_limit_are_all_served_when_the_listener_closes() {
    for settings in [&[][..], &[("LAME_DUCK", "500ms")]] {
        let (mut service, mut wires) = start_full(settings);
        service.signal(Signal::TERM);
        for (i, wire) in wires.iter_mut().enumerate() {
            let response = wire.response().unwrap_or_else(|broken| panic!("connection {i}: {broken:?}"));
            assert_eq!(response.status, 200, "connection {i}: {response:?}");
            wire.assert_ends_after(&response);
        }
        service.expect_exit(0);
    }
}

/// A service with as many connections as it may have, and more that wait with a request each.
fn start_full(settings: Settings<'_>) -> (Service, Vec<Wire>) {
    let service = Service::start(&[&[("MAX_CONNECTIONS", "4")], settings].concat());
    let mut wires: Vec<Wire> = (0..20).map(|_| service.connect()).collect();
    for (i, wire) in wires.iter_mut().enumerate() {
        wire.send(get("/hello", &format!("comer-{i}"))).expect("the kernel takes it");
    }
    for i in 0..4 {
        service.await_entered(&format!("comer-{i}"));
    }
    // What must not come can only be looked for so long.
    let wire = wires.last_mut().expect("there are twenty");
    wire.be_patient_for(Duration::from_millis(100));
    let early = wire.response().expect_err("one more than are allowed");
    assert_eq!(early.end, End::Silence, "{early:?}");
    wire.be_patient_for(PATIENCE);
    assert_eq!(service.entered().len(), 4, "{:?}", service.entered());
    (service, wires)
}

impl Service {
    /// Lets the process have no more than so many descriptors beyond those that it has.
    fn leave_descriptors(&self, room: usize) {
        let open = fs::read_dir(self.proc("fd")).expect("the process is not yet reaped");
        let number = |entry: io::Result<DirEntry>| entry.ok()?.file_name().to_str()?.parse::<usize>().ok();
        // The limit is on the numbers of descriptors, and a new one gets the lowest that is free.
        let taken: Vec<_> = open.filter_map(number).collect();
        let last = (0..).filter(|number| !taken.contains(number)).nth(room - 1).expect("numbers never end");
        let limit = Some(last as u64 + 1);
        prlimit(Some(self.pid()), Resource::Nofile, Rlimit { current: limit, maximum: limit })
            .expect("the process is our child");
    }
}

/// The part of one core that the process uses, over a second.
fn cpu_share(service: &Service) -> f64 {
    let ticks = || {
        let stat = fs::read_to_string(service.proc("stat")).expect("the process is not yet reaped");
        // What follows the name, which is in parentheses; user and system time are the fields 14 and 15 (proc(5)).
        let fields = stat.rsplit_once(") ").expect("a name in parentheses").1.split(' ').skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().expect("a count")).sum::<u64>()
    };
    let (before, second) = (ticks(), Duration::from_secs(1));
    thread::sleep(second); // the time of the measurement
    (ticks() - before) as f64 / rustix::param::clock_ticks_per_second() as f64
}
