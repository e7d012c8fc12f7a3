//! Hooks for what a service really has: an entry in service discovery, servers that another crate runs, a lock file, a
//! buffer on its way to the disk. Dependencies between them are phases and the order of registration, nothing else.
//!
//! ```text
//! cargo run --package winddown --example hooks      # then Ctrl-C, and look at the report
//! ```

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncWriteExt, BufWriter},
    net::TcpListener,
    sync::Mutex,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use winddown::{BoxError, Hook, Phase, Shutdown};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let signals = winddown::signals()?;
    let stop = Shutdown::builder().build()?;
    let folder = tempfile::tempdir()?;
    let service = Service::start(&stop, folder.path()).await?;
    println!("http://{} · echo at {:?} · files in {}", service.http, service.echo, folder.path().display());
    let report = stop.run_until(signals).await;
    println!("{report}");
    Ok(report.into())
}

/// Where everything is.
struct Service {
    http: SocketAddr,
    echo: [SocketAddr; 2],
}

impl Service {
    async fn start(stop: &Shutdown, folder: &Path) -> Result<Self, BoxError> {
        // Release runs in reverse: what is taken first is given back last.
        take_lock(stop, folder.join("service.lock"))?;
        let visits = buffer(stop, folder.join("visits.log")).await?;

        let visit = move || async move { visits.note("somebody").await.map_or("noted nowhere", |()| "noted") };
        let listener = winddown::bind("127.0.0.1:0".parse()?)?;
        let http = stop.serve("public", listener, Router::new().route("/", get(visit))).local_addr()?;

        let echo = [Echo::start(Duration::ZERO).await?, Echo::start(Duration::ZERO).await?];
        let addresses = [echo[0].address, echo[1].address];
        close_side_by_side(stop, echo);
        register(stop, folder.join("targets.json"), http)?;
        Ok(Self { http, echo: addresses })
    }
}

/// An entry in service discovery, here a file of Prometheus' `file_sd`. Taken away at T0, when everything is still served.
fn register(stop: &Shutdown, targets: PathBuf, http: SocketAddr) -> io::Result<()> {
    fs::write(&targets, format!(r#"[{{"targets":["{http}"]}}]"#))?;
    let deregister = move |_| async move { Ok(tokio::fs::remove_file(targets).await?) };
    stop.step(Phase::LameDuck, Hook::new("deregister", deregister).timeout(Duration::from_secs(2)));
    Ok(())
}

/// Servers of another kind close in the drain, side by side: one that hangs keeps no other from closing.
fn close_side_by_side(stop: &Shutdown, servers: impl IntoIterator<Item = Echo>) {
    let close = |server: Echo| Hook::new(format!("echo {}", server.address), move |_| server.close());
    stop.step(Phase::Drain, servers.into_iter().map(close).collect::<Vec<_>>());
}

/// Nobody else works in this folder. Given back when no handler and no task is left that could.
fn take_lock(stop: &Shutdown, path: PathBuf) -> Result<(), BoxError> {
    fs::File::create_new(&path).map_err(|error| format!("{} is held by another: {error}", path.display()))?;
    stop.hook(Phase::Release, "lock file", move |_| async move { Ok(tokio::fs::remove_file(path).await?) });
    Ok(())
}

/// Lines that reach the disk in portions; the last one in the release, before the lock is given back.
async fn buffer(stop: &Shutdown, path: PathBuf) -> io::Result<Visits> {
    let visits = Visits(Arc::new(Mutex::new(BufWriter::new(tokio::fs::File::create(path).await?))));
    let flushed = visits.clone();
    stop.hook(Phase::Release, "visits", move |_| async move { Ok(flushed.0.lock().await.flush().await?) });
    Ok(visits)
}

#[derive(Clone)]
struct Visits(Arc<Mutex<BufWriter<tokio::fs::File>>>);

impl Visits {
    async fn note(&self, who: &str) -> io::Result<()> {
        self.0.lock().await.write_all(format!("{who}\n").as_bytes()).await
    }
}

/// A server that the library does not run: it has a stop of its own, as those of other crates do.
struct Echo {
    address: SocketAddr,
    stopping: CancellationToken,
    connections: TaskTracker,
}

impl Echo {
    /// Takes `closing` longer to close than it needs.
    async fn start(closing: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let echo = Self {
            address: listener.local_addr()?,
            stopping: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        let (stopping, connections) = (echo.stopping.clone(), echo.connections.clone());
        connections.clone().spawn(async move {
            while let Some(Ok((mut stream, _))) = stopping.run_until_cancelled(listener.accept()).await {
                let stopping = stopping.clone();
                connections.spawn(async move {
                    let (mut read, mut write) = stream.split();
                    stopping.run_until_cancelled(tokio::io::copy(&mut read, &mut write)).await
                });
            }
            tokio::time::sleep(closing).await;
        });
        Ok(echo)
    }

    async fn close(self) -> Result<(), BoxError> {
        self.stopping.cancel();
        self.connections.close();
        self.connections.wait().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncReadExt, net::TcpStream};
    use winddown::{Cause, HookOutcome, Report, Signals, Split};

    /// A lame duck in which there is time to look, and 300 ms for the drain and its hooks.
    fn stop() -> Shutdown {
        let split = Split {
            lame_duck: Some(Duration::from_millis(500)),
            drain: Some(Duration::from_millis(300)),
            ..Split::default()
        };
        Shutdown::builder().split(split).build().expect("it fits")
    }

    async fn run(stop: Shutdown) -> Report {
        stop.run_until(Signals::from_stream(tokio_stream::pending())).await
    }

    async fn visit(http: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect(http).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    }

    #[tokio::test]
    async fn everything_is_given_back_in_its_turn() {
        let (stop, folder) = (stop(), tempfile::tempdir().expect("a temporary folder can be made"));
        let path = |file: &str| folder.path().join(file);
        let service = Service::start(&stop, folder.path()).await.expect("the folder is new");
        take_lock(&stop, path("service.lock")).expect_err("it is held");
        assert!(path("targets.json").exists());

        let (handle, running) = (stop.handle(), tokio::spawn(run(stop)));
        handle.watch().wait_for(|status| status.phase == Phase::Running).await.expect("it lives");
        handle.request(Cause::Requested { reason: "test".into() });
        while path("targets.json").exists() {
            tokio::task::yield_now().await;
        }
        assert!(visit(service.http).await.expect("the lame duck serves").ends_with("noted"));
        assert!(path("service.lock").exists(), "a handler may still write");

        let report = running.await.expect("no panic");
        assert_eq!(report.exit_code(), 0, "{report}");
        assert!(!path("service.lock").exists());
        assert_eq!(fs::read_to_string(path("visits.log")).expect("it was made"), "somebody\n");
        for address in service.echo {
            TcpStream::connect(address).await.expect_err("closed");
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_keeps_no_other_from_closing() {
        let stop = stop();
        let [quick, hanging] = [Duration::ZERO, Duration::from_hours(1)];
        let servers =
            [Echo::start(hanging).await, Echo::start(quick).await].map(|echo| echo.expect("loopback has ports"));
        close_side_by_side(&stop, servers);
        stop.handle().request(Cause::Requested { reason: "test".into() });
        let report = run(stop).await;
        let mut outcomes: Vec<_> = report.hooks.iter().map(|hook| &hook.outcome).collect();
        outcomes.sort_by_key(|outcome| **outcome != HookOutcome::Ok);
        assert_eq!(outcomes, [&HookOutcome::Ok, &HookOutcome::Timeout]);
        assert_eq!(report.exit_code(), Report::HOOK_FAILED);
    }
}
