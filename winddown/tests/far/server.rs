//! Servers in the server's namespace, each on a thread and a runtime of its own.
//!
//! A namespace is a thread's. Everything that a server does must be done in it, also what the library asks of the
//! kernel when it closes; so the runtime has no thread but this one.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc::channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use winddown::{Phase, Report, Shutdown, Signal, Signals, Split, Transport};

use crate::{eventually, network::Namespace};

/// A server that runs until it is signalled. `T` is what it says in the end.
pub(crate) struct Server<T> {
    pub(crate) address: SocketAddr,
    signals: UnboundedSender<Signal>,
    entered: Entered,
    thread: JoinHandle<T>,
}

/// The ids of the requests whose handler ran.
type Entered = Arc<Mutex<Vec<String>>>;

/// Ours, and the handle that tells how far its stop has come.
pub(crate) fn start(namespace: &Namespace, lame_duck: Duration) -> (Server<Report>, Shutdown) {
    let split = Split { lame_duck: Some(lame_duck), ..Split::default() };
    let stop = Shutdown::builder().grace_period(Duration::from_secs(30)).split(split).transport(transport());
    let stop = stop.build().expect("it fits");
    let running = stop.clone();
    let server = Server::start(namespace, |listener, router, signals| async move {
        running.serve("far", listener, router);
        running.run_until(Signals::from_stream(UnboundedReceiverStream::new(signals))).await
    });
    (server, stop)
}

/// Longer limits than the defaults, because on a loaded machine the line itself is slow, and beyond the limits nothing is
/// promised. The tests see that the waits end long before.
pub(crate) fn transport() -> Transport {
    let longest = Duration::from_secs(5);
    Transport { handshake_window: longest, idle_grace: longest, ..Transport::default() }
}

/// The control: what axum offers itself.
pub(crate) fn start_stock(namespace: &Namespace) -> Server<()> {
    Server::start(namespace, |listener, router, mut signals| async move {
        let stop = async move { signals.recv().await.map_or((), drop) };
        axum::serve(listener, router).with_graceful_shutdown(stop).await.expect("it only ends when it is told");
    })
}

impl<T: Send + 'static> Server<T> {
    fn start<F: Future<Output = T>>(
        namespace: &Namespace,
        run: impl FnOnce(TcpListener, Router, UnboundedReceiver<Signal>) -> F + Send + 'static,
    ) -> Self {
        let (namespace, entered) = (namespace.clone(), Entered::default());
        let (signals, signalled) = unbounded_channel();
        let (tell, told) = channel();
        let router = router(entered.clone());
        let thread = thread::spawn(move || {
            namespace.enter();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async move {
                let listener = TcpListener::bind((namespace.address, 0)).await.expect("it has free ports");
                tell.send(listener.local_addr().expect("it is bound")).expect("the test waits for it");
                run(listener, router, signalled).await
            })
        });
        let address = told.recv_timeout(crate::PATIENCE).expect("the server comes up");
        Self { address, signals, entered, thread }
    }

    pub(crate) fn signal(&self) {
        self.signals.send(Signal::Term).expect("the server runs");
    }

    /// What it says in the end, and the ids of the requests whose handler ran, in order.
    pub(crate) fn end(self) -> (T, Vec<String>) {
        eventually("the end of the server", || self.thread.is_finished());
        let end = self.thread.join().expect("no panic");
        let mut entered = std::mem::take(&mut *self.entered.lock().expect("no handler panics"));
        entered.sort();
        (end, entered)
    }
}

pub(crate) fn await_drain(stop: &Shutdown) {
    eventually("the drain", || stop.handle().status().phase >= Phase::Drain);
}

/// One route, which answers with the id that it was asked for.
fn router(entered: Entered) -> Router {
    let echo = |State(entered): State<Entered>, Path(id): Path<String>| async move {
        entered.lock().expect("no handler panics").push(id.clone());
        id
    };
    Router::new().route("/{id}", get(echo)).with_state(entered)
}
