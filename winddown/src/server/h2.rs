//! HTTP/2 on one connection: hyper serves it and says GOAWAY twice (RFC 9113 §6.8).
//!
//! The first GOAWAY names the highest stream of all and goes out with a PING; the second, after the PONG, names the last
//! stream that will be served. What the client opened in between is served.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::{rt::Executor, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;

use crate::{
    http::service::RequestService,
    server::{called::WhenCalled, connection::Connection, io::Io},
    totals::Closed,
};

/// Shortest time that a peer has for its PONG; farther ones have four of their round trips. A client on a busy machine takes some
/// hundred milliseconds, and may have answers to read and a request on its way: to close before would reset both.
const PONG: Duration = Duration::from_secs(1);

/// Longest time that a peer has for its PONG.
const PONG_CAP: Duration = Duration::from_secs(3);

/// How often a peer that owes its PONG is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Serves streams until the peer leaves, or the last one is over after our GOAWAY.
pub(super) async fn serve(io: Io, connection: &Arc<Connection>, service: RequestService) -> Closed {
    let tokens = connection.tokens();
    // A drain that began during the handshake has told this peer nothing: its streams are served until it is told.
    connection.open_until_told();
    connection.wire.is_http2();
    let pong = (io.stream().round_trip().unwrap_or_default() * 4).clamp(PONG, PONG_CAP);
    let executor = TrackedExecutor { tasks: connection.server().connections.tracker() };
    let transport = &connection.server().transport;
    let mut http2 = http2::Builder::new(executor);
    // A peer that has vanished is found out, and not kept for ever.
    http2.timer(TokioTimer::new()).keep_alive_interval(transport.keep_alive_timeout);
    http2.keep_alive_timeout(transport.header_timeout());
    // WebSockets over HTTP/2 (RFC 8441).
    #[cfg(feature = "ws")]
    http2.enable_connect_protocol();
    let mut conn = pin!(http2.serve_connection(TokioIo::new(io), service));

    let go_away = WhenCalled::new(async {
        tokens.draining.cancelled().await;
        // In the second half of the lame duck, each at a time of its own, so that not all reconnect at once.
        let (lame_duck, since) = (connection.server().lame_duck(), connection.server().stopping_since());
        let spread = lame_duck.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::select! {
            () = sleep_until(since + spread) => {}
            () = tokens.closing.cancelled() => {}
        }
    });
    tokio::select! {
        _ = conn.as_mut() => return Closed::Graceful,
        () = go_away => conn.as_mut().graceful_shutdown(),
    }

    let told = Instant::now();
    let (pongs, reads) = (connection.wire.pongs(), connection.wire.reads());
    let mute = async {
        tokens.closing.cancelled().await;
        sleep_until(told + pong).await;
        connection.close(0);
        let (mut heard, mut silent_since) = (reads, told);
        // A peer that has answered is closed by h2 itself, when the last frame has found room in its window.
        while connection.wire.pongs() == pongs {
            if heard != connection.wire.reads() {
                (heard, silent_since) = (connection.wire.reads(), Instant::now());
            }
            let patience = if heard == reads { pong } else { transport.header_timeout() };
            if !connection.is_busy() && silent_since.elapsed() >= patience {
                return; // It says nothing at all, or nothing more (case c25).
            }
            sleep(LOOK).await;
        }
        // If it is still there at the deadline, it has something to say, and is cut.
        connection.wire.backlog(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // First, so that an answer which its stream has just handed over is on its way before anybody is found mute.
        biased;
        _ = conn.as_mut() => Closed::Graceful,
        () = mute => Closed::Idle,
    }
}

/// Spawns hyper's streams so that the drain waits for them. They end with their connection.
#[derive(Clone, Debug)]
struct TrackedExecutor {
    tasks: TaskTracker,
}

impl<F> Executor<F> for TrackedExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        TokioExecutor::new().execute(self.tasks.track_future(future));
    }
}
