//! How connections are treated: every limit and every wait, with its default.

use std::{num::NonZeroUsize, time::Duration};

use crate::builder::BuildError;

/// As good as never, and no moment that a clock cannot show.
const LONGEST: Duration = Duration::from_hours(24 * 365);

const DEFAULT_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How connections are treated. The same for every server of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Longest wait for handshakes that are under way when a listener closes; it is over as soon as none is.
    /// Defaults to 1 s.
    pub handshake_window: Duration,
    /// Longest silence that an idle connection has while its server closes. A used one is closed after twice its round
    /// trip (10 ms at least), one that never carried a request after all of this. Defaults to 500 ms.
    pub idle_grace: Duration,
    /// Over how much time at least the goodbyes to WebSockets are spread, and the returns of event streams that end, so
    /// that not all reconnect at once; a longer lame duck takes its second half for it. Defaults to 1 s.
    pub close_jitter: Duration,
    /// Whether an idle HTTP/1 connection is told 408 before it is closed, so that a request that crosses the close has
    /// an answer. Defaults to true.
    pub farewell: bool,
    /// Longest time from the first byte of a request head to its last, and of a TLS handshake. Defaults to 5 s, or to half
    /// of the drain where that is shorter: a slow head must not be what the drain's deadline cuts.
    pub header_timeout: Option<Duration>,
    /// Longest wait for the next byte of a request body that a handler reads, and for an HTTP/1 client to take the next
    /// byte of its response. Defaults to 30 s.
    pub progress_timeout: Duration,
    /// Longest silence on a kept HTTP/1 connection in peace, noticed within twice that; on HTTP/2 the silence after which
    /// the peer is sent a PING. Keep it above the balancer's own (60 s for ingress-nginx), or
    /// the balancer meets closed connections. Defaults to 75 s.
    pub keep_alive_timeout: Duration,
    /// How many connections each traffic server has at a time. More wait in the kernel's accept queue, unharmed, until
    /// others have left; when the server closes they are all accepted, since nobody can join them. Defaults to no limit.
    pub max_connections: Option<NonZeroUsize>,
    /// What `Retry-After` says on a 503, in whole seconds, at least 1. Defaults to 1 s.
    pub retry_after: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            handshake_window: Duration::from_secs(1),
            idle_grace: Duration::from_millis(500),
            close_jitter: Duration::from_secs(1),
            farewell: true,
            header_timeout: None,
            progress_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            max_connections: None,
            retry_after: Duration::from_secs(1),
        }
    }
}

impl Transport {
    /// Fits the caps into a drain of this length.
    pub(crate) fn within(self, drain: Duration) -> Result<Self, BuildError> {
        let never_zero = [
            ("header_timeout", self.header_timeout),
            ("progress_timeout", Some(self.progress_timeout)),
            ("keep_alive_timeout", Some(self.keep_alive_timeout)),
        ];
        if let Some((setting, _)) = never_zero.into_iter().find(|(_, length)| *length == Some(Duration::ZERO)) {
            return Err(BuildError::Zero { setting });
        }
        match self.header_timeout {
            Some(header_timeout) if header_timeout > drain => Err(BuildError::HeaderTimeout { header_timeout, drain }),
            set => Ok(Self {
                header_timeout: set.or(Some(DEFAULT_HEADER_TIMEOUT.min(drain / 2))),
                handshake_window: self.handshake_window.min(drain / 2),
                idle_grace: self.idle_grace.min(drain / 2),
                close_jitter: self.close_jitter.min(drain / 2),
                progress_timeout: self.progress_timeout.min(LONGEST),
                keep_alive_timeout: self.keep_alive_timeout.min(LONGEST),
                ..self
            }),
        }
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        self.header_timeout.unwrap_or(DEFAULT_HEADER_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(2);

    #[test]
    fn the_caps_fit_into_the_drain() {
        let Transport { header_timeout, handshake_window, idle_grace, close_jitter, .. } =
            Transport { idle_grace: DRAIN * 2, handshake_window: DRAIN * 2, ..Transport::default() }
                .within(DRAIN)
                .expect("it fits");
        for cap in [header_timeout.expect("it is derived"), handshake_window, idle_grace, close_jitter] {
            assert!(cap <= DRAIN / 2, "{cap:?}");
        }
        let never =
            Transport { keep_alive_timeout: Duration::MAX, progress_timeout: Duration::MAX, ..Transport::default() };
        let never = never.within(DRAIN).expect("it is clear what is meant");
        assert!(never.keep_alive_timeout == LONGEST && never.progress_timeout == LONGEST);
    }

    #[test]
    fn a_time_that_would_end_every_connection_is_refused_by_its_name() {
        let zero = Duration::ZERO;
        let wrong = [
            (Transport { header_timeout: Some(zero), ..Transport::default() }, "header_timeout"),
            (Transport { progress_timeout: zero, ..Transport::default() }, "progress_timeout"),
            (Transport { keep_alive_timeout: zero, ..Transport::default() }, "keep_alive_timeout"),
        ];
        for (transport, name) in wrong {
            let refused = transport.within(DRAIN).expect_err(name).to_string();
            assert!(refused.starts_with(name), "{refused}");
        }
    }
}
