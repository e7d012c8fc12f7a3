//! Where traces go.

use std::{fmt, str::FromStr};

use axum::http::{Uri, uri::Scheme};

const SETTING: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How it is written.
const REMEDY: &str = "write http://HOST:PORT, as http://127.0.0.1:4318";

/// A collector that takes OTLP over HTTP, in the clear: it stands beside the service, and speaks TLS to the world.
#[derive(Clone, Debug)]
pub(crate) struct Collector(Uri);

impl Collector {
    /// The address for traces: the specification of OTLP appends a path for each kind of telemetry.
    pub(crate) fn traces(&self) -> String {
        format!("{}/v1/traces", self.0.to_string().trim_end_matches('/'))
    }
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // First, and the value is not shown: what stands in front of an @ may be a password.
        if text.contains('@') {
            return Err(format!(
                "{SETTING} has a user or a password, which is not sent from there; write it as \
                 OTEL_EXPORTER_OTLP_HEADERS=authorization=..., and {REMEDY}"
            ));
        }
        Self::without_user(text).map_err(|why| format!("{SETTING}={text}: {why}; {REMEDY}"))
    }
}

impl Collector {
    fn without_user(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err("this build speaks no TLS to a collector; put one beside the service".to_owned());
            }
            Some(scheme) => return Err(format!("{scheme} is no protocol of OTLP over HTTP")),
            None => return Err("the protocol is missing".to_owned()),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("the host is missing".to_owned());
        }
        // Only a port that is a number is one for the parser, and it says nothing of others.
        if uri.port().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().ends_with(authority.host()))
        {
            return Err("the port is no number below 65536".to_owned());
        }
        if uri.query().is_some() {
            return Err("it has a query".to_owned());
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_have_a_path_of_their_own() {
        for (base, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector/otlp", "http://collector/otlp/v1/traces"),
        ] {
            assert_eq!(base.parse::<Collector>().expect("it is one").traces(), traces);
        }
    }
}
