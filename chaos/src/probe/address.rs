//! Where the server listens: as it was told, or as the kernel says of its processes.

use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

use anyhow::Context;
use procfs::{
    net::TcpState,
    process::{FDTarget, all_processes},
};

/// An `http://` address on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) address: SocketAddr,
    pub(super) path: String,
}

impl Url {
    /// The error says what is wrong with it and what to write instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "write one such as http://127.0.0.1:8080/";
        let rest = text.strip_prefix("http://").ok_or_else(|| format!("only http:// is spoken: {EXAMPLE}"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| format!("it has no port: {EXAMPLE}"))?;
        let port = port.parse().map_err(|_| format!("its port is no number up to 65535: {EXAMPLE}"))?;
        let ip = match host {
            "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
            _ => host.trim_matches(['[', ']']).parse().map_err(|_| format!("its host is no IP address: {EXAMPLE}"))?,
        };
        if !ip.is_loopback() {
            return Err(format!("the server is started here, and asked on the loopback: {EXAMPLE}"));
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address: (ip, port).into(), path: path.to_owned() })
    }
}

/// A port that is free right now.
pub(super) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Where the processes of a group listen, as addresses that can be connected to. What cannot be read is passed over: a
/// process may end meanwhile.
pub(super) fn listening(group: u32) -> BTreeSet<SocketAddr> {
    let members = all_processes().into_iter().flatten().flatten();
    let members = members.filter(|process| process.stat().is_ok_and(|stat| u32::try_from(stat.pgrp) == Ok(group)));
    let descriptors = members.filter_map(|process| process.fd().ok()).flatten().flatten();
    let sockets: HashSet<u64> = descriptors
        .filter_map(|descriptor| match descriptor.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let entries = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listening = entries.filter(|entry| entry.state == TcpState::Listen && sockets.contains(&entry.inode));
    listening.map(|entry| reachable(entry.local_address)).collect()
}

/// An address on which a listener of `bound` is found.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // As a rule it takes both, and only then it shows once.
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, bound.port()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_a_path() {
        for (text, address, path) in [
            ("http://127.0.0.1:80", "127.0.0.1:80", "/"),
            ("http://localhost:8080/a?b=c", "127.0.0.1:8080", "/a?b=c"),
            ("http://[::1]:8080/a", "[::1]:8080", "/a"),
        ] {
            let url = Url::parse(text).expect("it is one");
            assert_eq!((url.address.to_string().as_str(), url.path.as_str()), (address, path));
        }
    }

    #[test]
    fn a_listener_of_a_group_is_found_and_no_other() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let group = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
        assert!(listening(group).contains(&address));
        assert!(!listening(u32::MAX).contains(&address));
        drop(listener);
        assert!(!listening(group).contains(&address));
    }

    #[test]
    fn whoever_listens_everywhere_is_found_on_the_loopback() {
        let found = |bound: &str| reachable(bound.parse().expect("it is an address")).to_string();
        assert_eq!(found("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(found("[::]:80"), "[::1]:80");
        assert_eq!(found("127.0.0.2:80"), "127.0.0.2:80");
    }
}
