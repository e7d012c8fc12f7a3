//! Closing a listening socket without losing a connection that its client believes to be open.
//!
//! A connection is established, for its client, while it still waits in the kernel's accept queue, or even while its
//! last handshake packet is on the wire. `close()` resets both. So the socket is first bound to a network interface
//! that does not exist (`SO_BINDTOIFINDEX`, no privilege needed since Linux 5.7): new SYNs no longer find it and are
//! refused at once, while handshakes under way, which the kernel finds by their own four-tuple, still complete. They
//! are accepted until none is left, and only then is the socket closed.
//!
//! Limits: a handshake that takes longer than the window, one answered with a SYN cookie (under a SYN flood), and a
//! socket in an `SO_REUSEPORT` group, where the kernel may go on choosing it.

use std::{io, net::SocketAddr, num::NonZeroU32, time::Duration};

use serde::Serialize;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

/// An index that no interface has: they count up from 1.
const NO_INTERFACE: NonZeroU32 = NonZeroU32::new(0x7fff_fff0).expect("not zero");

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(2);

/// The shortest window: time for a handshake packet that the kernel is working on at this moment.
const SHORTEST: Duration = Duration::from_millis(4);

/// How a listener was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerClose {
    /// Newcomers were refused while handshakes completed; nothing was lost.
    BoundToNoInterface,
    /// The queue was emptied, then the socket closed: a handshake in the moment between is lost.
    AcceptedUntilEmpty,
}

/// What the report says of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerReport {
    /// The server's name.
    pub server: String,
    /// Where it listened.
    pub address: SocketAddr,
    /// The way that was taken.
    pub closed: ListenerClose,
    /// From the first step to the close.
    #[serde(rename = "window_seconds", serialize_with = "crate::report::seconds")]
    pub window: Duration,
    /// Connections that were accepted in it, and that a plain `close` would have reset.
    pub saved: usize,
}

/// Closes `listener`; whatever it still had is handed to `accepted`. Takes at most `cap` and a little.
///
/// Not cancel safe: a connection may be accepted and not handed over.
pub(super) async fn close(
    server: String,
    listener: TcpListener,
    cap: Duration,
    mut accepted: impl FnMut(TcpStream, SocketAddr),
) -> io::Result<ListenerReport> {
    let address = listener.local_addr()?;
    let began = Instant::now();
    let closed = refuse_newcomers(&listener);
    // tokio's own accept knows only what epoll has told; the last look must be the kernel's.
    let listener = listener.into_std()?;
    let mut saved = 0;
    loop {
        // Asked first: a handshake that ends between the question and the accepts is accepted.
        let under_way = closed == ListenerClose::BoundToNoInterface && handshakes_under_way(address);
        while let Ok((stream, peer)) = listener.accept() {
            saved += 1;
            stream.set_nonblocking(true)?;
            accepted(TcpStream::from_std(stream)?, peer);
        }
        let shortest = if closed == ListenerClose::BoundToNoInterface { SHORTEST.min(cap) } else { Duration::ZERO };
        if began.elapsed() >= cap || (!under_way && began.elapsed() >= shortest) {
            break;
        }
        sleep(PAUSE).await;
    }
    drop(listener);
    Ok(ListenerReport { server, address, closed, window: began.elapsed(), saved })
}

fn refuse_newcomers(listener: &TcpListener) -> ListenerClose {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    match SockRef::from(listener).bind_device_by_index_v4(Some(NO_INTERFACE)) {
        Ok(()) => return ListenerClose::BoundToNoInterface,
        Err(error) => tracing::warn!(%error, "newcomers cannot be refused before the close; accepting until empty"),
    }
    ListenerClose::AcceptedUntilEmpty
}

/// Whether a handshake for this port has been answered and not completed (`SYN_RECV`). Where the kernel does not
/// tell, the answer is yes, and the whole window is waited for.
fn handshakes_under_way(address: SocketAddr) -> bool {
    const SYN_RECV: &str = "03";
    let port = format!(":{:04X}", address.port());
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| match std::fs::read_to_string(table) {
        Ok(table) => table.lines().skip(1).any(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some(SYN_RECV)
        }),
        Err(error) => error.kind() != io::ErrorKind::NotFound || table.ends_with("tcp"),
    })
}
