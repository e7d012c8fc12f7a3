//! What became of hooks, and which of them are at work.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::lifecycle::Phase;

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[non_exhaustive]
pub enum HookOutcome {
    /// It did its work.
    Ok,
    /// It returned an error.
    Error {
        /// The error and what caused it.
        message: String,
    },
    /// It panicked.
    Panic {
        /// The panic's message.
        message: String,
    },
    /// It was aborted at its deadline.
    Timeout,
    /// A repeated signal forced the stop: it was told, and aborted after the cancel grace, or it never began. Only before
    /// the release; what releases and flushes runs in a forced stop, too.
    Forced,
}

impl fmt::Display for HookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("done"),
            Self::Error { message } => write!(f, "failed: {message}"),
            Self::Panic { message } => write!(f, "panicked: {message}"),
            Self::Timeout => f.write_str("timed out"),
            Self::Forced => f.write_str("given up, the stop was forced"),
        }
    }
}

/// What the report says of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HookReport {
    /// The phase that ran it.
    pub phase: Phase,
    /// Its name.
    pub hook: String,
    /// When it began, from T0.
    #[serde(rename = "at_seconds", serialize_with = "crate::report::seconds")]
    pub at: Duration,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "crate::report::seconds")]
    pub duration: Duration,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: HookOutcome,
}

/// A hook that is at work, as a person sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HookStatus {
    /// The phase that runs it.
    pub phase: Phase,
    /// Its name.
    pub hook: String,
    /// When it began, from T0.
    #[serde(rename = "at_seconds", serialize_with = "crate::report::seconds")]
    pub at: Duration,
    /// How long ago it began.
    #[serde(rename = "age_seconds", serialize_with = "crate::report::seconds")]
    pub age: Duration,
    /// When it is aborted, from now.
    #[serde(rename = "seconds_left", serialize_with = "crate::report::seconds")]
    pub left: Duration,
}

impl HookStatus {
    /// What the report says of it when the process ends without it.
    pub(crate) fn unfinished(self) -> HookReport {
        let Self { phase, hook, at, age: duration, .. } = self;
        HookReport { phase, hook, at, duration, outcome: HookOutcome::Timeout }
    }
}

impl HookReport {
    /// Whether the hook did what it was there for.
    pub fn is_ok(&self) -> bool {
        self.outcome == HookOutcome::Ok
    }

    pub(super) fn publish(&self) {
        let Self { phase, hook, duration, outcome, .. } = self;
        crate::metrics::hook(*phase, hook, *duration, outcome);
        match outcome {
            HookOutcome::Ok => tracing::debug!(%phase, hook, ?duration, "hook done"),
            HookOutcome::Error { message } => tracing::error!(%phase, hook, ?duration, error = message, "hook failed"),
            HookOutcome::Panic { message } => tracing::error!(%phase, hook, ?duration, message, "hook panicked"),
            HookOutcome::Timeout => tracing::error!(%phase, hook, ?duration, "hook timed out"),
            HookOutcome::Forced => tracing::warn!(%phase, hook, ?duration, "hook given up: the stop is forced"),
        }
    }
}
