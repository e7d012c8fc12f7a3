//! Many idle clients in one thread, on bare sockets: what they cost is taken from the server under measurement, which
//! runs on the same cores.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fd::OwnedFd,
    process::{Resource, getrlimit, setrlimit},
};

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: bench\r\n\r\n";
const HELD: &[u8] = b"GET /held HTTP/1.1\r\nHost: bench\r\n\r\n";

/// Longest time for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Descriptors of a process that are no connections: far more than either side has.
const SPARE: u64 = 200;

/// Events taken from the kernel in one call.
const BATCH: usize = 1024;

/// Raises the limit of open files as far as it goes, for this process and its children; returns how many connections
/// that leaves for each.
pub fn most_connections() -> anyhow::Result<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    Ok(limit.current.map_or(usize::MAX, |limit| limit.saturating_sub(SPARE) as usize))
}

/// Kept connections, each of which has carried one request, or is carrying it.
#[derive(Debug)]
pub struct Clients {
    epoll: OwnedFd,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    /// `None` once the server's FIN was seen.
    stream: Option<TcpStream>,
    /// What came after the answer to its one request, or that answer.
    last_word: Vec<u8>,
}

/// What the clients were told when their server stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// A 408 that says `close`, then FIN.
    pub farewells: usize,
    /// The answer to a request that was held, which says `close`, then FIN.
    pub answers: usize,
    /// Anything else: FIN alone, RST, half an answer, or nothing in time.
    pub others: usize,
}

impl Clients {
    /// Opens `count` connections and asks for `/hello` once on each.
    pub fn open(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        Self::connect(address, count, open)
    }

    /// Opens `count` connections and asks for `/held` on each, which is answered when the server stops.
    pub fn hold(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        Self::connect(address, count, hold)
    }

    fn connect(
        address: SocketAddr,
        count: usize,
        open: fn(SocketAddr) -> anyhow::Result<TcpStream>,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(count);
        for index in 0..count {
            let stream = open(address).with_context(|| format!("connection {index} of {count}"))?;
            epoll::add(&epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN | EventFlags::RDHUP)?;
            clients.push(Client { stream: Some(stream), last_word: Vec::new() });
        }
        Ok(Self { epoll, clients })
    }

    /// Reads until every server's end is closed, or for as long as `bound`; closes each connection at its FIN. Returns
    /// when the last was told.
    pub fn until_told(mut self, bound: Duration) -> anyhow::Result<(Told, Instant)> {
        let deadline = Instant::now() + bound;
        let (mut told, mut at) = (Told::default(), Instant::now());
        let mut events = Vec::with_capacity(BATCH);
        while told.farewells + told.answers + told.others < self.clients.len() {
            let left: Timespec = deadline.saturating_duration_since(Instant::now()).try_into()?;
            events.clear();
            if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&left))? == 0 {
                told.others = self.clients.len() - told.farewells - told.answers;
                break;
            }
            for event in &events {
                let client = &mut self.clients[event.data.u64() as usize];
                match client.read() {
                    Ok(true) if client.was_told(b"http/1.1 408 ", b"\r\n\r\n") => told.farewells += 1,
                    Ok(true) if client.was_told(b"http/1.1 200 ", b"held") => told.answers += 1,
                    Ok(false) => continue,
                    Ok(true) | Err(_) => told.others += 1,
                }
                client.stream = None;
            }
            at = Instant::now();
        }
        Ok((told, at))
    }
}

impl Client {
    /// Reads what is there; whether that ends with the FIN.
    fn read(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let mut buf = [0; 1024];
        loop {
            match stream.read(&mut buf) {
                Ok(0) => return Ok(true),
                Ok(length) => self.last_word.extend_from_slice(&buf[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the last word begins and ends so, and says `close`.
    fn was_told(&self, begin: &[u8], end: &[u8]) -> bool {
        let word = self.last_word.to_ascii_lowercase();
        word.starts_with(begin)
            && word.ends_with(end)
            && word.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"connection: close")
    }
}

/// One connection, one request, one answer; from then on it is idle.
fn open(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(REQUEST)?;
    let (mut answer, mut length) = ([0; 1024], 0);
    while !answer[..length].ends_with(b"hello") {
        let read = stream.read(&mut answer[length..])?;
        ensure!(read > 0, "no answer but {:?}", String::from_utf8_lossy(&answer[..length]));
        length += read;
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "another answer: {:?}", String::from_utf8_lossy(&answer[..length]));
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// One connection with a request that is not answered yet.
fn hold(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(HELD)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
