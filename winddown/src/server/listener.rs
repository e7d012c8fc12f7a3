//! A listening socket, TCP or Unix: bound, and accepted from. How it is closed is in [`super::close`].

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::{
    http::peer::Peer,
    server::{address::Address, stream::Stream},
};

/// Connections that may wait to be accepted. The kernel's default limit (`net.core.somaxconn`) since Linux 5.4; the
/// usual 128 overflows when the clients of a restarted neighbour all come at once.
const BACKLOG: u16 = 4096;

/// A socket that listens, for [`Shutdown::serve`](crate::Shutdown::serve). Made by [`bind`], or from a listener of tokio.
#[derive(Debug)]
pub struct Listener {
    /// The file of a Unix socket that [`bind`] made. Dropped first: while the socket is open, its inode is no other's.
    pub(super) file: Option<SocketFile>,
    pub(super) socket: Listening,
    /// See [`Listener::shared`].
    pub(super) shared: bool,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<super::tls::Tls>,
}

#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds a listener: ready for a storm of reconnects, and on a port or a path that a predecessor has only just left.
///
/// The file of a Unix socket is removed when its server has stopped. One that a crash left behind is replaced; one on which
/// somebody listens is not.
///
/// # Errors
///
/// The address is taken, or not of this machine, or needs a privilege.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn bind(address: Address) -> io::Result<Listener> {
    match address {
        Address::Tcp(address) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket.listen(BACKLOG.into())?.into())
        }
        Address::Unix(path) => {
            let listener = UnixListener::from_std(bind_unix(&path)?.into())?;
            Ok(Listener { file: Some(SocketFile::of(path)?), ..listener.into() })
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    socket.listen(BACKLOG.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether `path` is a socket on which nobody listens. Somebody who does may have no room in his queue: that is not waited for.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    is_socket && connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl Listener {
    /// Speaks TLS on every connection; with `None`, on none.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(self, tls: impl Into<Option<super::tls::Tls>>) -> Self {
        Self { tls: tls.into(), ..self }
    }

    /// Says that another process holds this socket, too, and will accept from it: a supervisor that passes it to each
    /// instance (socket activation), a predecessor or a successor.
    ///
    /// Such a socket never closes. At the drain its server stops accepting and closes its own descriptor; whoever waits in
    /// the queue, or comes, is served by the successor, so nobody is refused and no handshake is waited for. The file of a
    /// Unix socket stays. When there is no successor, clients wait until they lose patience; when the last process that
    /// holds the socket closes it, whoever waits in its queue is reset. Defaults to not shared: newcomers are refused, and
    /// the queue is served.
    ///
    /// ```no_run
    /// # fn adopt(passed: std::net::TcpListener) -> std::io::Result<winddown::Listener> {
    /// passed.set_nonblocking(true)?;
    /// Ok(winddown::Listener::from(tokio::net::TcpListener::from_std(passed)?).shared())
    /// # }
    /// ```
    #[must_use]
    pub fn shared(mut self) -> Self {
        // The others' clients need the file; dropping this would remove it.
        std::mem::forget(self.file.take());
        self.shared = true;
        self
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self))]
    pub(crate) fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<Address> {
        match &self.socket {
            Listening::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Listening::Unix(listener) => {
                let address = listener.local_addr()?;
                // One of another maker may have no name, or one that is no path.
                Ok(Address::Unix(address.as_pathname().unwrap_or(Path::new("(unnamed)")).to_owned()))
            }
        }
    }

    fn new(socket: Listening) -> Self {
        Self {
            socket,
            file: None,
            shared: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::new(Listening::Tcp(listener))
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::new(Listening::Unix(listener))
    }
}

impl Listening {
    /// The next connection. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::from_tcp(stream), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::of_unix(&stream);
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// The file of a Unix socket, known by more than its name: a successor may have put its own in its place. Removed when it is
/// dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let file = std::fs::symlink_metadata(&path)?;
        Ok(Self { path, device: file.dev(), inode: file.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |file: std::fs::Metadata| (file.dev(), file.ino()) == (self.device, self.inode);
        if std::fs::symlink_metadata(&self.path).is_ok_and(is_ours)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the socket file stays behind");
        }
    }
}
