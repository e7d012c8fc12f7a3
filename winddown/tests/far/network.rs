//! Two network namespaces, a server's and its clients', 50 ms of round trip apart.

use std::{
    env,
    fs::File,
    io::{self, Write},
    net::{Ipv4Addr, TcpListener},
    os::fd::AsFd,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::{
    connection::Connection,
    delay_line::{DelayLine, ONE_WAY, QUEUE},
};

/// From a packet to its answer, when nobody takes time to think.
pub(crate) const ROUND_TRIP: Duration = ONE_WAY.saturating_mul(2);

/// The interface's name in each of the two namespaces.
const INTERFACE: &str = "far";

/// Both namespaces and the line between them, which goes first: an interface goes with its namespace.
pub(crate) struct Network {
    _line: DelayLine,
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
}

/// A network namespace with one interface. It keeps no name, so that the kernel takes it away with the last descriptor
/// and thread that has it, however the test ends.
#[derive(Clone)]
pub(crate) struct Namespace {
    namespace: Arc<File>,
    pub(crate) address: Ipv4Addr,
}

/// What this machine does not have or allow.
struct Missing(String);

impl Network {
    /// `None`, and a word on the terminal, where the machine does not allow it.
    ///
    /// Where `REQUIRE_REAL_PARTS` is 1, that is a failure.
    pub(crate) fn set_up() -> Option<Self> {
        let required = env::var_os("REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
        match Self::new() {
            Ok(network) => Some(network),
            Err(Missing(part)) if required => panic!("REQUIRE_REAL_PARTS is 1, and this needs {part}"),
            Err(Missing(part)) => {
                // Past the test harness, which shows nothing of a test that passes.
                let test = thread::current().name().unwrap_or_default().to_owned();
                let _ = io::stderr().write_all(format!("{test} is skipped: it needs {part}\n").as_bytes());
                None
            }
        }
    }

    fn new() -> Result<Self, Missing> {
        check_machine()?;
        let (server, server_end) = Namespace::new(Ipv4Addr::new(10, 77, 0, 1))?;
        let (client, client_end) = Namespace::new(Ipv4Addr::new(10, 77, 0, 2))?;
        let network = Self { _line: DelayLine::between(server_end, client_end), server, client };
        let measured = network.measure();
        assert!(measured >= ROUND_TRIP, "a connect took {measured:?}");
        println!("a connect took {measured:.1?}");
        Ok(network)
    }

    /// How long a connect takes, which is a round trip.
    fn measure(&self) -> Duration {
        let listener = self.server.run(|| TcpListener::bind((self.server.address, 0)).expect("it has free ports"));
        let address = listener.local_addr().expect("it is bound");
        let began = Instant::now();
        self.client.run(|| Connection::open(address).map(drop).expect("the line carries a handshake"));
        began.elapsed()
    }

    /// Asserts that whatever became late or lost was not for want of room in the interfaces' queues.
    pub(crate) fn assert_lossless(&self) {
        for end in [&self.server, &self.client] {
            assert_eq!(end.run(lost_packets), 0, "packets were lost in the queue at {}", end.address);
        }
    }
}

impl Namespace {
    /// A new one, and the other end of its interface.
    fn new(address: Ipv4Addr) -> Result<(Self, SyncDevice), Missing> {
        let name = Name::new()?;
        let file = File::open(format!("/run/netns/{}", name.0)).expect("`ip` puts a new namespace there");
        let namespace = Self { namespace: Arc::new(file), address };
        let interface = DeviceBuilder::new().name(INTERFACE).tx_queue_len(QUEUE).enable(false);
        let end =
            namespace.run(|| interface.build_sync()).map_err(|error| Missing(format!("TUN interface: {error}")))?;
        for command in [
            "link set lo up".into(),
            format!("address add {address}/24 dev {INTERFACE}"),
            format!("link set {INTERFACE} up"),
        ] {
            ip(format!("-n {} {command}", name.0)).unwrap_or_else(|error| panic!("ip {command}: {error}"));
        }
        Ok((namespace, end))
    }

    /// Moves the calling thread into it, for good, and with it the threads that it starts.
    pub(crate) fn enter(&self) {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("this is root");
    }

    /// Runs something in it, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let run = || {
            self.enter();
            run()
        };
        thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The name of a namespace, which it has while it is being set up.
struct Name(String);

impl Name {
    fn new() -> Result<Self, Missing> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("winddown-far-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
        ip(format!("netns add {name}")).map_err(|error| Missing(format!("network namespaces: {error}")))?;
        Ok(Self(name))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = ip(format!("netns delete {}", self.0));
    }
}

fn check_machine() -> Result<(), Missing> {
    if !rustix::process::geteuid().is_root() {
        return Err(Missing("root, to make network namespaces".into()));
    }
    let tun = File::options().read(true).write(true).open("/dev/net/tun");
    tun.map_err(|error| Missing(format!("/dev/net/tun: {error}")))?;
    ip("-Version".into()).map_err(|error| Missing(format!("`ip` of iproute2: {error}")))
}

/// Runs `ip` with these words.
fn ip(words: String) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().to_owned()) }
}

/// What the interface of the calling thread's namespace could not send on.
fn lost_packets() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").expect("proc(5) is mounted");
    let row = table.lines().find_map(|row| row.trim_start().strip_prefix(INTERFACE)?.strip_prefix(':'));
    let counts = row.expect("the interface is there").split_whitespace();
    // Eight columns of what was received, then bytes, packets, errors, drops of what was sent.
    counts.skip(10).take(2).map(|count| count.parse::<u64>().expect("a count")).sum()
}
