//! Why the service does not start, said so that it can be put right.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use opentelemetry_otlp::ExporterBuildError;
use winddown::{BudgetError, BuildError, Part, Report, systemd::SocketError, termination};

use super::{TERMINATION_MESSAGE, told};

/// Why the service does not start.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `--help` and `--version` end here, too.
    Arguments(clap::Error),
    Settings(BuildError),
    #[cfg(feature = "tls")]
    Tls(winddown::TlsError),
    #[cfg(feature = "orders")]
    Database(String),
    Sockets(SocketError),
    Collector(String),
    Exporter(ExporterBuildError),
    Push(String),
    Textfile(PathBuf, io::Error),
    Machine(Box<dyn Error>),
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
            refused => {
                let failed = matches!(refused, Self::Machine(_));
                if let Some(path) = std::env::var_os(TERMINATION_MESSAGE) {
                    let _ = termination::write(path.as_ref(), &refused.to_string()); // it may be what is wrong
                }
                // Not `eprint!`, which panics when standard error is full or gone: the exit code is what a supervisor reads.
                let _ = write!(io::stderr(), "{refused}");
                if failed { Report::FAILED } else { Report::CONFIG_REFUSED }.into()
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
            Self::Settings(BuildError::Zero { setting }) => {
                let setting = setting.to_uppercase();
                writeln!(f, "error: {setting}=0s: every connection would end at once; give it a time")
            }
            Self::Settings(BuildError::ReportFile { path, source }) => refuse_path(f, "SHUTDOWN_REPORT", path, source),
            Self::Settings(BuildError::TerminationMessage { path, source }) => {
                refuse_path(f, TERMINATION_MESSAGE, path, source)
            }
            Self::Settings(BuildError::AuditLog { path, source }) => refuse_path(f, "AUDIT_LOG", path, source),
            Self::Settings(error) => writeln!(f, "error: {error}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => refuse_tls(f, error),
            #[cfg(feature = "orders")]
            Self::Database(error) => writeln!(f, "error: {error}"),
            Self::Collector(error) | Self::Push(error) => writeln!(f, "error: {error}"),
            Self::Sockets(error) => writeln!(f, "error: {error}"),
            Self::Exporter(error) => {
                writeln!(
                    f,
                    "error: OTEL_EXPORTER_OTLP_ENDPOINT: {error}; put right or drop the OTEL_ setting that is meant"
                )
            }
            Self::Textfile(path, error) => refuse_path(f, "METRICS_TEXTFILE", path, error),
            Self::Machine(error) => writeln!(f, "error: {error}"),
        }
    }
}

fn refuse_budget(f: &mut fmt::Formatter<'_>, error: &BudgetError) -> fmt::Result {
    let BudgetError { grace_period, parts } = error;
    let sum: Duration = parts.iter().map(|(_, length, _)| length).sum();
    writeln!(f, "error: GRACE_PERIOD={} is too short for its parts, {} in all:", told(*grace_period), told(sum))?;
    for (part, length, set) in parts {
        let origin = if *set { "set" } else { "its share" };
        writeln!(f, "  {:<19}{:>10}  ({origin})", setting(*part), told(*length))?;
    }
    writeln!(f, "{}", shorten(error))
}

/// What there is to change when the parts do not fit.
pub(crate) fn shorten(error: &BudgetError) -> String {
    let short: Vec<_> = error.parts.iter().filter(|(_, length, set)| *set && !length.is_zero()).collect();
    match short.iter().map(|(part, ..)| setting(*part)).collect::<Vec<_>>().join(" or ").as_str() {
        "" => "raise GRACE_PERIOD: the drain needs a part of it".to_owned(),
        shorten => format!("raise GRACE_PERIOD, or shorten {shorten}"),
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

#[cfg(feature = "tls")]
fn refuse_tls(f: &mut fmt::Formatter<'_>, error: &winddown::TlsError) -> fmt::Result {
    use winddown::TlsError;

    let settings = match error {
        TlsError::Certificate { .. } => "TLS_CERT",
        TlsError::Key { .. } => "TLS_KEY",
        TlsError::Pair { .. } => "TLS_CERT, TLS_KEY",
    };
    let cause = error.source().map(|cause| format!(" ({cause})")).unwrap_or_default();
    writeln!(f, "error: {settings}: {error}{cause}")
}

/// The setting that gives a part its length.
pub(crate) const fn setting(part: Part) -> &'static str {
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

impl From<SocketError> for Refusal {
    fn from(error: SocketError) -> Self {
        Self::Sockets(error)
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
