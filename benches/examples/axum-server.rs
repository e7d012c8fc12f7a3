//! axum on axum-server, stopped as its documentation shows: `graceful_shutdown` within a deadline. `PORT` says where it listens.

use std::{env, net::SocketAddr, time::Duration};

use axum::{Router, body::Bytes, routing::get};
use axum_server::Handle;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = env::var("PORT")?.parse()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let handle = Handle::<SocketAddr>::new();
    tokio::spawn({
        let handle = handle.clone();
        async move {
            terminate.recv().await;
            handle.graceful_shutdown(Some(Duration::from_secs(10)));
        }
    });
    let app = Router::new().route("/", get(|| async { "hello" }).post(|_: Bytes| async { "hello" }));
    axum_server::bind(([127, 0, 0, 1], port).into()).handle(handle).serve(app.into_make_service()).await?;
    Ok(())
}
