//! Connections that live long: each is told when the service stops, and ends well.
//!
//! - `GET /events?every_ms=1000`: server-sent events, numbered; goes on behind `Last-Event-ID`
//! - `GET /ws`: a WebSocket that echoes, over HTTP/1.1 and HTTP/2

use std::convert::Infallible;

use axum::{
    Router,
    extract::{Query, ws::Message},
    http::HeaderMap,
    response::{
        Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{any, get},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::time::sleep;
use winddown::{Draining, WebSocket, WebSocketUpgrade};

use crate::routes::{Refusal, milliseconds};

pub(crate) fn router() -> Router {
    Router::new().route("/events", get(events)).route("/ws", any(ws))
}

#[derive(Deserialize)]
struct Ticks {
    #[serde(default = "Ticks::default_every_ms")]
    every_ms: u64,
}

impl Ticks {
    const fn default_every_ms() -> u64 {
        1000
    }
}

async fn events(
    Query(Ticks { every_ms }): Query<Ticks>,
    headers: HeaderMap,
    draining: Draining,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let pause = milliseconds("every_ms", every_ms)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let first = last.map_or(0, |last| last.saturating_add(1));
    let ticks = stream::unfold(first, move |tick| async move {
        // The first one at once, so that the client sees a stream that has begun.
        if tick > first {
            sleep(pause).await;
        }
        Some((Ok(Event::default().id(tick.to_string()).data(format!("tick {tick}"))), tick.saturating_add(1)))
    });
    Ok(Sse::new(draining.events(ticks)).keep_alive(KeepAlive::default()))
}

async fn ws(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_data && socket.send(message).await.is_err() {
            break;
        }
    }
}
