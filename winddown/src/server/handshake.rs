//! Which TCP handshakes are under way? Asked of the kernel by netlink's `sock_diag(7)`, with no privilege.
//!
//! `/proc/net/tcp` would tell, too, but writes out every socket of the host: with tens of thousands in `TIME_WAIT`,
//! reading it takes longer than the rest of an idle stop.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// The kernel has the answer ready when the question is sent; this is for one that has none.
const PATIENCE: Duration = Duration::from_millis(50);

const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const IPPROTO_TCP: u8 = 6;
const TCP_SYN_RECV: u32 = 3;

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
const REQUEST: usize = 16 + 56;

/// Whether the last packet of a handshake for this listener is still awaited; `None` where the kernel does not tell.
pub(super) fn under_way(listener: SocketAddr) -> Option<bool> {
    // A listener for IPv6 may take IPv4, too; and without IPv6 the kernel may have no answer for it.
    let families: &[libc::c_int] = if listener.is_ipv4() { &[libc::AF_INET] } else { &[libc::AF_INET, libc::AF_INET6] };
    for family in families {
        if ask(*family as u8, listener.port()).ok()? {
            return Some(true);
        }
    }
    Some(false)
}

fn ask(family: u8, port: u16) -> io::Result<bool> {
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::DGRAM, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(&request(family, port))?;
    // The first message decides: a socket in that state, or the end of the list.
    let mut answer = [0; 4096];
    let length = socket.read(&mut answer)?;
    match answer[..length].get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]])) {
        Some(SOCK_DIAG_BY_FAMILY) => Ok(true),
        Some(NLMSG_DONE) => Ok(false),
        Some(NLMSG_ERROR) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// All sockets of this family and local port in the state SYN_RECV.
fn request(family: u8, port: u16) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    request[0..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request[16] = family;
    request[17] = IPPROTO_TCP;
    request[20..24].copy_from_slice(&(1_u32 << TCP_SYN_RECV).to_ne_bytes());
    request[24..26].copy_from_slice(&port.to_be_bytes());
    request
}
