//! A Pushgateway, in which the final metrics outlive the process.

use std::{error::Error, fmt, str::FromStr};

use reqwest::{Client, header::CONTENT_TYPE, redirect};
use tokio::time::{Instant, timeout};

use crate::{config::told, endpoint::Endpoint};

const SETTING: &str = "METRICS_PUSH";

/// How it is written.
const REMEDY: &str = "write http://HOST:PORT/metrics/job/JOB, and behind it /LABEL/VALUE as often as it takes to tell one instance \
                      from another, as http://127.0.0.1:9091/metrics/job/service/instance/a";

/// Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How much of an answer is told.
const WORDS: usize = 200;

/// A group of metrics, by the URL that the Pushgateway gives it. What is pushed replaces all that it had.
#[derive(Clone, Debug)]
pub(crate) struct Group(Endpoint);

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // First, and the value is not shown: what stands in front of an @ may be a password. A label of a group may end in one.
        if text.replace("@base64/", "/").contains('@') {
            return Err(format!(
                "{SETTING} has a user or a password, which is not sent in the clear; let the Pushgateway listen where only its \
                 friends reach it, and {REMEDY}"
            ));
        }
        let endpoint = Endpoint::of("a Pushgateway", text).and_then(|endpoint| {
            if is_group(endpoint.path()) { Ok(endpoint) } else { Err("it is not the URL of a group".to_owned()) }
        });
        endpoint.map(Self).map_err(|why| format!("{SETTING}={text}: {why}; {REMEDY}"))
    }
}

/// Whether a job follows, and then pairs of a label and a value.
fn is_group(path: &str) -> bool {
    let marks = ["/metrics/job/", "/metrics/job@base64/"];
    marks.into_iter().filter_map(|mark| path.split_once(mark)).any(|(_, group)| {
        let parts: Vec<_> = group.trim_end_matches('/').split('/').collect();
        parts.len() % 2 == 1 && parts.iter().all(|part| !part.is_empty())
    })
}

impl Group {
    /// Has the Pushgateway keep `text`, and nothing else, in this group.
    pub(crate) async fn put(self, text: String, deadline: Instant) -> Result<(), String> {
        // A hook that is aborted could not say why.
        let left = deadline.saturating_duration_since(Instant::now()) * 9 / 10;
        let kept = timeout(left, self.send(text)).await;
        let kept = kept
            .unwrap_or_else(|_| Err(format!("no answer within {}; a longer FLUSH_TIMEOUT gives it more", told(left))));
        kept.map_err(|why| format!("the final metrics were not pushed to {SETTING}={self}: {why}"))
    }

    async fn send(&self, text: String) -> Result<(), String> {
        // What another address answers does not say that the metrics are kept.
        let client = Client::builder().redirect(redirect::Policy::none()).build().map_err(|error| root(&error))?;
        let put = client.put(self.0.to_string()).header(CONTENT_TYPE, TEXT).body(text);
        let mut answer = put.send().await.map_err(|error| format!("{}; is a Pushgateway there?", root(&error)))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let said = answer.chunk().await.ok().flatten().unwrap_or_default();
        let said: String = String::from_utf8_lossy(&said).trim().chars().take(WORDS).collect();
        Err(format!("it answered {status}: {said:?}; is it the URL of a Pushgateway's group?"))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an error comes down to.
fn root(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_job_and_pairs_behind_it() {
        for (path, is) in [
            ("/metrics/job/service", true),
            ("/metrics/job/service/", true),
            ("/metrics/job/service/instance/a", true),
            ("/prefix/metrics/job@base64/c2VydmljZQ==/instance@base64/YQ==", true),
            ("/metrics/job/", false),
            ("/metrics/job/service/instance", false),
            ("/metrics/job/service//a", false),
            ("/metrics", false),
            ("/", false),
        ] {
            let group = format!("http://127.0.0.1:9091{path}").parse::<Group>();
            assert_eq!(group.is_ok(), is, "{path}: {group:?}");
        }
    }
}
