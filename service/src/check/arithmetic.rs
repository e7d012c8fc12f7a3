//! The sum of a stop, and the relations between its times.

use std::time::Duration;

use winddown::{Budget, BuildError, Part, Transport};

use super::{
    balancer::Balancer,
    finding::{Findings, Place},
    settings::Settings,
    sheet::Row,
};
use crate::config::{Refusal, setting, shorten, told};

/// A slow request head must not hold a stop for longer.
const LONGEST_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// That much of what a supervisor grants may lie idle.
const UNUSED: Duration = Duration::from_secs(5);

/// What the supervisor grants between the stop and its SIGKILL.
pub(super) struct Grant {
    pub(super) length: Duration,
    /// What goes on before the service hears of it.
    pub(super) pre_stop: Duration,
    /// `terminationGracePeriodSeconds: 30`, as it is or as it is by default.
    pub(super) line: String,
    /// The same for another number of seconds.
    pub(super) write: fn(u64) -> String,
    pub(super) place: Option<Place>,
    /// Whether the service can ask for more while it stops.
    pub(super) can_grow: bool,
}

/// The table, and what is wrong with it.
pub(super) fn check(
    settings: &Settings,
    grant: Option<&Grant>,
    balancer: &Balancer,
    findings: &mut Findings,
) -> Vec<Row> {
    let mut grace_period = settings.config.grace_period;
    let (parts, fits) = match Budget::derive(grace_period, settings.config.split()) {
        Ok(budget) => {
            grace_period = budget.grace_period();
            (Part::ALL.map(|part| (part, budget.part(part))).to_vec(), true)
        }
        Err(error) => {
            let sum: Duration = error.parts.iter().map(|(_, length, _)| length).sum();
            let set = error.parts.iter().filter(|(_, _, set)| *set).map(|(part, ..)| setting(*part));
            let place = ["GRACE_PERIOD"].into_iter().chain(set).find_map(|name| settings.place(name));
            let why = format!("GRACE_PERIOD={grace_period:?} is too short for its parts, {sum:?} in all");
            findings.error(place, format!("{why}; {}", shorten(&error)));
            (error.parts.iter().map(|(part, length, _)| (*part, *length)).collect(), false)
        }
    };
    let part = |wanted| parts.iter().find(|(part, _)| *part == wanted).map_or(Duration::ZERO, |(_, length)| *length);
    let sum = parts.iter().map(|(_, length)| length).sum::<Duration>();
    let mut rows = vec![row(settings, "GRACE_PERIOD", grace_period, "default")];
    rows.extend(parts.iter().map(|(part, length)| row(settings, setting(*part), *length, "its share")));
    rows.push(Row { name: "sum", value: format!("{sum:?}"), remark: sum_remark(sum, grace_period, grant) });
    if fits {
        let hard = grace_period.saturating_sub(part(Part::ExitMargin));
        let remark = "after the signal the watchdog ends the process, whatever hangs".to_owned();
        rows.push(Row { name: "hard deadline", value: format!("{hard:?}"), remark });
        match grant {
            Some(grant) => check_grant(sum, grace_period, grant, findings),
            None => findings.ok(format!("the parts, {sum:?} in all, fit into GRACE_PERIOD={grace_period:?}")),
        }
        check_transport(settings, part(Part::Drain), balancer, &mut rows, findings);
    }
    balancer.check_lame_duck(settings, part(Part::LameDuck), findings);
    balancer.check_longest(part(Part::Drain), &mut rows, findings);
    rows
}

fn row(settings: &Settings, name: &'static str, length: Duration, default: &str) -> Row {
    let remark = settings.origin(name).map_or_else(|| default.to_owned(), ToString::to_string);
    Row { name, value: told(length), remark }
}

fn sum_remark(sum: Duration, grace_period: Duration, grant: Option<&Grant>) -> String {
    let sign = |limit| if sum <= limit { "≤" } else { "> " };
    match grant {
        None => format!("{} {grace_period:?}", sign(grace_period)),
        Some(Grant { length, pre_stop, line, .. }) => {
            let stop = if pre_stop.is_zero() { String::new() } else { format!(" − preStop {pre_stop:?}") };
            format!("{} {}{stop}   ({line})", sign(length.saturating_sub(*pre_stop)), told(*length))
        }
    }
}

fn check_grant(sum: Duration, grace_period: Duration, grant: &Grant, findings: &mut Findings) {
    let Grant { length, pre_stop, line, write, place, can_grow } = grant;
    let left = length.saturating_sub(*pre_stop);
    let before = if pre_stop.is_zero() { String::new() } else { format!(" and preStop {pre_stop:?}") };
    let needed = grace_period.saturating_add(*pre_stop);
    let mut remedy = format!("write {}", write(whole_seconds(needed)));
    if !left.is_zero() {
        remedy = format!("{remedy}, or GRACE_PERIOD={left:?}");
    }
    let less = format!("{line} is less than GRACE_PERIOD={grace_period:?}{before}");
    if grace_period <= left {
        findings.ok(format!("a stop, GRACE_PERIOD={grace_period:?}{before}, fits into {line}"));
        let unused = left.saturating_sub(grace_period);
        if unused >= UNUSED && *length < Duration::MAX {
            let text = format!("{unused:?} of {line} are not used; GRACE_PERIOD={left:?} gives them to the drain");
            findings.note(place.clone(), text);
        }
    } else if *can_grow {
        let why = format!("{less}: only EXTEND_TIMEOUT_USEC keeps the stop alive");
        findings.warning(place.clone(), format!("{why}; {remedy}"));
    } else if sum <= left {
        let why = format!("{less}: the SIGKILL comes before the watchdog, which would leave a report");
        findings.warning(place.clone(), format!("{why}; {remedy}"));
    } else {
        let why = format!("{line} is less than the {sum:?} of a stop{before}: the SIGKILL would cut it");
        findings.error(place.clone(), format!("{why}; {remedy}"));
    }
}

fn check_transport(
    settings: &Settings,
    drain: Duration,
    balancer: &Balancer,
    rows: &mut Vec<Row>,
    findings: &mut Findings,
) {
    let transport = match settings.config.builder().plan() {
        Ok((_, transport)) => transport,
        Err(refused) => {
            let name = match &refused {
                BuildError::Zero { setting } => setting.to_uppercase(),
                _ => "HEADER_TIMEOUT".to_owned(),
            };
            let text = super::settings::said(&Refusal::Settings(refused).to_string());
            return findings.error(settings.place(&name), text);
        }
    };
    let Transport {
        header_timeout,
        progress_timeout,
        keep_alive_timeout,
        idle_grace,
        handshake_window,
        close_jitter,
        ..
    } = transport;
    let header_timeout = header_timeout.unwrap_or(LONGEST_HEADER_TIMEOUT);
    rows.push(row(settings, "HEADER_TIMEOUT", header_timeout, "default"));
    rows.push(row(settings, "PROGRESS_TIMEOUT", progress_timeout, "default"));
    rows.push(row(settings, "KEEP_ALIVE_TIMEOUT", keep_alive_timeout, "default"));
    if header_timeout > LONGEST_HEADER_TIMEOUT {
        let why = format!("HEADER_TIMEOUT={header_timeout:?} lets a slow request head hold a stop for so long");
        findings.warning(settings.place("HEADER_TIMEOUT"), format!("{why}; write 5s or less"));
    }
    let asked = &settings.config;
    for (name, asked, taken) in [
        ("IDLE_GRACE", asked.idle_grace, idle_grace),
        ("HANDSHAKE_WINDOW", asked.handshake_window, handshake_window),
        ("CLOSE_JITTER", asked.close_jitter, close_jitter),
    ] {
        if taken < asked && settings.origin(name).is_some() {
            let text = format!("{name}={asked:?} is taken for {taken:?}, half of the drain of {drain:?}");
            findings.note(settings.place(name), text);
        }
    }
    balancer.check_keep_alive(settings, keep_alive_timeout, findings);
}

/// Rounded up.
pub(super) fn whole_seconds(length: Duration) -> u64 {
    length.as_secs().saturating_add(u64::from(length.subsec_nanos() > 0))
}
