//! Where traces go.

use std::{fmt, str::FromStr};

use crate::endpoint::Endpoint;

const SETTING: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How it is written.
const REMEDY: &str = "write http://HOST:PORT, as http://127.0.0.1:4318";

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Collector(Endpoint);

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
        let endpoint = Endpoint::of("a collector", text);
        endpoint.map(Self).map_err(|why| format!("{SETTING}={text}: {why}; {REMEDY}"))
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
