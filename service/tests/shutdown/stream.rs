//! What a client's bytes go over: TCP, a Unix socket, or TLS on either.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::Duration,
};

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use winddown::Address;

use crate::{certificates::SERVER_NAME, harness::PATIENCE};

/// Where a service is to be found, and how.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// What a client trusts, where the service speaks TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection as its client sees it; every wait on it is bounded.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A connection below TLS.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Target {
    /// Connects, and takes the TLS handshake to its end where there is one; `protocol` is what its ALPN asks for.
    pub(crate) fn connect(&self, protocol: &str) -> io::Result<Stream> {
        let socket = self.socket()?;
        match &self.tls {
            Some(config) => Stream::handshake(client(config, protocol), socket),
            None => Ok(Stream::Plain(socket)),
        }
    }

    /// Connects, and says nothing of TLS.
    pub(crate) fn socket(&self) -> io::Result<Socket> {
        let socket = match &self.address {
            Address::Tcp(to) => Socket::Tcp(TcpStream::connect_timeout(to, PATIENCE)?),
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
        };
        socket.prepare()
    }

    /// The TCP address.
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.address.tcp().expect("this service listens on TCP")
    }
}

impl From<Address> for Target {
    fn from(address: Address) -> Self {
        Self { address, tls: None }
    }
}

/// A session that has not yet said a word.
pub(crate) fn client(config: &Arc<ClientConfig>, protocol: &str) -> ClientConnection {
    let name = SERVER_NAME.try_into().expect("it is a host name");
    ClientConnection::new_with_alpn(config.clone(), name, vec![protocol.into()]).expect("the configuration is complete")
}

impl Socket {
    /// Connects from an address of this machine's many, each of which has ports of its own.
    pub(crate) fn connect_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &SocketAddr::from((from, 0)))?;
        rustix::net::connect(&socket, &to)?;
        Self::Tcp(socket.into()).prepare()
    }

    fn prepare(self) -> io::Result<Self> {
        if let Self::Tcp(stream) = &self {
            stream.set_nodelay(true)?;
        }
        self.set_read_timeout(PATIENCE)?;
        match &self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(PATIENCE))?,
            Self::Unix(stream) => stream.set_write_timeout(Some(PATIENCE))?,
        }
        Ok(self)
    }

    fn set_read_timeout(&self, patience: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(patience)),
            Self::Unix(stream) => stream.set_read_timeout(Some(patience)),
        }
    }
}

impl Stream {
    /// Completes a handshake, of which the client may have said something already.
    pub(crate) fn handshake(mut session: ClientConnection, mut socket: Socket) -> io::Result<Self> {
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    pub(crate) fn set_read_timeout(&self, patience: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(patience)
    }

    /// Waits until the peer has sent something, and leaves it in the kernel.
    pub(crate) fn peek(&self) -> io::Result<()> {
        rustix::net::recv(self.socket(), &mut [0], RecvFlags::PEEK)?;
        Ok(())
    }

    /// The TLS session; without one there is nothing to look at.
    pub(crate) fn session(&self) -> &ClientConnection {
        let Self::Tls(stream) = self else { panic!("this connection has no TLS") };
        &stream.conn
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(block),
            Self::Unix(stream) => stream.read(block),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(block),
            Self::Tls(stream) => stream.read(block),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// rustls takes bytes also when the socket does not; only here it says so.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
