//! A real Prometheus, which scrapes the real service, and is asked what it has.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use winddown::Address;

use crate::{beside::Beside, observe::eventually, parts};

/// One server.
pub(crate) struct Prometheus(Beside);

/// One series of an answer: its labels, and its newest value.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Why Prometheus does not answer a query: what it says itself.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl Prometheus {
    /// Starts one that scrapes the admin port at `target` every `interval`, under the job `service`, and evaluates the rules that
    /// are in the folder `rules`. `None` where it is not installed.
    pub(crate) fn start(target: &Address, interval: Duration, rules: Option<&Path>) -> Option<Self> {
        let program = parts::program("prometheus", "prometheus")?;
        let rules = rules.map_or_else(String::new, |folder| format!("{}/*.yml", folder.display()));
        let configuration = serde_json::json!({
            "global": { "scrape_interval": format!("{interval:?}"), "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{ "job_name": "service", "static_configs": [{ "targets": [target.to_string()] }] }],
        });
        Some(Self(Beside::start(&program, ("/-/ready", 200), |(http, _), folder| {
            let file = folder.join("prometheus.yml");
            // JSON is YAML, too.
            fs::write(&file, configuration.to_string()).expect("the folder is new");
            vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address={http}"),
            ]
        })))
    }

    /// What there is at this moment.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Series>, Refused> {
        self.series(&format!("/api/v1/query?query={}&time={}", encoded(expression), now()))
    }

    /// Every series that there was at some second since `start`, in seconds since 1970.
    pub(crate) fn query_since(&self, start: f64, expression: &str) -> Result<Vec<Series>, Refused> {
        self.series(&format!("/api/v1/query_range?query={}&start={start}&end={}&step=1", encoded(expression), now()))
    }

    /// The only value that there is, if there is one.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        let series = self.query(expression).expect("a test asks what can be asked");
        assert!(series.len() < 2, "{expression} has more than one series: {series:?}");
        series.first().map(|series| series.value)
    }

    /// Waits until `expression` holds, as PromQL filters say it.
    pub(crate) fn await_some(&self, expression: &str) {
        eventually(expression, || self.query(expression).ok().filter(|series| !series.is_empty()).map(drop));
    }

    /// The data of another part of the HTTP API, under `/api/v1/`.
    pub(crate) fn api(&self, path: &str) -> Value {
        self.data(&format!("/api/v1/{path}")).expect("it answers")
    }

    fn series(&self, path: &str) -> Result<Vec<Series>, Refused> {
        let data = self.data(path)?;
        let result = data["result"].as_array().cloned().expect("a result is a list");
        Ok(if data["resultType"] == "scalar" { Vec::new() } else { result.iter().map(Series::of).collect() })
    }

    fn data(&self, path: &str) -> Result<Value, Refused> {
        let (status, body) = self.0.ask(path).expect("it answers for as long as it lives");
        let mut answer: Value = serde_json::from_str(&body).expect("the API answers JSON");
        if status == 200 { Ok(answer["data"].take()) } else { Err(Refused(answer["error"].to_string())) }
    }
}

impl Series {
    /// A series of a vector has one value; of a matrix, many.
    fn of(json: &Value) -> Self {
        let labels = json["metric"].as_object().expect("a series has labels").iter();
        let labels = labels.map(|(name, value)| (name.clone(), value.as_str().expect("a label is text").to_owned()));
        let newest = json["values"].as_array().and_then(|values| values.last()).unwrap_or(&json["value"]);
        let value = newest[1].as_str().expect("a value is written as text").parse().expect("and is a number");
        Self { labels: labels.collect(), value }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs_f64()
}

/// As a part of a query string (RFC 3986 §2.1).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // writing to a string cannot fail
        }
        encoded
    })
}
