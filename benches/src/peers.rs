//! The same router on winddown, on `axum::serve` and on axum-server, each in a process of its own.
//!
//! Each is set up as its documentation shows it. They are alike where a difference would be no merit: TCP_NODELAY is set, as
//! winddown does by itself, and there is no lame duck, which only winddown knows. Where they differ they stay as they are:
//! the others have no time-outs for heads, bodies and idle connections, and accept on the main thread, beside the workers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use axum::{Router, extract::State, routing::get, serve::ListenerExt};
use axum_server::{Handle, accept::NoDelayAcceptor};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use winddown::{Shutdown, Split};

use crate::{clients::Clients, server::Server};

/// Requests for `/held` are answered when the server stops: the first one so long after the signal, each other so long after
/// the one before it. So the last answer comes alone, and whoever waits for it is not busy with the others.
const FIRST: Duration = Duration::from_millis(50);
const NEXT: Duration = Duration::from_millis(1);

/// Longest time that requests in flight are granted: far more than they take.
const GRACE: Duration = Duration::from_secs(10);

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Winddown,
    Axum,
    AxumServer,
}

impl Peer {
    /// All of them. The one in the middle is what the others are measured against.
    pub const ALL: [Self; 3] = [Self::Winddown, Self::Axum, Self::AxumServer];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Winddown => "winddown",
            Self::Axum => "axum::serve",
            Self::AxumServer => "axum-server",
        }
    }

    /// Starts it.
    pub fn start(self) -> anyhow::Result<Server> {
        Server::start(&[self.name().as_ref()])
    }

    /// Starts it and opens connections, each of which carries one request; returns how many bytes each of them costs it.
    pub fn start_with_idle(self, connections: usize) -> anyhow::Result<(Server, Clients, f64)> {
        let server = self.start()?;
        // What the first request brings into being is no cost of a connection.
        drop(Clients::open(server.address(), 1)?);
        let before = server.resident()?;
        let clients = Clients::open(server.address(), connections)?;
        let growth = server.resident()?.saturating_sub(before);
        Ok((server, clients, growth as f64 / connections as f64))
    }

    /// Starts it and opens connections with a request in flight on each, whose handlers have all begun: requests that a server
    /// has not read yet it might not answer.
    pub fn start_with_held(self, connections: usize, bound: Duration) -> anyhow::Result<(Server, Clients)> {
        let server = self.start()?;
        let clients = Clients::hold(server.address(), connections)?;
        until_begun(server.address(), connections, bound)?;
        Ok((server, clients))
    }
}

/// The child: serves until SIGTERM. The first line on standard output says where.
#[tokio::main]
pub async fn serve(args: &[String]) -> anyhow::Result<ExitCode> {
    let named = |peer: &Peer| args == [peer.name()];
    match Peer::ALL.into_iter().find(named).with_context(|| format!("{args:?} is none of the servers"))? {
        Peer::Winddown => winddown().await,
        Peer::Axum => axum().await,
        Peer::AxumServer => axum_server().await,
    }
}

fn router() -> Router {
    let begun = Arc::<AtomicUsize>::default();
    let router = Router::new().route("/hello", get(|| async { "hello" })).route("/held", get(held));
    let count = |State(begun): State<Arc<AtomicUsize>>| async move { begun.load(Relaxed).to_string() };
    router.route("/begun", get(count)).with_state(begun)
}

/// Answers when the server stops.
async fn held(State(begun): State<Arc<AtomicUsize>>) -> &'static str {
    let mut terminated = signal(SignalKind::terminate()).expect("the others of this process are caught, too");
    let place = begun.fetch_add(1, Relaxed) as u32;
    terminated.recv().await;
    sleep(FIRST + NEXT * place).await;
    "held"
}

/// Waits until so many handlers of `/held` have begun.
fn until_begun(server: SocketAddr, count: usize, bound: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + bound;
    loop {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(bound))?;
        stream.write_all(b"GET /begun HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let begun = answer.lines().last().and_then(|line| line.parse().ok());
        if begun == Some(count) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "of {count} requests not all have begun after {bound:?}: {answer:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn winddown() -> anyhow::Result<ExitCode> {
    let signals = winddown::signals()?;
    let split = Split { lame_duck: Some(Duration::ZERO), ..Split::default() };
    let stop = Shutdown::builder().split(split).build()?;
    let server = stop.serve("bench", winddown::bind(loopback().into())?, router());
    println!("{}", server.local_addr()?);
    Ok(stop.run_until(signals).await.into())
}

async fn axum() -> anyhow::Result<ExitCode> {
    let mut terminated = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(loopback()).await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router())
        .with_graceful_shutdown(async move {
            terminated.recv().await;
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn axum_server() -> anyhow::Result<ExitCode> {
    let mut terminated = signal(SignalKind::terminate())?;
    let handle = Handle::new();
    let (stopping, listening) = (handle.clone(), handle.clone());
    tokio::spawn(async move {
        terminated.recv().await;
        stopping.graceful_shutdown(Some(GRACE));
    });
    tokio::spawn(async move {
        println!("{}", listening.listening().await.expect("the address is free"));
    });
    let server = axum_server::bind(loopback()).acceptor(NoDelayAcceptor::new()).handle(handle);
    server.serve(router().into_make_service()).await?;
    Ok(ExitCode::SUCCESS)
}
