//! Where a server listens: a TCP address or the path of a Unix socket.

use std::{fmt, io, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Serialize, Serializer};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// Where a server listens. Written `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/service.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a socket file.
    Unix(PathBuf),
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address; write 127.0.0.1:8080, [::1]:8080 or unix:/run/service.sock")]
pub struct AddressError(String);

impl Address {
    /// The TCP address; an error of kind `Unsupported` for a Unix socket.
    pub fn tcp(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(address) => Ok(*address),
            Self::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no TCP address")),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refused = || AddressError(text.to_owned());
        match text.strip_prefix(UNIX) {
            Some("") => Err(refused()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| refused()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "unix:/run/service.sock", "unix:service.sock"] {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_value_and_the_remedy() {
        for text in ["8080", "localhost", "/run/service.sock", "unix:", ""] {
            let refused = text.parse::<Address>().expect_err("no address").to_string();
            assert!(refused.contains(&format!("`{text}`")) && refused.contains("unix:/run/"), "{refused}");
        }
    }
}
