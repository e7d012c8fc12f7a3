//! Server-sent events: a stream that never ends by itself ends well when the service stops.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    response::{Sse, sse::Event},
    routing::get,
};
use futures_util::{StreamExt, stream};
use tokio::{io::AsyncReadExt, net::TcpStream};
use winddown::{Draining, Phase, Transport};

use crate::process::{PATIENCE, Process, ask, no_lame_duck, rest, serve, with_lame_duck};

fn router() -> Router {
    // One event, and then nothing for ever.
    let events = |draining: Draining| async move {
        let first = stream::once(async { Ok::<_, Infallible>(Event::default().data("first")) });
        Sse::new(draining.events(first.chain(stream::pending())))
    };
    Router::new().route("/events", get(events))
}

async fn await_text(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let mut block = [0; 1024];
        let length = tokio::time::timeout(PATIENCE, stream.read(&mut block)).await.expect("in time").expect("no reset");
        assert_ne!(length, 0, "ended before {wanted:?}: {text}");
        text.push_str(std::str::from_utf8(&block[..length]).expect("it is text"));
    }
    text
}

/// The time that the client is told to wait.
fn retry(text: &str) -> Duration {
    let (_, retry) = text.split_once("retry: ").unwrap_or_else(|| panic!("no retry: in {text}"));
    let (ms, _) = retry.split_once('\n').expect("a line ends");
    Duration::from_millis(ms.trim().parse().expect("whole milliseconds"))
}

#[tokio::test]
async fn c13_event_stream_ends_cleanly_and_tells_its_client_when_to_come_back() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", router()).await;
    let process = Process::run(stop).await;
    let mut stream = ask(address, "/events").await.expect("the server listens");
    await_text(&mut stream, "data: first\n\n").await;
    process.signal();
    let end = rest(stream).await;
    assert!(retry(&end) <= Transport::default().close_jitter, "{end}");
    assert!(end.contains("\r\n0\r\n\r\n"), "no terminal chunk in {end}");
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.completed, report.requests.cut), (0, 1, 0));
}

#[tokio::test]
async fn c13_clients_come_back_when_balancers_have_looked_away_and_not_all_at_once() {
    const LAME_DUCK: Duration = Duration::from_mins(5);
    let stop = with_lame_duck(LAME_DUCK, Transport::default());
    let (_, address) = serve(&stop, "public", router()).await;
    let process = Process::run(stop).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = ask(address, "/events").await.expect("the server listens");
        await_text(&mut stream, "data: first\n\n").await;
        streams.push(stream);
    }
    process.signal();
    process.until(Phase::LameDuck).await;
    // One that comes now is told the same.
    streams.push(ask(address, "/events").await.expect("the server still listens"));
    let mut times = Vec::new();
    for mut stream in streams {
        times.push(retry(&await_text(&mut stream, "\r\n0\r\n\r\n").await));
    }
    times.sort();
    let (first, last) = (times[0], times[times.len() - 1]);
    // T0 is a little past.
    assert!(first + PATIENCE >= LAME_DUCK / 2 && last <= LAME_DUCK, "{times:?}");
    assert!(last.saturating_sub(first) > LAME_DUCK / 20, "all at once: {times:?}");
}
