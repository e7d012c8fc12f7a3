//! Several servers in one process: one for the public, one for other services, one for probes. They drain side by side, and the
//! admin server closes last, so that whoever watches sees the stop to its end. One of them can be stopped alone.
//!
//! ```text
//! cargo run --package winddown --example servers    # then POST to /retire on the admin address, or Ctrl-C
//! ```

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use axum::{
    Router,
    routing::{get, post},
};
use winddown::{BoxError, Shutdown};

/// Longest time that requests of the internal server have when it is stopped alone.
const RETIRE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let signals = winddown::signals()?;
    let stop = Shutdown::builder().build()?;
    for (name, address) in ["public", "internal", "admin"].iter().zip(serve(&stop)?) {
        println!("{name} http://{address}");
    }
    Ok(stop.run_until(signals).await.into())
}

/// Returns where they listen.
fn serve(stop: &Shutdown) -> Result<[SocketAddr; 3], BoxError> {
    let listener = || winddown::bind("127.0.0.1:0".parse()?).map_err(BoxError::from);
    let hello = || Router::new().route("/", get(|| async { "hello" }));
    let public = stop.serve("public", listener()?, hello()).local_addr()?;
    let internal = Arc::new(stop.serve("internal", listener()?, hello()));
    let address = internal.local_addr()?;
    let retire = move || async move { if internal.stop(RETIRE).await { "nothing was cut" } else { "not in time" } };
    let admin = stop.serve_admin("admin", listener()?, stop.admin().route("/retire", post(retire))).local_addr()?;
    Ok([public, address, admin])
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::Notify,
    };
    use winddown::{Cause, Phase, Signals, Split};

    use super::*;

    async fn ask(address: SocketAddr, line: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    }

    #[tokio::test]
    async fn one_is_stopped_alone_and_the_admin_server_closes_last() {
        let split = Split { lame_duck: Some(Duration::from_millis(300)), ..Split::default() };
        let stop = Shutdown::builder().split(split).build().expect("it fits");
        let [public, internal, admin] = serve(&stop).expect("loopback has ports");

        assert!(ask(internal, "GET /").await.expect("it serves").ends_with("hello"));
        assert!(ask(admin, "POST /retire").await.expect("it serves").ends_with("nothing was cut"));
        ask(internal, "GET /").await.expect_err("it is closed");
        assert!(ask(public, "GET /").await.expect("the other serves on").ends_with("hello"));

        let (handle, mut phase) = (stop.handle(), stop.handle().watch());
        let (released, seen) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (closed, looked) = (released.clone(), seen.clone());
        stop.hook(Phase::Release, "a look from outside", move |_| async move {
            closed.notify_one();
            looked.notified().await;
            Ok(())
        });
        let running = tokio::spawn(stop.run_until(Signals::from_stream(tokio_stream::pending())));
        phase.wait_for(|status| status.phase == Phase::Running).await.expect("it lives");
        handle.request(Cause::Requested { reason: "test".into() });
        released.notified().await;
        ask(public, "GET /").await.expect_err("it is closed");
        assert!(ask(admin, "GET /readyz").await.expect("it still tells").contains(" 503 "));
        seen.notify_one();
        assert_eq!(running.await.expect("no panic").exit_code(), 0);
        ask(admin, "GET /readyz").await.expect_err("it is closed, too");
    }
}
