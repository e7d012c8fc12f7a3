//! Clients that do to a server what clients do: nothing, half of it, very slowly, or without listening.
//!
//! One thread has them all. They are in no ledger, because nobody promises them an answer; what they may not do is to
//! hold the stop longer than it is allowed to take, or to cost others theirs.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;

use crate::scenario::{ClientKind, Clients as Wanted};

/// No connect takes longer on a server that listens.
const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// Between two bytes of a slow client, and between two looks at what came.
const TICK: Duration = Duration::from_millis(50);

/// Of its upload a slow client never sends the end.
const UPLOAD_BYTES: u32 = 1 << 20;

/// The clients. Dropping them closes their connections.
pub(super) struct Clients {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Client {
    stream: TcpStream,
    kind: ClientKind,
}

impl Clients {
    /// Connects them all, and has each begin; from then on a thread has them.
    pub(super) fn start(wanted: &Wanted, server: SocketAddr) -> anyhow::Result<Self> {
        let clients = (0..wanted.count.get()).map(|_| Client::begin(wanted, server)).collect::<io::Result<Vec<_>>>();
        let mut clients = clients.with_context(|| format!("cannot connect {} clients", wanted.count))?;
        let (end, ended) = mpsc::channel();
        let thread = thread::Builder::new().name("clients".into()).spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                clients.retain_mut(Client::goes_on);
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It ends with the next tick.
            let _ = thread.join();
        }
    }
}

impl Client {
    fn begin(wanted: &Wanted, server: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&server, CONNECT_BOUND)?;
        let kind = wanted.kind;
        let path = wanted.path.as_deref().unwrap_or(match kind {
            // As much as no buffer between server and client holds.
            ClientKind::Deaf => "/stream?chunks=1000000&every_ms=0",
            ClientKind::SlowUpload => "/echo",
            _ => "/hello",
        });
        let first = match kind {
            ClientKind::Silent => String::new(),
            ClientKind::PartialHead | ClientKind::SlowHead => format!("GET {path} HTTP/1.1\r\nhost: {server}\r\nx-s"),
            ClientKind::SlowUpload => {
                format!("POST {path} HTTP/1.1\r\nhost: {server}\r\ncontent-length: {UPLOAD_BYTES}\r\n\r\n")
            }
            ClientKind::Get | ClientKind::Deaf | ClientKind::Vanishing => {
                format!("GET {path} HTTP/1.1\r\nhost: {server}\r\n\r\n")
            }
        };
        stream.write_all(first.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, kind })
    }

    /// One tick; whether there is another.
    fn goes_on(&mut self) -> bool {
        match self.kind {
            ClientKind::Vanishing => return false,
            ClientKind::Deaf => return true,
            ClientKind::SlowHead | ClientKind::SlowUpload => {
                // A server that takes no more shows in what is read.
                let _ = self.stream.write(b"s");
            }
            ClientKind::Silent | ClientKind::PartialHead | ClientKind::Get => {}
        }
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(read) => read > 0,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}
