//! How the server ends when nothing is asked of it, when a client holds a request open for ever, and at a second signal.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use serde::Serialize;

use super::{
    clients::Target,
    options::Options,
    server::{MARGIN, Running},
    stops::End,
};
use crate::{health, progress::Progress};

/// Between the first signal and the second: whoever takes repeats of one Ctrl-C for one has done so.
const SECOND_AFTER: Duration = Duration::from_millis(1500);

/// A forced end is one within this of the second signal.
const FORCED_WITHIN: Duration = Duration::from_secs(2);

/// Two ends that lie closer are one.
const SAME: Duration = Duration::from_millis(700);

/// No step of holding a request open takes longer.
const STEP: Duration = Duration::from_millis(500);

/// The ends that are not under load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Endings {
    /// With no connection.
    pub idle: End,
    /// With a request that a client holds open for ever.
    pub held: End,
    /// The same with a second signal.
    pub second_signal: Second,
    /// The end of that stop, from its first signal.
    pub second: End,
}

/// What a second signal does while a request is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Second {
    /// It ends the server.
    Forces,
    /// Nothing: the server ends when it would have without it, or not at all.
    Ignored,
    /// The server ends later than it would have without it.
    Extends,
    /// The server had ended before, in spite of the request.
    TooLate,
}

impl Endings {
    /// Measures all of them; their logs go into `folder`.
    pub(super) fn measure(
        target: &Target,
        options: &Options,
        folder: &Path,
        progress: &mut Progress,
    ) -> anyhow::Result<Self> {
        progress.begin("exit".to_owned());
        progress.step("idle");
        let running = Running::start(options, folder.join("idle.log"))?;
        let idle = end(running, options, options.grace + MARGIN)?;

        progress.step("with a request that never ends");
        let running = Running::start(options, folder.join("held.log"))?;
        let holders = hold(&running, target, options)?;
        let held = end(running, options, options.grace + MARGIN)?;
        drop(holders);

        progress.step("with a second signal");
        let mut running = Running::start(options, folder.join("second-signal.log"))?;
        let holders = hold(&running, target, options)?;
        let first = running.stop(options)?;
        let mut exit = running.wait(SECOND_AFTER)?;
        if exit.is_none() {
            running.stop(options)?;
            exit = running.wait(options.grace + MARGIN)?;
        }
        drop((running, holders));
        let second = End::new(first, exit);
        Ok(Self { idle, held, second_signal: Second::of(held, second), second })
    }
}

impl Second {
    /// From the end of a stop with one signal and of one with two, a request being held in both.
    fn of(one: End, two: End) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        match (one.exit_ms, two.exit_ms) {
            (_, Some(two)) if two < ms(SECOND_AFTER) => Self::TooLate,
            (Some(one), Some(two)) if two > one + ms(SAME) => Self::Extends,
            (Some(_), None) => Self::Extends,
            (Some(one), Some(two)) if two + ms(SAME) < one => Self::Forces,
            (None, Some(two)) if two < ms(SECOND_AFTER + FORCED_WITHIN) => Self::Forces,
            _ => Self::Ignored,
        }
    }

    /// How a reader is told of it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forces => "forces the exit",
            Self::Ignored => "is ignored",
            Self::Extends => "makes it wait longer",
            Self::TooLate => "not reached",
        }
    }
}

/// Stops `running` and kills it when it has not ended within `bound`.
fn end(mut running: Running, options: &Options, bound: Duration) -> anyhow::Result<End> {
    let signal = running.stop(options)?;
    let exit = running.wait(bound)?;
    Ok(End::new(signal, exit))
}

/// Connections that hold a request open for as long as they live.
fn hold(running: &Running, target: &Target, options: &Options) -> anyhow::Result<Vec<TcpStream>> {
    let address = running.url.address;
    let target = Target { address, ..target.clone() };
    let requests = match &options.hold {
        Some(path) => vec![format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes()],
        // Where an upload is answered before its end, only a head can be left unfinished.
        None => vec![target.half_of_an_upload(), b"GET / HTTP/1.1\r\nHo".to_vec()],
    };
    let mut holders = Vec::new();
    for request in requests {
        let mut stream = TcpStream::connect_timeout(&address, STEP)?;
        stream.set_write_timeout(Some(STEP))?;
        stream.write_all(&request)?;
        // A little time in which the server reads it, and an early answer is read so that it holds nothing up.
        stream.set_read_timeout(Some(STEP))?;
        match stream.read(&mut [0; 4096]) {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(error.into());
            }
            _ => holders.push(stream),
        }
    }
    // Whoever is accepted later is served later: so the others have been accepted.
    let _ = health::get(address, &target.path);
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_is_told_by_when_the_server_ends_with_it_and_without() {
        let end = |ms: Option<f64>| End { exit_ms: ms, exit_code: ms.map(|_| 0) };
        let cases = [
            (None, Some(1503.0), Second::Forces),
            (Some(10_000.0), Some(1503.0), Second::Forces),
            (Some(10_000.0), Some(3_600.0), Second::Forces),
            (Some(10_000.0), Some(10_020.0), Second::Ignored),
            (None, None, Second::Ignored),
            (None, Some(9_000.0), Second::Ignored),
            (Some(9_000.0), Some(10_500.0), Second::Extends),
            (Some(9_000.0), None, Second::Extends),
            (Some(4.0), Some(5.0), Second::TooLate),
            (Some(2_000.0), Some(2_010.0), Second::Ignored),
        ];
        for (one, two, second) in cases {
            assert_eq!(Second::of(end(one), end(two)), second, "{one:?} {two:?}");
        }
    }
}
