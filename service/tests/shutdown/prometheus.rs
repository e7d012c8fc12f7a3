//! A real Prometheus, which scrapes the real service, and is asked what it has.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs::{self, File},
    path::Path,
    process::{Child, Command},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;
use winddown::Address;

use crate::{harness::free_ports, observe::eventually, parts, stream::Target, wire::Wire};

/// One server. Dropped, it is killed.
pub(crate) struct Prometheus {
    child: Child,
    http: Target,
    /// Its samples, its configuration and its log.
    folder: TempDir,
}

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
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let configuration = serde_json::json!({
                "global": { "scrape_interval": format!("{interval:?}"), "evaluation_interval": "1s" },
                "rule_files": [rules],
                "scrape_configs": [{ "job_name": "service", "static_configs": [{ "targets": [target.to_string()] }] }],
            });
            let file = folder.path().join("prometheus.yml");
            // JSON is YAML, too.
            fs::write(&file, configuration.to_string()).expect("the folder is new");
            let log = File::create(folder.path().join("log")).expect("the folder is new");
            let http = free_ports().0;
            let child = Command::new(&program)
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address={http}"))
                .current_dir(folder.path())
                .stdout(log.try_clone().expect("an open file can be shared"))
                .stderr(log)
                .spawn()
                .expect("the program is there");
            let mut server = Self { child, http: http.into(), folder };
            if server.is_ready() {
                return Some(server);
            }
        }
        panic!("five ports, and each was taken by somebody else")
    }

    /// Waits until it answers. Not ready when its port was taken after all.
    fn is_ready(&mut self) -> bool {
        eventually("a Prometheus", || {
            if self.child.try_wait().expect("our own child can be waited for").is_some() {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                assert!(log.contains("in use"), "it ended:\n{log}");
                return Some(false);
            }
            self.ask("/-/ready").filter(|(status, _)| *status == 200).map(|_| true)
        })
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
        let (status, body) = self.ask(path).expect("it answers for as long as it lives");
        let mut answer: Value = serde_json::from_str(&body).expect("the API answers JSON");
        if status == 200 { Ok(answer["data"].take()) } else { Err(Refused(answer["error"].to_string())) }
    }

    fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut wire = Wire::connect(&self.http).ok()?;
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: prometheus\r\nconnection: close\r\n\r\n")).ok()?;
        wire.response().ok().map(|response| (response.status, response.body))
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

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only when the process has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
