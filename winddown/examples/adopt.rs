//! An axum service that stops well, in ten lines.
//!
//! ```text
//! cargo run --package winddown --example adopt      # then Ctrl-C
//! ```

use axum::{Router, routing::get};
use winddown::Shutdown;

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, winddown::BoxError> {
    let signals = winddown::signals()?;
    let stop = Shutdown::builder().build()?;
    let app = Router::new().route("/", get(|| async { "hello" }));
    let server = stop.serve("public", winddown::bind("127.0.0.1:0".parse()?)?, app);
    println!("http://{}", server.local_addr()?);
    Ok(stop.run_until(signals).await.into())
}
