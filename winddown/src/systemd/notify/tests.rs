use tempfile::TempDir;

use super::*;
use crate::lifecycle::Cause;

/// A supervisor that listens on a path, and a process that tells it.
struct Told {
    ear: UnixDatagram,
    supervisor: Arc<Supervisor>,
    stop: Shutdown,
    _folder: TempDir,
}

impl Told {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("notify");
        let ear = UnixDatagram::bind(&path).expect("the path is free");
        ear.set_nonblocking(true).expect("an open socket can be told so");
        let stop = Shutdown::builder().build().expect("the defaults fit");
        let supervisor = Arc::new(Supervisor::at(path.as_os_str(), &stop.inner).expect("it is a path"));
        let observer = supervisor.clone();
        assert!(stop.inner.lifecycle.observe(move || observer.tell(false)));
        Self { ear, supervisor, stop, _folder: folder }
    }

    fn enter(&self, phase: Phase) {
        let budget = phase.is_of_the_stop().then_some(Duration::from_secs(10));
        self.stop.inner.lifecycle.enter(phase, budget);
    }

    fn ask(&self, reason: &str) {
        self.stop.handle().request(Cause::Requested { reason: reason.to_owned() });
    }

    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let next = || self.ear.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec());
        std::iter::from_fn(next).map(|message| String::from_utf8(message).expect("it is text")).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_thing_is_told_once_and_in_order() {
    let told = Told::new();
    told.enter(Phase::Running);
    assert_eq!(told.heard(), ["READY=1\nSTATUS=running"]);
    told.supervisor.tell(true);
    assert_eq!(told.heard(), [""; 0], "there is nothing to say of a process that runs");

    told.ask("upgrade");
    let t0 = "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\nSTATUS=stopping: requested: upgrade; 30.0 s left";
    assert_eq!(told.heard(), [t0], "the default grace period, all of it");
    tokio::time::advance(Duration::from_secs(2)).await;
    told.ask("again");
    assert_eq!(told.heard(), [""; 0], "whoever asks again gets no more time");

    told.enter(Phase::Drain);
    tokio::time::advance(Duration::from_millis(600)).await;
    told.supervisor.tell(true);
    let drain = |left| format!("STATUS=drain: 0 requests on 0 connections, 0 tasks; {left} s left");
    assert_eq!(told.heard(), [drain("10.0"), drain("9.4")]);

    told.enter(Phase::Stopped);
    let last = told.heard();
    assert_eq!(last, ["STATUS=stopped in 2.600s by requested: upgrade: clean, exit code 0"]);
    told.supervisor.tell(true);
    told.supervisor.ping();
    assert_eq!(told.heard(), [""; 0], "nothing comes after the end");
}

#[tokio::test(start_paused = true)]
async fn process_that_was_asked_to_stop_is_never_ready() {
    let told = Told::new();
    told.ask("too soon");
    told.enter(Phase::Running);
    told.enter(Phase::Stopped);
    let heard = told.heard().join("\n");
    assert!(heard.contains("STOPPING=1") && !heard.contains("READY"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn status_is_one_line_of_bounded_length() {
    let told = Told::new();
    told.enter(Phase::Running);
    told.ask(&format!("{}\nREADY=1", "x".repeat(1000)));
    told.enter(Phase::Stopped);
    for message in told.heard().iter().flat_map(|message| message.lines()).skip(1) {
        assert!(message.len() <= "STATUS=".len() + LONGEST_STATUS && message != "READY=1", "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn supervisor_that_does_not_read_blocks_nothing_and_is_told_later() {
    let told = Told::new();
    while told.supervisor.send(&mut told.supervisor.said(), "noise") {}
    told.enter(Phase::Running);
    let complaint = told.supervisor.complaint().expect("it could not be told");
    assert_eq!(complaint.kind(), io::ErrorKind::WouldBlock);
    assert!(told.heard().iter().all(|message| message == "noise"));
    told.supervisor.tell(true);
    assert_eq!(told.heard(), ["READY=1\nSTATUS=running"]);

    drop(told.ear);
    told.supervisor.ping();
    assert!(told.supervisor.complaint().is_none(), "once is enough");
}

#[tokio::test(start_paused = true)]
async fn pings_come_at_half_of_the_limit_until_the_end() {
    let told = Told::new();
    told.enter(Phase::Running);
    let accompanied = tokio::spawn(accompany(told.supervisor.clone(), Some(Duration::from_millis(400))));
    let mut pings = 0;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        pings += told.heard().iter().filter(|message| *message == "WATCHDOG=1").count();
    }
    assert!((10..=11).contains(&pings), "{pings} in 2 s");
    told.enter(Phase::Stopped);
    accompanied.await.expect("no panic");
    assert!(told.heard().last().is_some_and(|last| last.starts_with("STATUS=stopped")));
}

#[test]
fn addresses_are_paths_or_abstract_names() {
    let parsed = |address: &str| parse(OsStr::new(address));
    assert!(parsed("/run/systemd/notify").is_ok_and(|address| address.as_pathname().is_some()));
    assert!(parsed("@winddown").is_ok_and(|address| address.is_unnamed() || address.as_pathname().is_none()));
    for refused in ["", "notify", "vsock:2:1234"] {
        assert!(parsed(refused).is_err(), "{refused}");
    }
}
