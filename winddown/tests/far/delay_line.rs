//! A wire that is as long as we like: packets leave one TUN interface and reach the other one a fixed time later.
//!
//! The kernel's own `netem` is not built into every kernel. A TUN interface needs nothing but the driver, and what is
//! between two of them is ours. Each way has a thread that takes packets and one that hands them on, in order; as
//! many as like are under way at once.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tun_rs::{InterruptEvent, SyncDevice};

/// How long a packet is under way.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(25);

/// The length of the interface's own queue, so that no packet is lost while a loaded machine keeps the threads waiting.
pub(crate) const QUEUE: u32 = 10_000;

/// Longer than any test takes. Then the line is cut, whoever still holds it.
const LIFETIME: Duration = Duration::from_mins(2);

/// The largest packet: the interfaces have the usual 1500, and ask for no offloading.
const LARGEST: usize = 1500;

/// A packet, and when it arrives.
type Packet = (Instant, Box<[u8]>);

/// The threads that carry packets between two interfaces. Dropped, it carries what is under way, and ends.
pub(crate) struct DelayLine {
    cut: Arc<InterruptEvent>,
    threads: Vec<JoinHandle<()>>,
}

impl DelayLine {
    pub(crate) fn between(one: SyncDevice, other: SyncDevice) -> Self {
        let (one, other) = (Arc::new(one), Arc::new(other));
        let cut = Arc::new(InterruptEvent::new().expect("a pipe can be made"));
        let mut threads = Vec::new();
        for (from, to) in [(one.clone(), other.clone()), (other, one)] {
            from.set_nonblocking(true).expect("an open descriptor has flags");
            let (line, end) = channel();
            let cut = cut.clone();
            threads.push(thread::spawn(move || take(&from, &cut, &line)));
            threads.push(thread::spawn(move || hand_on(&end, &to)));
        }
        Self { cut, threads }
    }
}

impl Drop for DelayLine {
    fn drop(&mut self) {
        self.cut.trigger().expect("a pipe that nobody has filled takes a byte");
        for thread in self.threads.drain(..) {
            // One that panicked has said so, and nothing has come through since.
            let _ = thread.join();
        }
    }
}

/// Takes packets until the line is cut; then the other end of it sees the last.
fn take(from: &SyncDevice, cut: &InterruptEvent, line: &Sender<Packet>) {
    let until = Instant::now() + LIFETIME;
    let mut packet = [0; LARGEST];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match from.recv_intr_timeout(&mut packet, cut, Some(left)) {
            Ok(length) => {
                line.send((Instant::now() + ONE_WAY, packet[..length].into()))
                    .expect("the other end outlives this one");
            }
            Err(error) if error.kind() == ErrorKind::Interrupted && !cut.is_trigger() => {}
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut) => return,
            Err(error) => panic!("no packets from this interface: {error}"),
        }
    }
}

/// Hands each packet on when its time has come.
fn hand_on(line: &Receiver<Packet>, to: &SyncDevice) {
    for (arrives, packet) in line {
        thread::sleep(arrives.saturating_duration_since(Instant::now()));
        to.send(&packet).expect("an interface that is up takes a packet at once");
    }
}
