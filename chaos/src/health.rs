//! A balancer's view: a fresh connection, one request, one status.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use winddown::audit;

/// No probe waits longer for one step.
const STEP: Duration = Duration::from_millis(500);

/// How often [`Watch`] asks.
const PAUSE: Duration = Duration::from_millis(1);

/// The status of `GET path`.
pub fn get(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, STEP)?;
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut line)?;
    // The rest is read so that the close is a FIN: an RST would show in the server as a client that went away. Envoy waits a
    // second for its client to close first, and the status is there long before.
    let _ = io::copy(&mut stream.take(1 << 20), &mut io::sink());
    let status = line.rsplit(|byte| *byte == b' ').next().and_then(|word| std::str::from_utf8(word).ok());
    status.and_then(|word| word.parse().ok()).ok_or_else(|| io::Error::other("the answer is not HTTP/1"))
}

/// Asks a thousand times a second until the answer is 503.
#[derive(Debug)]
pub struct Watch {
    thread: JoinHandle<Option<u64>>,
    enough: Arc<AtomicBool>,
}

impl Watch {
    /// Starts to ask for `path`.
    pub fn start(address: SocketAddr, path: &'static str) -> io::Result<Self> {
        let enough = Arc::<AtomicBool>::default();
        let thread = thread::Builder::new().name("probe".into()).spawn({
            let enough = Arc::clone(&enough);
            move || {
                while !enough.load(Ordering::Relaxed) {
                    match get(address, path) {
                        Ok(503) => return Some(audit::now()),
                        Ok(_) => thread::sleep(PAUSE),
                        // A process that is stopped says nothing for a while.
                        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
                        // A port that closes has said nothing of readiness.
                        Err(_) => return None,
                    }
                }
                None
            }
        })?;
        Ok(Self { thread, enough })
    }

    /// Stops to ask; when the first 503 came, in `CLOCK_MONOTONIC` nanoseconds.
    pub fn finish(self) -> Option<u64> {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().ok().flatten()
    }
}
