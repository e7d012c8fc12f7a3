//! What can be set, by flag or by environment. Everything is checked before anything is bound or written.

use std::{fmt, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgAction, Parser, ValueEnum, builder::BoolishValueParser};
use winddown::{BudgetError, BuildError, Part, Report, SecondSignal, Shutdown, Split, Transport};

use crate::telemetry::LogFormat;

/// A service that loses nothing when it is restarted. Durations are written 250ms, 5s or 2m.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Config {
    /// Where traffic is served
    #[arg(long, env, default_value = "127.0.0.1:8080")]
    pub(crate) http_addr: SocketAddr,
    /// Where probes, metrics and the live status of a shutdown are served
    #[arg(long, env, default_value = "127.0.0.1:9090")]
    pub(crate) admin_addr: SocketAddr,

    /// From the stop signal to the supervisor's SIGKILL: terminationGracePeriodSeconds, TimeoutStopSec
    #[arg(long, env, default_value = "30s", value_parser = duration)]
    grace_period: Duration,
    /// How long everything is still served while balancers look away [default: 5s, or a sixth of a shorter grace
    /// period]
    #[arg(long, env, value_parser = duration)]
    lame_duck: Option<Duration>,
    /// How long requests in flight have after it [default: what the other parts leave, 11s of 30s]
    #[arg(long, env, value_parser = duration)]
    drain_timeout: Option<Duration>,
    /// From cancelling what is left to aborting it [default: 1s, less of a shorter grace period]
    #[arg(long, env, value_parser = duration)]
    cancel_grace: Option<Duration>,
    /// How long background tasks have to finish [default: 5s, less of a shorter grace period]
    #[arg(long, env, value_parser = duration)]
    background_timeout: Option<Duration>,
    /// How long pools, files and locks have to close [default: 5s, less of a shorter grace period]
    #[arg(long, env, value_parser = duration)]
    release_timeout: Option<Duration>,
    /// How long telemetry has to leave [default: 2s, less of a shorter grace period]
    #[arg(long, env, value_parser = duration)]
    flush_timeout: Option<Duration>,
    /// How long before the SIGKILL the watchdog ends the process [default: 1s, less of a shorter grace period]
    #[arg(long, env, value_parser = duration)]
    exit_margin: Option<Duration>,

    /// Longest wait for TCP handshakes under way when the listener closes
    #[arg(long, env, default_value = "1s", value_parser = duration)]
    handshake_window: Duration,
    /// Longest silence that an idle connection has when the server closes; one that never carried a request has all of
    /// it, a used one twice its round trip
    #[arg(long, env, default_value = "500ms", value_parser = duration)]
    idle_grace: Duration,
    /// What an idle HTTP/1 connection is told before it is closed
    #[arg(long, env, default_value = "408")]
    farewell: Farewell,
    /// Longest time from the first byte of a request head to its last [default: 5s, or half of a shorter drain]
    #[arg(long, env, value_parser = duration)]
    header_timeout: Option<Duration>,
    /// Longest silence on a kept connection; keep it above the balancer's
    #[arg(long, env, default_value = "75s", value_parser = duration)]
    keep_alive_timeout: Duration,
    /// What a repeated stop signal does
    #[arg(long, env, default_value = "force")]
    second_signal: Second,

    /// Where the report of the shutdown is written, as JSON [default: nowhere]
    #[arg(long, env)]
    shutdown_report: Option<PathBuf>,
    /// Where every request is noted, for tests [default: nowhere]
    #[arg(long, env)]
    audit_log: Option<PathBuf>,
    /// How a log line looks; RUST_LOG says which there are [default of RUST_LOG: info]
    #[arg(long, env, default_value = "pretty")]
    pub(crate) log_format: LogFormat,
    /// Serve /fault/..., which panics, blocks and hangs: for tests only
    #[arg(
        long, env, default_value = "false", default_missing_value = "true",
        num_args = 0..=1, action = ArgAction::Set, value_parser = BoolishValueParser::new()
    )]
    pub(crate) enable_faults: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Farewell {
    /// 408 Request Timeout: whatever crosses it was not processed and may be repeated
    #[value(name = "408")]
    RequestTimeout,
    /// Nothing
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Second {
    /// The second cancels what is left, the third exits at once
    Force,
    /// The deadlines of the first stand
    Ignore,
}

/// Why the service does not start.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `--help` and `--version` end here, too.
    Arguments(clap::Error),
    Settings(BuildError),
    Machine(Box<dyn std::error::Error>),
}

impl Config {
    pub(crate) fn load() -> Result<Self, Refusal> {
        Self::try_parse().map_err(Refusal::Arguments)
    }

    /// The shutdown that these settings describe.
    pub(crate) fn shutdown(&self) -> Result<Shutdown, Refusal> {
        let split = Split {
            lame_duck: self.lame_duck,
            drain: self.drain_timeout,
            cancel_grace: self.cancel_grace,
            background: self.background_timeout,
            release: self.release_timeout,
            flush: self.flush_timeout,
            exit_margin: self.exit_margin,
        };
        let transport = Transport {
            handshake_window: self.handshake_window,
            idle_grace: self.idle_grace,
            farewell: self.farewell == Farewell::RequestTimeout,
            header_timeout: self.header_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            ..Transport::default()
        };
        let second_signal = match self.second_signal {
            Second::Force => SecondSignal::Force,
            Second::Ignore => SecondSignal::Ignore,
        };
        let mut builder = Shutdown::builder()
            .grace_period(self.grace_period)
            .split(split)
            .transport(transport)
            .second_signal(second_signal);
        if let Some(path) = &self.shutdown_report {
            builder = builder.report_file(path);
        }
        if let Some(path) = &self.audit_log {
            builder = builder.audit_log(path);
        }
        builder.build().map_err(Refusal::Settings)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a duration as 250ms, 5s or 2m"))
}

impl Refusal {
    /// Says it on standard error and picks the exit code.
    pub(crate) fn tell(self) -> ExitCode {
        match self {
            Self::Arguments(error) if !error.use_stderr() => {
                // Help and version; a closed pipe is no failure of ours.
                let _ = error.print();
                ExitCode::SUCCESS
            }
            Self::Machine(error) => {
                eprintln!("error: {error}");
                Report::FAILED.into()
            }
            refused => {
                eprint!("{refused}");
                Report::CONFIG_REFUSED.into()
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => write!(f, "{error}"),
            Self::Settings(BuildError::Budget(error)) => refuse_budget(f, error),
            Self::Settings(error @ BuildError::HeaderTimeout { .. }) => writeln!(f, "error: HEADER_TIMEOUT: {error}"),
            Self::Settings(BuildError::ReportFile { path, source }) => refuse_path(f, "SHUTDOWN_REPORT", path, source),
            Self::Settings(BuildError::AuditLog { path, source }) => refuse_path(f, "AUDIT_LOG", path, source),
            Self::Machine(error) => writeln!(f, "error: {error}"),
        }
    }
}

fn refuse_budget(f: &mut fmt::Formatter<'_>, error: &BudgetError) -> fmt::Result {
    let BudgetError { grace_period, parts } = error;
    let sum: Duration = parts.iter().map(|(_, length, _)| length).sum();
    writeln!(f, "error: GRACE_PERIOD={grace_period:?} is too short for its parts, {sum:?} in all:")?;
    for (part, length, set) in parts {
        let origin = if *set { "set" } else { "its share" };
        writeln!(f, "  {:<19}{:>10}  ({origin})", setting(*part), format!("{length:?}"))?;
    }
    let short: Vec<_> = parts.iter().filter(|(_, length, set)| *set && !length.is_zero()).collect();
    let shorten = short.iter().map(|(part, ..)| setting(*part)).collect::<Vec<_>>().join(" or ");
    match shorten.as_str() {
        "" => writeln!(f, "raise GRACE_PERIOD: the drain needs a part of it"),
        shorten => writeln!(f, "raise GRACE_PERIOD, or shorten {shorten}"),
    }
}

fn refuse_path(
    f: &mut fmt::Formatter<'_>,
    setting: &str,
    path: &std::path::Path,
    error: &std::io::Error,
) -> fmt::Result {
    let path = path.display();
    writeln!(f, "error: {setting}={path} cannot be written: {error}; choose a file in a folder that is writable")
}

const fn setting(part: Part) -> &'static str {
    match part {
        Part::LameDuck => "LAME_DUCK",
        Part::Drain => "DRAIN_TIMEOUT",
        Part::CancelGrace => "CANCEL_GRACE",
        Part::Background => "BACKGROUND_TIMEOUT",
        Part::Release => "RELEASE_TIMEOUT",
        Part::Flush => "FLUSH_TIMEOUT",
        Part::ExitMargin => "EXIT_MARGIN",
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Machine(error.into())
    }
}

impl From<metrics_exporter_prometheus::BuildError> for Refusal {
    fn from(error: metrics_exporter_prometheus::BuildError) -> Self {
        Self::Machine(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn refusal(flags: &[&str]) -> String {
        let config = Config::try_parse_from([&["service"], flags].concat()).map_err(Refusal::Arguments);
        config.and_then(|config| config.shutdown()).expect_err("these settings are wrong").to_string()
    }

    #[test]
    fn the_flags_are_consistent() {
        Config::command().debug_assert();
    }

    #[test]
    fn a_duration_that_is_none_is_refused_with_field_value_and_remedy() {
        let text = refusal(&["--grace-period", "abc"]);
        for part in ["GRACE_PERIOD", "abc", "write a duration as 250ms, 5s or 2m"] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[tokio::test]
    async fn a_split_that_does_not_fit_is_refused_with_the_sum_and_the_settings_to_change() {
        let text = refusal(&["--lame-duck", "8s", "--drain-timeout", "20s"]);
        for part in ["GRACE_PERIOD=30s", "42s in all", "shorten LAME_DUCK or DRAIN_TIMEOUT"] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[tokio::test]
    async fn a_report_that_could_not_be_written_is_refused_at_the_start() {
        let text = refusal(&["--shutdown-report", "/no/such/folder/report.json"]);
        assert!(text.contains("SHUTDOWN_REPORT=/no/such/folder/report.json cannot be written"), "{text}");
    }
}
