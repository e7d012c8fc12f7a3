//! What platforms grant, when nobody says more.

use std::time::Duration;

use clap::ValueEnum;

use super::{arithmetic::whole_seconds, finding::Findings, settings::Settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Platform {
    /// 10 s, more by `docker stop -t` or stop_grace_period
    Docker,
    /// 30 s, more by stopTimeout
    Ecs,
    /// 30 s, up to 120 s by stopTimeout
    Fargate,
    /// 10 s, whatever is set
    CloudRun,
    /// 30 s, more by terminationGracePeriodSeconds
    Kubernetes,
    /// 90 s, more by TimeoutStopSec
    Systemd,
}

impl Platform {
    const fn name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Ecs => "ECS",
            Self::Fargate => "Fargate",
            Self::CloudRun => "Cloud Run",
            Self::Kubernetes => "Kubernetes",
            Self::Systemd => "systemd",
        }
    }

    /// Docker: docs.docker.com, `docker stop`. ECS and Fargate: `stopTimeout` of a container definition. Cloud Run: the
    /// container runtime contract. systemd: `DefaultTimeoutStopSec`, systemd-system.conf(5).
    const fn default_seconds(self) -> u64 {
        match self {
            Self::Docker | Self::CloudRun => 10,
            Self::Ecs | Self::Fargate | Self::Kubernetes => 30,
            Self::Systemd => 90,
        }
    }

    const fn most_seconds(self) -> Option<u64> {
        match self {
            Self::CloudRun => Some(10),
            Self::Fargate => Some(120),
            Self::Docker | Self::Ecs | Self::Kubernetes | Self::Systemd => None,
        }
    }

    fn remedy(self, seconds: u64) -> String {
        match self {
            Self::Docker => format!("docker stop -t {seconds}, or stop_grace_period: {seconds}s in a compose file"),
            Self::Ecs | Self::Fargate => format!("\"stopTimeout\": {seconds} in the container definition"),
            Self::Kubernetes => format!("terminationGracePeriodSeconds: {seconds}"),
            Self::Systemd => format!("TimeoutStopSec={seconds}s"),
            Self::CloudRun => format!("GRACE_PERIOD={seconds}s"),
        }
    }
}

/// Holds the grace period against what the platform grants.
pub(super) fn check(platform: Platform, settings: &Settings, findings: &mut Findings) {
    let grace_period = settings.config.grace_period;
    let default = Duration::from_secs(platform.default_seconds());
    let name = platform.name();
    let most = platform.most_seconds().map(Duration::from_secs).filter(|most| grace_period > *most);
    if let Some(most) = most {
        let why = format!("GRACE_PERIOD={grace_period:?} is more than the {most:?} that {name} can grant");
        findings.error(None, format!("{why}; write GRACE_PERIOD={most:?}"));
    } else if grace_period > default {
        let why = format!("{name} grants {default:?} unless told otherwise, GRACE_PERIOD is {grace_period:?}");
        findings.warning(
            None,
            format!(
                "{why}; tell it: {}, or write GRACE_PERIOD={default:?}",
                platform.remedy(whole_seconds(grace_period))
            ),
        );
    } else {
        findings.ok(format!("GRACE_PERIOD={grace_period:?} fits into the {default:?} that {name} grants"));
    }
}
