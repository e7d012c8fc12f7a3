//! Settings, checked before anything is bound or written.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    Shutdown,
    audit::AuditLog,
    budget::{Budget, BudgetError, Part, Split},
    causes::{Causes, SecondSignal},
    inner::{Inner, Records},
    last_run::LastRun,
    metrics, report,
    server::transport::Transport,
    termination,
};

/// Settings of a [`Shutdown`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    grace_period: Option<Duration>,
    split: Split,
    transport: Transport,
    second_signal: SecondSignal,
    report_file: Option<PathBuf>,
    termination_message: Option<PathBuf>,
    audit_log: Option<PathBuf>,
    version: Option<String>,
}

/// The settings were refused. Nothing was bound or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The parts of the stop do not fit into the grace period.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A slow request head could outlast the drain.
    #[error(
        "header_timeout {header_timeout:?} is longer than the drain, {drain:?}: a slow request head would be cut; shorten it"
    )]
    HeaderTimeout {
        /// What was set.
        header_timeout: Duration,
        /// What there is.
        drain: Duration,
    },
    /// Every connection would be over at once.
    #[error("{setting} is 0 s, and every connection would end at once; give it a time")]
    Zero {
        /// Which field of [`Transport`].
        setting: &'static str,
    },
    /// The report would be lost.
    #[error("the report file {} cannot be written; choose a path in a folder that exists and is writable", path.display())]
    ReportFile {
        /// What was set.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The supervisor would be told nothing.
    #[error(
        "the termination message {} cannot be written; choose what the container's terminationMessagePath says, \
         /dev/termination-log by default",
        path.display()
    )]
    TerminationMessage {
        /// What was set.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The audit log would be empty.
    #[error("the audit log {} cannot be opened; choose a path in a folder that exists and is writable", path.display())]
    AuditLog {
        /// What was set.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Builder {
    /// From the stop signal to the supervisor's SIGKILL: `terminationGracePeriodSeconds`, `TimeoutStopSec`.
    /// Defaults to 30 s.
    #[must_use]
    pub fn grace_period(mut self, grace_period: Duration) -> Self {
        self.grace_period = Some(grace_period);
        self
    }

    /// Parts of the grace period that are set by hand. Defaults to none.
    #[must_use]
    pub fn split(mut self, split: Split) -> Self {
        self.split = split;
        self
    }

    /// How connections are treated.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// What a repeated signal does. Defaults to [`SecondSignal::Force`].
    #[must_use]
    pub fn second_signal(mut self, second_signal: SecondSignal) -> Self {
        self.second_signal = second_signal;
        self
    }

    /// The version of the program, for the report and the `last_shutdown_info` of the next start. Defaults to none.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Where the report is written as JSON. Defaults to nowhere.
    ///
    /// The next start with the same path tells what it says as `last_shutdown_*`. While the process runs, a file beside it, with
    /// `.running` behind its name, marks that; one that is left over counts as one more of `unclean_exits_total`.
    #[must_use]
    pub fn report_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.report_file = Some(path.into());
        self
    }

    /// Where the last word is left, for a supervisor that shows it: the table of the report, or the head of it. In Kubernetes
    /// what the container's `terminationMessagePath` says, `/dev/termination-log` by default; see [`crate::termination`].
    /// Defaults to nowhere.
    #[must_use]
    pub fn termination_message(mut self, path: impl Into<PathBuf>) -> Self {
        self.termination_message = Some(path.into());
        self
    }

    /// Where every request is noted; see [`crate::audit`]. Costs a system call a step. Defaults to nowhere.
    #[must_use]
    pub fn audit_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.audit_log = Some(path.into());
        self
    }

    /// The budget and the limits on connections that these settings come to, without a look at any file.
    ///
    /// # Errors
    ///
    /// A split that does not fit, a header timeout that is longer than the drain, a time of zero.
    pub fn plan(&self) -> Result<(Budget, Transport), BuildError> {
        let budget = Budget::derive(self.grace_period.unwrap_or(Budget::default().grace_period()), self.split)?;
        let transport = self.transport.clone().within(budget.part(Part::Drain))?;
        Ok((budget, transport))
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// As [`Builder::plan`], and a file that cannot be written.
    pub fn build(self) -> Result<Shutdown, BuildError> {
        let (budget, transport) = self.plan()?;
        let Self { second_signal, report_file, termination_message, audit_log, version, .. } = self;
        if let Some(path) = &report_file {
            report::check_path(path).map_err(|source| BuildError::ReportFile { path: path.clone(), source })?;
        }
        if let Some(path) = &termination_message {
            termination::check(path).map_err(|source| BuildError::TerminationMessage { path: path.clone(), source })?;
        }
        let audit = audit_log
            .map(|path| AuditLog::open(&path).map_err(|source| BuildError::AuditLog { path, source }))
            .transpose()?;
        let last_run = report_file.as_deref().map(LastRun::look).unwrap_or_default();
        metrics::register(&last_run);
        let records = Records { report_file, termination_message, audit, version, last_run };
        Ok(Shutdown::of(Inner::new(budget, transport, Causes::new(second_signal), records)))
    }
}
