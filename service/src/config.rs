//! What can be set, by flag or by environment. Everything is checked before anything is bound or written.

#[cfg(feature = "orders")]
mod orders;
mod refusal;
#[cfg(feature = "sabotage")]
mod sabotage;
#[cfg(feature = "tls")]
mod tls;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{ArgAction, FromArgMatches, Parser, ValueEnum, builder::BoolishValueParser};
use winddown::{Address, Builder, Part, SecondSignal, Shutdown, Split, Transport};

#[cfg(feature = "orders")]
use self::orders::OrderSettings;
pub(crate) use self::refusal::{Refusal, setting, shorten};
#[cfg(feature = "sabotage")]
use self::sabotage::SabotageSettings;
#[cfg(feature = "tls")]
use self::tls::TlsSettings;
use crate::{
    check,
    faults::FaultHook,
    final_metrics::{FinalMetrics, Group, Textfile},
    telemetry::LogFormat,
    traces::{Collector, Traces},
};

/// Looked at by name, too: whatever else is wrong with the settings, the supervisor is told.
const TERMINATION_MESSAGE: &str = "TERMINATION_MESSAGE";

/// What `--version`, the metrics and the report say. Whoever has a build that can lose requests is told.
pub(crate) const VERSION: &str = if cfg!(feature = "sabotage") {
    concat!(env!("CARGO_PKG_VERSION"), "+sabotage")
} else {
    env!("CARGO_PKG_VERSION")
};

/// The settings.
#[derive(Clone, Debug, Parser)]
#[command(version = VERSION, about, after_help = "Durations are written 250ms, 5s or 2m.", max_term_width = 110)]
pub(crate) struct Config {
    /// Where traffic is served: an address and a port, or unix:/run/service.sock; unless systemd passes in a socket
    /// that is named http
    #[arg(long, env, default_value = "127.0.0.1:8080")]
    pub(crate) http_addr: Address,
    /// Where probes, metrics and the live status of a shutdown are served: as HTTP_ADDR; the socket's name is admin
    #[arg(long, env, default_value = "127.0.0.1:9090")]
    pub(crate) admin_addr: Address,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub(crate) tls: TlsSettings,

    #[cfg(feature = "orders")]
    #[command(flatten)]
    pub(crate) orders: OrderSettings,

    /// From the stop signal to the supervisor's SIGKILL: terminationGracePeriodSeconds, TimeoutStopSec
    #[arg(long, env, default_value = "30s", value_parser = duration)]
    pub(crate) grace_period: Duration,
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
    pub(crate) handshake_window: Duration,
    /// Longest silence that an idle connection has when the server closes; one that never carried a request has all of
    /// it, a used one twice its round trip
    #[arg(long, env, default_value = "500ms", value_parser = duration)]
    pub(crate) idle_grace: Duration,
    /// Over how much time at least the goodbyes to WebSockets and the returns of event streams are spread
    #[arg(long, env, default_value = "1s", value_parser = duration)]
    pub(crate) close_jitter: Duration,
    /// What an idle HTTP/1 connection is told before it is closed
    #[arg(long, env, default_value = "408")]
    farewell: Farewell,
    /// Longest time from the first byte of a request head to its last, and of a TLS handshake [default: 5s, or half of a
    /// shorter drain]
    #[arg(long, env, value_parser = duration)]
    pub(crate) header_timeout: Option<Duration>,
    /// Longest wait for the next byte of a request body, and for a client to take the next one of its response
    #[arg(long, env, default_value = "30s", value_parser = duration)]
    progress_timeout: Duration,
    /// Longest silence on a kept connection; keep it above the balancer's
    #[arg(long, env, default_value = "75s", value_parser = duration)]
    keep_alive_timeout: Duration,
    /// How many connections there may be at a time; more wait in the kernel's queue [default: no limit]
    #[arg(long, env)]
    max_connections: Option<NonZeroUsize>,
    /// What a repeated stop signal does
    #[arg(long, env, default_value = "force")]
    second_signal: Second,

    /// Where the report of the shutdown is written, as JSON [default: nowhere]
    #[arg(long, env)]
    pub(crate) shutdown_report: Option<PathBuf>,
    /// Where the last word is left for the supervisor: /dev/termination-log in Kubernetes, unless the container's
    /// terminationMessagePath says another [default: nowhere]
    #[arg(long, env = TERMINATION_MESSAGE)]
    pub(crate) termination_message: Option<PathBuf>,
    /// Where every request is noted, for tests [default: nowhere]
    #[arg(long, env)]
    pub(crate) audit_log: Option<PathBuf>,
    /// How a log line looks; RUST_LOG says which there are [default of RUST_LOG: info]
    #[arg(long, env, default_value = "pretty")]
    pub(crate) log_format: LogFormat,
    /// The collector that takes traces, by OTLP over HTTP in the clear: http://127.0.0.1:4318. A stop sends what is left
    /// within FLUSH_TIMEOUT. OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_... and
    /// OTEL_EXPORTER_OTLP_HEADERS say the rest [default: no traces]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    otel_exporter_otlp_endpoint: Option<String>,
    /// Where a stop leaves the final metrics, by HTTP in the clear: the URL of a Pushgateway's group, as
    /// http://127.0.0.1:9091/metrics/job/service/instance/a. What the group had is replaced [default: nowhere]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    metrics_push: Option<String>,
    /// The file for node-exporter's textfile collector into which a stop writes the final metrics; it ends in .prom
    /// [default: none]
    #[arg(long, env)]
    pub(crate) metrics_textfile: Option<Textfile>,
    /// Serve /fault/..., which panics, blocks and hangs: for tests only
    #[arg(
        long, env, default_value = "false", default_missing_value = "true",
        num_args = 0..=1, action = ArgAction::Set, value_parser = BoolishValueParser::new()
    )]
    pub(crate) enable_faults: bool,
    /// A hook that misbehaves while resources are released, beside the others: for tests only [default: none]
    #[arg(long, env, requires = "enable_faults")]
    pub(crate) fault_hook: Option<FaultHook>,

    #[cfg(feature = "sabotage")]
    #[command(flatten)]
    sabotage: SabotageSettings,
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

impl Config {
    pub(crate) fn load() -> Result<Self, Refusal> {
        let asked = check::command_line().try_get_matches();
        asked.and_then(|matches| Self::from_arg_matches(&matches)).map_err(Refusal::Arguments)
    }

    /// Takes on the fault that this process is to have.
    #[cfg(feature = "sabotage")]
    pub(crate) fn sabotage(&self) {
        self.sabotage.begin();
    }

    /// The way to the collector, if there is one. It has what `behind` leaves of the flush.
    pub(crate) fn traces(&self, behind: &FinalMetrics) -> Result<Option<Traces>, Refusal> {
        let Some(collector) = self.collector()? else { return Ok(None) };
        let (budget, _) = self.builder().plan().map_err(Refusal::Settings)?;
        let flush = budget.part(Part::Flush);
        Traces::start(&collector, flush.saturating_sub(behind.share(flush))).map(Some).map_err(Refusal::Exporter)
    }

    /// Where traces go, if anywhere. Not checked by clap, which would show a refused value with its password.
    pub(crate) fn collector(&self) -> Result<Option<Collector>, Refusal> {
        let collector = self.otel_exporter_otlp_endpoint.as_deref().map(str::parse).transpose();
        collector.map_err(Refusal::Collector)
    }

    /// Where a stop leaves the final metrics; that it can is tried.
    pub(crate) fn final_metrics(&self) -> Result<FinalMetrics, Refusal> {
        let textfile = self.metrics_textfile.clone();
        if let Some(file) = &textfile {
            file.check().map_err(|error| Refusal::Textfile(file.path().to_owned(), error))?;
        }
        Ok(FinalMetrics { group: self.group()?, textfile })
    }

    /// The group that they are pushed to, if any. Not checked by clap, as the collector is not.
    pub(crate) fn group(&self) -> Result<Option<Group>, Refusal> {
        self.metrics_push.as_deref().map(str::parse).transpose().map_err(Refusal::Push)
    }

    /// The shutdown that these settings describe.
    pub(crate) fn shutdown(&self) -> Result<Shutdown, Refusal> {
        let mut builder = self.builder().version(VERSION);
        if let Some(path) = &self.shutdown_report {
            builder = builder.report_file(path);
        }
        if let Some(path) = &self.termination_message {
            builder = builder.termination_message(path);
        }
        if let Some(path) = &self.audit_log {
            builder = builder.audit_log(path);
        }
        builder.build().map_err(Refusal::Settings)
    }

    /// The same without its files.
    pub(crate) fn builder(&self) -> Builder {
        let transport = Transport {
            handshake_window: self.handshake_window,
            idle_grace: self.idle_grace,
            close_jitter: self.close_jitter,
            farewell: self.farewell == Farewell::RequestTimeout,
            header_timeout: self.header_timeout,
            progress_timeout: self.progress_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            max_connections: self.max_connections,
            ..Transport::default()
        };
        let second_signal = match self.second_signal {
            Second::Force => SecondSignal::Force,
            Second::Ignore => SecondSignal::Ignore,
        };
        Shutdown::builder()
            .grace_period(self.grace_period)
            .split(self.split())
            .transport(transport)
            .second_signal(second_signal)
    }

    /// The parts of the grace period that are set by hand.
    pub(crate) fn split(&self) -> Split {
        Split {
            lame_duck: self.lame_duck,
            drain: self.drain_timeout,
            cancel_grace: self.cancel_grace,
            background: self.background_timeout,
            release: self.release_timeout,
            flush: self.flush_timeout,
            exit_margin: self.exit_margin,
        }
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a duration as 250ms, 5s or 2m"))
}

/// How a length of time is shown: in whole milliseconds, of which a share has seldom a whole number. The standard library says `0ns`
/// for none, and a number of years for ever.
pub(crate) fn told(length: Duration) -> String {
    match length {
        Duration::ZERO => "0s".to_owned(),
        Duration::MAX => "infinity".to_owned(),
        length if length < Duration::from_millis(1) => format!("{length:?}"),
        length => format!("{:?}", Duration::from_millis(length.as_millis() as u64)),
    }
}

#[cfg(feature = "orders")]
fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("give it a time, as 10s".into()) } else { Ok(time) })
}

#[cfg(test)]
mod tests;
