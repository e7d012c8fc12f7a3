//! systemd: what a supervisor is told ([`notify`]), and the sockets that it passes in ([`listeners`]).
//!
//! Each does nothing where systemd, or another supervisor that speaks its protocols, has not set their environment. The
//! environment is read and left as it is: `LISTEN_PID` and `WATCHDOG_PID` are of no other process, and `NotifyAccess=main`
//! hears no child.
//!
//! ```no_run
//! # use axum::Router;
//! # use winddown::{Shutdown, systemd};
//! # async fn run(app: Router, admin: Router) -> Result<std::process::ExitCode, Box<dyn std::error::Error + Send + Sync>> {
//! let signals = winddown::signals()?;
//! let [http] = systemd::listeners(["http"])?; // before anything else opens descriptors
//! let stop = Shutdown::builder().build()?;
//! systemd::notify(&stop);
//! let listener = match http {
//!     Some(inherited) => inherited,
//!     None => winddown::bind("127.0.0.1:8080".parse()?)?,
//! };
//! stop.serve("public", listener, app);
//! Ok(stop.run_until(signals).await.into())
//! # }
//! ```
//!
//! # Units
//!
//! ```ini
//! # example.socket
//! [Socket]
//! ListenStream=8080
//! FileDescriptorName=http
//!
//! [Install]
//! WantedBy=sockets.target
//!
//! # example.service
//! [Service]
//! Type=notify
//! NotifyAccess=main
//! ExecStart=/usr/bin/example
//! TimeoutStopSec=30
//! WatchdogSec=40
//! KillMode=mixed
//! Restart=on-failure
//! RestartPreventExitStatus=78
//! ```
//!
//! - `TimeoutStopSec` is what you give to [`Builder::grace_period`](crate::Builder::grace_period). A shorter one is extended at T0 to what the stop may take, and no further.
//! - `KillMode=mixed` sends SIGTERM to the main process alone; its children are the release hooks' business.
//! - `Accept=no`, the default: the service accepts. Several sockets have a `.socket` unit each, with a name each and
//!   `Service=example.service`, and the service has `Sockets=` with all of them.
//! - `systemctl restart example.service` then loses and refuses nobody: systemd holds the socket, and connections wait in
//!   its queue from one instance to the next. Its length is `Backlog=`, bounded by `net.core.somaxconn`.
//! - `systemctl stop example.service` alone leaves the socket listening, and the next connection starts the service again.
//!   Stop `example.socket` first to go away for good; then whoever waits in the queue is reset, and newcomers are refused.

mod notify;
mod sockets;

pub use self::{
    notify::notify,
    sockets::{SocketError, listeners},
};
