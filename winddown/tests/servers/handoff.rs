//! Sockets that outlive their servers: one process after the other serves them, and no client notices.

use std::{
    io, net,
    os::{fd::OwnedFd, unix},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{Router, routing::get};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinHandle,
};
use winddown::{Address, Listener, ListenerClose};

use crate::process::{Process, eventually, no_lame_duck, rest};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
const CLIENTS: usize = 8;
/// So many requests each server has answered before it is told to stop.
const WARM: usize = 10 * CLIENTS;

#[tokio::test]
async fn c46_socket_that_a_successor_holds_is_never_closed() {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = Address::Tcp(listener.local_addr().expect("it is bound"));
    one_server_after_the_other(Door { socket: listener.into(), address }).await;
}

#[tokio::test]
async fn c46_unix_socket_that_a_successor_holds_is_never_closed_and_its_file_stays() {
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("socket");
    let listener = unix::net::UnixListener::bind(&path).expect("the path is free");
    one_server_after_the_other(Door { socket: listener.into(), address: Address::Unix(path.clone()) }).await;
    assert!(path.exists(), "the file is not the servers' to remove");
}

#[tokio::test]
async fn listener_that_was_bound_here_leaves_its_file_when_it_is_shared() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("socket");
    drop(winddown::bind(Address::Unix(path.clone())).expect("the path is free").shared());
    assert!(path.exists());
    drop(winddown::bind(Address::Unix(path.clone())).expect("nobody listens there"));
    assert!(!path.exists());
}

async fn one_server_after_the_other(door: Door) {
    let load = Load::begin(&door.address);
    for name in ["first", "second"] {
        let process = door.successor(name).await;
        load.answers(WARM).await;
        process.signal();
        let report = process.report().await;
        let listener = &report.listeners[0];
        assert_eq!((report.exit_code(), listener.closed, listener.saved), (0, ListenerClose::LeftOpen, 0));
    }
    let _last = door.successor("third").await;
    load.answers(WARM).await;
    load.end().await;
}

/// A listening socket, held here.
struct Door {
    socket: OwnedFd,
    address: Address,
}

impl Door {
    /// Serves it, beginning with somebody who came while nobody did.
    async fn successor(&self, name: &'static str) -> Process {
        let mut early = connect(&self.address).await.expect("the socket listens");
        early.write_all(GET).await.expect("the kernel takes it");
        let stop = no_lame_duck();
        stop.serve("public", self.listener(), Router::new().route("/", get(move || async move { name })));
        let process = Process::run(stop).await;
        assert!(rest(early).await.ends_with(name));
        process
    }

    /// For one more server.
    fn listener(&self) -> Listener {
        let socket = self.socket.try_clone().expect("there are descriptors");
        let listener = match self.address {
            Address::Tcp(_) => {
                let listener = net::TcpListener::from(socket);
                listener.set_nonblocking(true).expect("an open socket can be told so");
                TcpListener::from_std(listener).map(Listener::from)
            }
            Address::Unix(_) => {
                let listener = unix::net::UnixListener::from(socket);
                listener.set_nonblocking(true).expect("an open socket can be told so");
                UnixListener::from_std(listener).map(Listener::from)
            }
        };
        listener.expect("the runtime takes it").shared()
    }
}

/// Clients that connect anew for every request. One that is refused, reset or not answered panics.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(address: &Address) -> Self {
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (address, over, answered) = (address.clone(), over.clone(), answered.clone());
            tokio::spawn(async move {
                while !over.load(Relaxed) {
                    let mut stream = connect(&address).await.expect("nobody is refused");
                    stream.write_all(GET).await.expect("nobody is reset");
                    let answer = rest(stream).await;
                    // A server that drains may refuse what it accepted just before, and it does so in words.
                    assert!(answer.starts_with("HTTP/1.1 200") || answer.contains("HTTP/1.1 503"), "{answer:?}");
                    answered.fetch_add(1, Relaxed);
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { over, answered, clients }
    }

    /// Waits for so many more answers.
    async fn answers(&self, count: usize) {
        let goal = self.answered.load(Relaxed) + count;
        let alive = || assert!(self.clients.iter().all(|client| !client.is_finished()), "a client was let down");
        eventually("answers", async || {
            alive();
            (self.answered.load(Relaxed) >= goal).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.over.store(true, Relaxed);
        for client in self.clients {
            client.await.expect("no client was let down");
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}
