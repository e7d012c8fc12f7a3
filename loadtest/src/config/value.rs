//! The values of flags: what has been parsed into one of these is right.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use http::Uri;

use crate::ledger::Kind;

/// Where the server is: `http://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `HOST[:PORT]`, as the `host` header says it.
    pub authority: http::uri::Authority,
}

/// The begin of every request id: a word of letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(pub String);

/// Weights of the kinds of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(Kind, u32)>,
    total: u32,
}

/// A range of milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowMs(pub RangeInclusive<u64>);

/// A stream of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamShape {
    /// How many.
    pub chunks: u32,
    /// How far apart.
    pub every: Duration,
}

/// A flag's value is refused; clap names the flag and the value before it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub(super) String);

impl Mix {
    /// What the user of this number asks for, or in the open model the request. Every prefix of the numbers has about the
    /// shares that were asked for, and so has every part of them that is picked by a remainder.
    pub(crate) fn of(&self, number: u32) -> Kind {
        // Steps of the golden ratio fill an interval evenly, wherever one stops, and fall into no rhythm.
        let golden = (f64::from(number) * 0.618_033_988_749_895).fract();
        let mut left = (golden * f64::from(self.total)) as u32;
        for &(kind, weight) in &self.weights {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        unreachable!("the point lies below the sum of the weights")
    }
}

impl FromStr for Host {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = || BadValue("give a cleartext origin without a path, such as http://127.0.0.1:8080".into());
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let plain = uri.scheme_str() == Some("http") && uri.path_and_query().is_none_or(|path| path == "/");
        let authority = uri.authority().filter(|authority| plain && !authority.as_str().contains('@'));
        authority.cloned().map(|authority| Self { authority }).ok_or_else(refuse)
    }
}

impl Host {
    /// The same with its scheme.
    pub fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// What to connect to.
    pub fn address(&self) -> (&str, u16) {
        // The brackets of an IPv6 address are the URL's, not the resolver's.
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (host, self.authority.port_u16().unwrap_or(80))
    }
}

impl FromStr for RunId {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err(BadValue("give 1 to 64 letters, digits, '-', '_' or '.'".into()));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Mix {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut weights: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let parsed =
                part.split_once('=').and_then(|(kind, weight)| Some((Kind::parse(kind)?, weight.parse().ok()?)));
            let (kind, weight) = parsed.filter(|(_, weight)| *weight <= 1_000_000).ok_or_else(|| {
                let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                BadValue(format!("{part:?} is not KIND=WEIGHT; KIND is one of {}", kinds.join(", ")))
            })?;
            if weights.iter().any(|(known, _)| *known == kind) {
                return Err(BadValue(format!("{kind} stands there twice; leave one out")));
            }
            weights.push((kind, weight));
        }
        match weights.iter().map(|(_, weight)| weight).sum() {
            0 => Err(BadValue("all weights are 0; give one kind a weight".into())),
            total => Ok(Self { weights, total }),
        }
    }
}

impl FromStr for SlowMs {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.split_once("..")
            .and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?))
            .filter(|range| !range.is_empty())
            .map(Self)
            .ok_or_else(|| BadValue("give two numbers, the smaller first, such as 100..400".into()))
    }
}

impl FromStr for StreamShape {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.split_once('x')
            .and_then(|(chunks, every)| {
                Some(Self { chunks: chunks.parse().ok()?, every: humantime::parse_duration(every).ok()? })
            })
            .filter(|shape| (1..=100_000).contains(&shape.chunks))
            .ok_or_else(|| BadValue("give 1 to 100000 chunks and their distance, such as 10x20ms".into()))
    }
}

impl fmt::Display for StreamShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.chunks, humantime::format_duration(self.every))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_the_users_has_about_the_shares_that_were_asked_for() {
        let mix: Mix = "fast=40,get=0,slow=20,stream=20,upload=20".parse().expect("a mix");
        for users in [10, 64, 160, 1000] {
            // All of them, and those that speak HTTP/2 when every fourth does.
            for step in [1, 4] {
                let kinds: Vec<_> = (0..users).step_by(step).map(|user| mix.of(user)).collect();
                let share = |kind| kinds.iter().filter(|of| **of == kind).count() as f64 / kinds.len() as f64;
                assert!((share(Kind::Fast) - 0.4).abs() < 0.15, "{users} by {step}: {}", share(Kind::Fast));
                assert!((share(Kind::Slow) - 0.2).abs() < 0.15, "{users} by {step}: {}", share(Kind::Slow));
                assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Get).count(), 0);
            }
        }
    }

    #[test]
    fn the_brackets_of_an_ipv6_host_do_not_reach_the_resolver() {
        let host: Host = "http://[::1]:81".parse().expect("a host");
        assert_eq!(host.address(), ("::1", 81));
    }
}
