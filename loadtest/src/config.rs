//! What a run is asked to do: the command line, parsed into values that cannot be wrong.

mod left_out;
mod plan;
mod value;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use http::Uri;

pub use plan::{Arrivals, Rate, TestPlan};
pub use value::{BadValue, Host, Mix, RunId, SlowMs, StreamShape};

/// Loads an HTTP server and writes down what came of every single request.
#[derive(Clone, Debug, Parser)]
#[command(name = "loadtest", version, about, max_term_width = 120)]
#[expect(clippy::struct_excessive_bools, reason = "they are the switches of a command line")]
pub struct Config {
    /// The server.
    #[arg(short = 'H', long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub host: Host,
    /// The client's ledger, written anew. Without it requests are only counted.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Users that send at the same time, each over its own connection.
    #[arg(short, long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub users: u32,
    /// The time after which no request is begun. The process ends within 10 s of it.
    #[arg(short = 't', long, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub run_time: Duration,
    /// Users over time, in place of --users and --run-time: steps of a number and the time to reach it in. Example:
    /// 100,10s;100,1m;0,10s.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["users", "run_time", "rate", "until_refused"])]
    pub test_plan: Option<TestPlan>,
    /// Sends so many requests a second, whatever becomes of those before (an open model); the users are what carries
    /// them. Times are counted from when a request was due. Without it each user sends when it has its answer.
    #[arg(long, value_name = "N/s")]
    pub rate: Option<Rate>,
    /// How the times lie at which requests are due.
    #[arg(long, value_enum, default_value_t, requires = "rate")]
    pub arrivals: Arrivals,
    /// How long a user rests between an answer and its next request.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub think: Duration,
    /// The time a request may take, from the connect to the last byte of the response.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub request_timeout: Duration,
    /// Decides every choice of every user: the same seed asks for the same things in the same order.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The begin of every request id, which goes on with the user and a number. The host's name and a random word when left
    /// out: no two loads that are judged together may have the same.
    #[arg(long, value_name = "STR")]
    pub run_id: Option<RunId>,
    /// Shares of the users that ask for fast, slow, stream, upload, order, get and events requests, and, of a service with
    /// ENABLE_FAULTS=1, for panic, panic_body, block and never.
    #[arg(long, value_name = "KIND=N,…", default_value = "fast=40,slow=20,stream=20,upload=20")]
    pub mix: Mix,
    /// Percentage of users that speak HTTP/2 (cleartext, prior knowledge).
    #[arg(long, value_name = "PERCENT", default_value = "25", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub h2: u32,
    /// Most requests that an HTTP/2 user has under way at once.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub h2_streams: u32,
    /// Percentage of HTTP/1 users that open a new connection for every request.
    #[arg(long, value_name = "PERCENT", default_value = "25", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub fresh: u32,
    /// How long a slow request or a block is asked to take, in milliseconds.
    #[arg(long, value_name = "FROM..TO", default_value = "100..400")]
    pub slow_ms: SlowMs,
    /// What a stream request asks for: so many chunks, so far apart.
    #[arg(long, value_name = "NxDURATION", default_value = "10x20ms")]
    pub stream: StreamShape,
    /// Size of an upload.
    #[arg(long, value_name = "N", default_value = "65536", value_parser = clap::value_parser!(u32).range(1..=1 << 26))]
    pub upload_bytes: u32,
    /// Pause between the frames of an upload, so that some uploads are under way at any moment.
    #[arg(long, value_name = "DURATION", default_value = "5ms", value_parser = duration)]
    pub upload_pause: Duration,
    /// What a get request asks for, of whatever server: its response need only be complete and below 500.
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = path)]
    pub path: String,
    /// A user is done as soon as a connect is refused; the run is over when all are.
    #[arg(long)]
    pub until_refused: bool,
    /// Prints `{"users":…,"in_flight":…,"done":…}` on standard output every 50 ms and all else on standard error.
    #[arg(long)]
    pub progress: bool,
    /// A goose report, by its ending: .html, .json or .md. May be repeated.
    #[arg(long, value_name = "FILE", value_parser = report_file)]
    pub report_file: Vec<String>,
    /// A line at the top of the reports.
    #[arg(long, value_name = "TEXT", requires = "report_file")]
    pub notes: Option<String>,
    /// An earlier report (.json) that the reports are compared with.
    #[arg(long, value_name = "FILE")]
    pub baseline_file: Option<String>,
    /// A rule of goose's that decides whether the run has passed, such as p95<500ms or error-rate<1%. Judged at the end.
    /// May be repeated.
    #[arg(long, value_name = "RULE", value_parser = threshold)]
    pub threshold: Vec<String>,
    /// Leaves out goose's tables at the end.
    #[arg(long)]
    pub no_print_metrics: bool,
    /// Tells goose nothing of requests: no tables, no reports. Only for the last tenth of speed.
    #[arg(long, conflicts_with_all = ["report_file", "baseline_file", "threshold"])]
    pub no_metrics: bool,
}

impl Config {
    /// Reads a command line. An option that goose has and `loadtest` has not is refused with what to use instead.
    pub fn from_command_line(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args).map_err(|mut error| {
            if error.kind() == ErrorKind::UnknownArgument
                && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
                && let Some(remedy) = left_out::remedy(flag.trim_start_matches('-'))
            {
                let remedy = format!("loadtest leaves this option of goose's out: {remedy}").into();
                error.remove(ContextKind::SuggestedArg);
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![remedy]));
            }
            error
        })
    }

    /// From the first request to the time after which none is begun.
    pub fn length(&self) -> Duration {
        self.test_plan.as_ref().map_or(self.run_time, TestPlan::length)
    }
}

fn duration(text: &str) -> Result<Duration, BadValue> {
    let longest = Duration::from_hours(24);
    let parsed = humantime::parse_duration(text).ok().filter(|duration| *duration <= longest);
    parsed.ok_or_else(|| BadValue("give a duration of at most a day, such as 250ms or 20s".into()))
}

fn path(text: &str) -> Result<String, BadValue> {
    let fits = text.starts_with('/') && text.parse::<Uri>().is_ok();
    fits.then(|| text.to_owned()).ok_or_else(|| BadValue("give a path from the root, such as /index.html".into()))
}

fn report_file(text: &str) -> Result<String, BadValue> {
    let fits = [".html", ".htm", ".json", ".md"].iter().any(|ending| text.ends_with(ending));
    fits.then(|| text.to_owned()).ok_or_else(|| BadValue("end it in .html, .json or .md".into()))
}

/// The shape of a rule, so that a mistake is found before anything is written; goose reads it in full.
fn threshold(text: &str) -> Result<String, BadValue> {
    let fits = text.find(['<', '>']).is_some_and(|end| {
        let metric = text[..end].trim();
        let known = ["avg", "max", "error-rate", "rps"].contains(&metric)
            || metric.strip_prefix('p').is_some_and(|share| share.parse::<f64>().is_ok());
        known && text[end + 1..].trim_start_matches('=').trim_start().starts_with(|c: char| c.is_ascii_digit())
    });
    fits.then(|| text.to_owned()).ok_or_else(|| {
        BadValue("give pNN, avg, max, error-rate or rps, then <, <=, > or >=, then a number, such as p95<500ms".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flag: &str, value: &str) -> String {
        Config::try_parse_from(["loadtest", "--ledger", "l", flag, value]).expect_err("a bad value").to_string()
    }

    #[test]
    fn the_defaults_are_values_that_parse() {
        let config = Config::try_parse_from(["loadtest", "--ledger", "l"]).expect("the defaults fit");
        assert_eq!(config.host.address(), ("127.0.0.1", 8080));
        assert_eq!(config.stream, StreamShape { chunks: 10, every: Duration::from_millis(20) });
        assert_eq!(config.slow_ms, SlowMs(100..=400));
    }

    #[test]
    fn the_job_in_kubernetes_asks_for_what_there_is_and_has_the_time_for_it() {
        let job = include_str!("../../deploy/kubernetes/loadtest/job.yaml");
        let flags = job.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter(|flag| flag.starts_with("--"));
        let flags = flags.map(|flag| flag.replace("$(POD_NAME)", "loadtest-0-x7k2p"));
        let config =
            Config::try_parse_from(std::iter::once("loadtest".to_owned()).chain(flags)).expect("the flags fit");
        let service = include_str!("../../deploy/kubernetes/base/service.yaml");
        let name = service.lines().find_map(|line| line.trim().strip_prefix("name: ")).expect("a Service has a name");
        assert_eq!(config.host.address(), (name, 8080));
        assert_eq!(config.run_id, Some(RunId("loadtest-0-x7k2p".into())));
        let deadline = job.lines().find_map(|line| line.trim().strip_prefix("activeDeadlineSeconds: ")?.parse().ok());
        let deadline = Duration::from_secs(deadline.expect("a Job has a bound"));
        assert!(deadline > config.run_time + crate::OVERTIME, "{deadline:?}");
    }

    #[test]
    fn an_option_of_goose_that_is_left_out_is_refused_with_what_to_use_instead() {
        for (flag, remedy) in
            [("--iterations=3", "--run-time"), ("--co-mitigation", "--rate"), ("--telnet-port", "run")]
        {
            let text = Config::from_command_line(["loadtest", flag]).expect_err("it is left out").to_string();
            let name = flag.split('=').next().expect("a flag has a name");
            assert!(text.contains(name) && text.contains(remedy) && text.contains("goose"), "{text}");
        }
        let foreign = Config::from_command_line(["loadtest", "--bogus"]).expect_err("nobody has it").to_string();
        assert!(!foreign.contains("goose"), "{foreign}");
    }

    #[test]
    fn what_would_contradict_another_option_is_refused() {
        for flags in [
            ["--test-plan=1,1s;0,1s", "--users=2"],
            ["--test-plan=1,1s;0,1s", "--rate=1/s"],
            ["--arrivals=constant", "--seed=1"],
            ["--no-metrics", "--report-file=r.html"],
        ] {
            let text =
                Config::try_parse_from(["loadtest"].iter().chain(&flags)).expect_err("it contradicts").to_string();
            let name = flags[0].split('=').next().expect("a flag has a name");
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_refused_with_its_flag_the_value_and_a_remedy() {
        for (flag, value, remedy) in [
            ("--host", "https://a", "such as http://127.0.0.1:8080"),
            ("--host", "http://a/b", "without a path"),
            (
                "--mix",
                "fast=1,quick=2",
                "one of fast, slow, stream, upload, order, get, events, panic, panic_body, block, never",
            ),
            ("--mix", "fast=1,fast=2", "leave one out"),
            ("--mix", "fast=0", "give one kind a weight"),
            ("--slow-ms", "400..100", "the smaller first"),
            ("--stream", "0x20ms", "such as 10x20ms"),
            ("--run-time", "soon", "such as 250ms or 20s"),
            ("--run-id", "a b", "letters, digits"),
            ("--users", "0", "1..=100000"),
            ("--report-file", "report.txt", "end it in .html"),
            ("--test-plan", "10,10s", "let the last step lead to 0 users"),
            ("--test-plan", "0,10s", "it starts nobody"),
            ("--test-plan", "10,1500ms;0,1s", "WHOLE SECONDS"),
            ("--threshold", "pp<3", "such as p95<500ms"),
            ("--threshold", "p95", "such as p95<500ms"),
            ("--rate", "0/s", "such as 2000/s"),
            ("--rate", "5/h", "or 30/m"),
        ] {
            let text = refusal(flag, value);
            for part in [flag, value, remedy] {
                assert!(text.contains(part), "{part:?} is missing in: {text}");
            }
        }
    }
}
