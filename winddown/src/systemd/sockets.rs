//! Sockets that systemd listens on and passes in, by `sd_listen_fds(3)`.
//!
//! `sd-notify` reads the environment and marks the descriptors close-on-exec. `listenfd` would own them for us as well, but
//! it removes variables from the environment of a process that has threads, and knows no names.

use std::{
    fmt, io, net,
    os::{
        fd::{OwnedFd, RawFd},
        unix,
    },
};

use socket2::{Domain, SockRef, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::{server::listener::Listener, sys};

/// The sockets that were passed in do not fit what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// `LISTEN_FDS` and its like make no sense.
    #[error("the inherited sockets cannot be read: {0}; check LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES")]
    Environment(#[source] io::Error),
    /// Nobody would accept from it.
    #[error(
        "a socket named `{name}` was inherited, expected were {}: set FileDescriptorName= in its .socket unit",
        Names(expected)
    )]
    Unexpected {
        /// Its name.
        name: String,
        /// What there is a use for.
        expected: Vec<&'static str>,
    },
    /// Somebody counts more than there are.
    #[error(
        "LISTEN_FDS promises descriptor {number}, and it was not passed in: whoever started this process must pass each one, without FD_CLOEXEC"
    )]
    Missing {
        /// Which one.
        number: RawFd,
    },
    /// Only one of them could be served.
    #[error(
        "two sockets for `{name}` were inherited, expected was one: give each a .socket unit and a name of its own"
    )]
    Twice {
        /// Their name.
        name: &'static str,
    },
    /// Nothing can be accepted from it.
    #[error(
        "`{name}` is {found}, expected was a TCP or Unix socket that listens: use ListenStream= and Accept=no in its .socket unit"
    )]
    NotListening {
        /// Its name.
        name: &'static str,
        /// What it is.
        found: String,
    },
}

/// The listeners that systemd passes in, in the order of `expected`: `None` for each that it does not.
///
/// A socket is known by its `FileDescriptorName=`. One that has only the name that systemd gives by itself (`unknown`, or
/// that of its `.socket` unit) is the first of `expected`. Each is [shared](Listener::shared): it does not close with the
/// process. Call it once, first thing; a second call finds none.
///
/// # Errors
///
/// A socket that is not expected, twice the same name, a socket that does not listen for streams. All are errors of the
/// units: nothing was accepted, and the sockets are closed here.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn listeners<const N: usize>(expected: [&'static str; N]) -> Result<[Option<Listener>; N], SocketError> {
    // Asked first: `sd_notify` marks the descriptors so that they do not come through the next exec.
    let missing = announced().find(|number| !sys::came_through_exec(*number));
    let (numbers, names): (Vec<_>, Vec<_>) =
        sd_notify::listen_fds_with_names().map_err(SocketError::Environment)?.unzip();
    if let Some(number) = missing.filter(|number| numbers.contains(number)) {
        return Err(SocketError::Missing { number });
    }
    assign(expected, names.into_iter().zip(sys::inherited(numbers)))
}

/// The descriptors that `LISTEN_FDS` speaks of, whoever it is meant for. They begin behind standard error
/// (`SD_LISTEN_FDS_START`).
fn announced() -> impl Iterator<Item = RawFd> {
    const FIRST: RawFd = 3;
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<RawFd>().ok()).unwrap_or(0);
    FIRST..FIRST.saturating_add(count)
}

fn assign<const N: usize>(
    expected: [&'static str; N],
    inherited: impl Iterator<Item = (String, OwnedFd)>,
) -> Result<[Option<Listener>; N], SocketError> {
    let mut listeners = [const { None }; N];
    for (name, socket) in inherited {
        let is_nobodys = name.is_empty() || name == "unknown" || name.ends_with(".socket");
        let place = expected.iter().position(|expected| *expected == name);
        let Some(place) = place.or_else(|| (is_nobodys && N > 0).then_some(0)) else {
            return Err(SocketError::Unexpected { name, expected: expected.to_vec() });
        };
        let name = expected[place];
        if listeners[place].is_some() {
            return Err(SocketError::Twice { name });
        }
        let listener = listener(socket).map_err(|found| SocketError::NotListening { name, found })?;
        listeners[place] = Some(listener.shared());
    }
    Ok(listeners)
}

/// Or what it is instead.
fn listener(socket: OwnedFd) -> Result<Listener, String> {
    let view = SockRef::from(&socket);
    let cannot = |error: io::Error| format!("no socket that can be used ({error})");
    let (kind, domain) = (view.r#type().map_err(cannot)?, view.domain().map_err(cannot)?);
    if kind != Type::STREAM {
        return Err(if kind == Type::DGRAM { "a datagram socket" } else { "no stream socket" }.to_owned());
    }
    if !listens(&view).map_err(cannot)? {
        return Err("a connection, or a socket that was never told to listen".to_owned());
    }
    view.set_nonblocking(true).map_err(cannot)?;
    match domain {
        Domain::IPV4 | Domain::IPV6 => TcpListener::from_std(net::TcpListener::from(socket)).map(Listener::from),
        Domain::UNIX => UnixListener::from_std(unix::net::UnixListener::from(socket)).map(Listener::from),
        _ => return Err("a stream socket of another family".to_owned()),
    }
    .map_err(cannot)
}

#[cfg(target_os = "linux")]
fn listens(socket: &SockRef<'_>) -> io::Result<bool> {
    socket.is_listener()
}

#[cfg(not(target_os = "linux"))]
fn listens(_: &SockRef<'_>) -> io::Result<bool> {
    Ok(true)
}

/// In a sentence.
struct Names<'a>(&'a [&'static str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::unix::net::UnixStream};

    use super::*;

    fn tcp() -> OwnedFd {
        net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports").into()
    }

    fn given<const M: usize>(sockets: [(&str, OwnedFd); M]) -> Result<[Option<Listener>; 2], SocketError> {
        assign(["http", "admin"], sockets.into_iter().map(|(name, socket)| (name.to_owned(), socket)))
    }

    #[tokio::test]
    async fn sockets_come_to_their_names_and_are_shared() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("admin.sock");
        let unix = unix::net::UnixListener::bind(&path).expect("the path is free");
        let [http, admin] = given([("admin", unix.into()), ("http", tcp())]).expect("both are expected");
        let (http, admin) = (http.expect("passed"), admin.expect("passed"));
        assert!(http.is_shared() && admin.is_shared());
        assert!(http.address().is_ok_and(|address| address.tcp().is_ok()));
        assert_eq!(admin.address().expect("it is bound"), crate::Address::Unix(path.clone()));
        drop(admin);
        assert!(path.exists(), "the file is systemd's");
        assert!(given([]).expect("nothing is fine, too").iter().all(Option::is_none));
    }

    #[tokio::test]
    async fn a_name_that_nobody_chose_is_the_first() {
        for name in ["unknown", "example.socket", ""] {
            let [http, admin] = given([(name, tcp())]).expect("it is the first");
            assert!(http.is_some() && admin.is_none(), "{name}");
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_with_what_was_expected_and_what_was_found() {
        let datagram = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports").into();
        let connection = UnixStream::pair().expect("a pair can be made").0.into();
        let file = std::fs::File::open("/dev/null").expect("it is there").into();
        let cases: [(_, &[&str]); 5] = [
            (given([("htpp", tcp())]), &["`htpp`", "`http`, `admin`", "FileDescriptorName="]),
            (given([("http", tcp()), ("unknown", tcp())]), &["two", "`http`"]),
            (given([("admin", datagram)]), &["`admin` is a datagram socket", "ListenStream="]),
            (given([("http", connection)]), &["`http` is a connection"]),
            (given([("http", file)]), &["`http` is no socket"]),
        ];
        for (given, words) in cases {
            let refused = given.expect_err("it does not fit").to_string();
            for word in words {
                assert!(refused.contains(word), "no {word} in: {refused}");
            }
        }
    }
}
