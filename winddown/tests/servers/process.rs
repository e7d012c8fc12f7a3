//! A process in a test: a whole server, with a channel for signals.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::State, routing::get};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use winddown::{Address, Listener, Phase, Report, ServerHandle, Shutdown, Signal, Signals, Split, Transport};

/// Longer than anything here takes, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A process in a test: signals by a channel, the report by a task.
pub(crate) struct Process {
    pub(crate) stop: Shutdown,
    signals: mpsc::UnboundedSender<Signal>,
    pub(crate) report: JoinHandle<Report>,
}

impl Process {
    /// Runs with no lame duck, so that a signal is the drain.
    pub(crate) async fn run(stop: Shutdown) -> Self {
        let (signals, stream) = mpsc::unbounded_channel();
        let running = stop.clone().run_until(Signals::from_stream(UnboundedReceiverStream::new(stream)));
        let report = tokio::spawn(running);
        let process = Self { stop, signals, report };
        process.until(Phase::Running).await;
        process
    }

    pub(crate) async fn until(&self, phase: Phase) {
        let mut watch = self.stop.handle().watch();
        let reached = watch.wait_for(|status| status.phase >= phase);
        tokio::time::timeout(PATIENCE, reached).await.expect("in time").expect("the process lives");
    }

    pub(crate) fn signal(&self) {
        self.signals.send(Signal::Term).expect("the process listens");
    }

    pub(crate) async fn report(self) -> Report {
        tokio::time::timeout(PATIENCE, self.report).await.expect("in time").expect("no panic")
    }
}

pub(crate) fn no_lame_duck() -> Shutdown {
    with_lame_duck(Duration::ZERO, Transport::default())
}

pub(crate) fn with_transport(transport: Transport) -> Shutdown {
    with_lame_duck(Duration::ZERO, transport)
}

pub(crate) fn with_lame_duck(lame_duck: Duration, transport: Transport) -> Shutdown {
    let split = Split { lame_duck: Some(lame_duck), ..Split::default() };
    let builder = Shutdown::builder().grace_period(Duration::from_secs(30) + lame_duck);
    builder.split(split).transport(transport).build().expect("it fits")
}

/// Cuts what is left so long after the signal, and 100 ms later for good.
pub(crate) fn with_drain(drain: Duration) -> Shutdown {
    let split = Split {
        lame_duck: Some(Duration::ZERO),
        drain: Some(drain),
        cancel_grace: Some(Duration::from_millis(100)),
        ..Split::default()
    };
    Shutdown::builder().grace_period(Duration::from_mins(1)).split(split).build().expect("it fits")
}

pub(crate) async fn serve(stop: &Shutdown, name: &str, router: Router) -> (ServerHandle, SocketAddr) {
    let server = stop.serve(name, local(), router);
    let address = server.local_addr().expect("it is bound");
    (server, address)
}

pub(crate) fn local() -> Listener {
    winddown::bind(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("loopback has free ports")
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"))
}

pub(crate) async fn ask(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// Whether the server still answers a new connection.
pub(crate) async fn is_alive(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await?;
    Ok(rest(stream).await.ends_with("alive"))
}

/// Everything until the server's FIN.
pub(crate) async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("a clean end");
    text
}

/// A route that says when it is entered and answers when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) entered: Arc<Notify>,
    pub(crate) release: Arc<Notify>,
}

impl Held {
    pub(crate) fn router(&self) -> Router {
        let held = |State(held): State<Self>| async move {
            held.entered.notify_one();
            held.release.notified().await;
            "held"
        };
        Router::new().route("/held", get(held)).with_state(self.clone())
    }
}
