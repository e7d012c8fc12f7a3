//! A systemd unit, held against the service's own numbers. What each line means is from systemd.service(5) and
//! systemd.kill(5).

use std::time::Duration;

use winddown::{Report, Signal};

use super::{
    Options,
    arithmetic::{self, Grant},
    finding::Findings,
    given::{self, Given, Origin},
    settings::{Settings, is_known, meant},
    sheet::Sheet,
    shell,
    source::Source,
    unit::{Assignment, Unit, span},
};

/// `DefaultTimeoutStopSec` as systemd ships it. Fedora has 45 s.
const DEFAULT_STOP: Duration = Duration::from_secs(90);

/// In front of the program of an `Exec…=` line.
const PREFIXES: [char; 6] = ['@', '-', ':', '+', '!', '|'];

pub(super) fn check(sources: &[Source], options: &Options, flags: &[Given]) -> Sheet {
    let mut findings = Findings::default();
    let unit = Unit::parse(sources, &mut findings);
    let given = [flags.to_vec(), command(&unit, &mut findings), variables(&unit, &mut findings)].concat();
    let settings = Settings::resolve(given, &mut findings);
    let grant = grant(&unit, sources, &mut findings);
    let rows = arithmetic::check(&settings, Some(&grant), &options.balancer(None), &mut findings);
    check_kill(&unit, &mut findings);
    check_exec_stop(&unit, &mut findings);
    check_reload(&unit, &mut findings);
    check_restart(&unit, &mut findings);
    check_watchdog(&unit, &mut findings);
    settings.check_deployment(&mut findings);
    settings.check_places(&mut findings);
    let title = sources.iter().map(|source| &*source.name).collect::<Vec<_>>().join(" + ");
    let basis = "by this unit, by flags here, by default; this shell's environment does not count".to_owned();
    Sheet { title, basis, rows, findings }
}

/// What `ExecStart=` sets.
fn command(unit: &Unit, findings: &mut Findings) -> Vec<Given> {
    let Some(Assignment { value, place, .. }) = unit.last(&["ExecStart"]) else {
        findings.warning(None, "there is no ExecStart=: give the unit first, and its drop-ins after it");
        return Vec::new();
    };
    let Some(mut words) = shlex::split(value.trim_start_matches(PREFIXES)) else {
        findings.error(place.clone(), "the quotes of ExecStart= do not match; close them");
        return Vec::new();
    };
    if shell::swallows_signals(&words) && unit.value("KillMode", "control-group") != "control-group" {
        findings.error(
            place.clone(),
            "a shell takes the stop signal and does not pass it on; write exec before the service",
        );
    }
    if words.get(1).is_some_and(|word| !word.starts_with('-')) || words.iter().any(|word| word.contains(['$', '%'])) {
        findings.note(
            place.clone(),
            "the command may set what cannot be known from here; repeat its flags on this command line",
        );
        return Vec::new();
    }
    if shell::is_shell(&words) {
        return Vec::new();
    }
    words.drain(..words.len().min(1));
    given::by_command(&words, place, findings)
}

/// What `Environment=` sets; the last of equal names counts.
fn variables(unit: &Unit, findings: &mut Findings) -> Vec<Given> {
    let mut given = Vec::new();
    for Assignment { value, place, .. } in unit.all("Environment").into_iter().rev() {
        let Some(words) = shlex::split(value) else {
            findings.error(place.clone(), "the quotes of Environment= do not match; close them");
            continue;
        };
        for (name, value) in words.iter().rev().filter_map(|word| word.split_once('=')) {
            if !is_known(name) {
                if let Some(meant) = meant(name) {
                    findings.warning(
                        place.clone(),
                        format!(
                            "{name} is no setting of the service and does nothing; write {meant}, if that is meant"
                        ),
                    );
                }
            } else if value.contains('%') {
                findings.note(
                    place.clone(),
                    format!("{name}={value} depends on the unit's instance: its default is taken; say it by flag"),
                );
            } else {
                given.push(Given {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    origin: Origin::File(place.clone()),
                });
            }
        }
    }
    for Assignment { place, .. } in unit.all("EnvironmentFile") {
        findings.note(place.clone(), "EnvironmentFile= may set what cannot be known from here; say it by flag");
    }
    given
}

fn grant(unit: &Unit, sources: &[Source], findings: &mut Findings) -> Grant {
    let by_default = |place| (DEFAULT_STOP, "the default of TimeoutStopSec, 90s".to_owned(), place);
    let (length, told, place) = match unit.last(&["TimeoutStopSec", "TimeoutSec"]) {
        None => by_default(sources.first().map(|source| source.at(1))),
        Some(Assignment { value, place, .. }) => match span(value) {
            // In both lines zero is infinity.
            Some(Duration::ZERO | Duration::MAX) => {
                findings.note(
                    place.clone(),
                    "systemd waits for ever: only the service's own watchdog ends a stop that hangs",
                );
                (Duration::MAX, format!("TimeoutStopSec={value}"), Some(place.clone()))
            }
            Some(length) => (length, format!("TimeoutStopSec={value}"), Some(place.clone())),
            None => {
                let text = format!(
                    "TimeoutStopSec={value} is no time span, and systemd takes its default; write TimeoutStopSec=30s"
                );
                findings.error(place.clone(), text);
                by_default(Some(place.clone()))
            }
        },
    };
    let can_grow = ["notify", "notify-reload"].contains(&unit.value("Type", "simple"));
    let write = |seconds| format!("TimeoutStopSec={seconds}s");
    Grant { length, pre_stop: Duration::ZERO, line: told, write, place, can_grow }
}

fn check_kill(unit: &Unit, findings: &mut Findings) {
    if let Some(Assignment { value, place, .. }) = unit.last(&["KillMode"]).filter(|mode| mode.value == "none") {
        findings
            .error(place.clone(), format!("KillMode={value}: nobody tells the service to stop; write KillMode=mixed"));
    }
    for key in ["KillSignal", "RestartKillSignal"] {
        let Some(Assignment { value, place, .. }) = unit.last(&[key]) else { continue };
        let is_handled = |signal: &Signal| {
            value.strip_prefix("SIG").unwrap_or(value) == signal.as_str() || *value == signal.number().to_string()
        };
        if !Signal::ALL.iter().any(is_handled) {
            let why = format!("{key}={value} is no stop signal to the service, which would be ended by it or miss it");
            findings.error(place.clone(), format!("{why}; write {key}=SIGTERM"));
        }
    }
    if let Some(Assignment { value, place, .. }) = unit.last(&["SendSIGKILL"])
        && ["no", "false", "off", "0"].contains(&value.to_lowercase().as_str())
    {
        findings.note(
            place.clone(),
            format!("SendSIGKILL={value}: only the service's own watchdog ends a stop that hangs"),
        );
    }
}

fn check_exec_stop(unit: &Unit, findings: &mut Findings) {
    for Assignment { value, place, .. } in unit.all("ExecStop") {
        if ["-9", "-KILL", "-SIGKILL"].iter().any(|signal| value.split_whitespace().any(|word| word == *signal)) {
            findings.error(
                place.clone(),
                "ExecStop= kills the service before it can stop; drop the line: systemd sends SIGTERM",
            );
        } else {
            findings.note(
                place.clone(),
                "ExecStop= runs before SIGTERM, in a TimeoutStopSec of its own: a stop takes longer by that",
            );
        }
    }
}

/// SIGHUP means "read your files again" to many, and "stop" here.
fn check_reload(unit: &Unit, findings: &mut Findings) {
    let is_hangup = |word: &str| ["-1", "-HUP", "-SIGHUP", "HUP", "SIGHUP"].contains(&word);
    for Assignment { value, place, .. } in unit.all("ExecReload") {
        if value.split_whitespace().any(is_hangup) {
            let why = "ExecReload= sends SIGHUP, which stops the service";
            findings.error(place.clone(), format!("{why}; drop the line: certificates are reloaded without it"));
        }
    }
    if let Some(Assignment { value, place, .. }) = unit.last(&["Type"]).filter(|kind| kind.value == "notify-reload") {
        let why = format!("Type={value}: systemctl reload sends SIGHUP, which stops the service");
        findings.error(place.clone(), format!("{why}; write Type=notify"));
    }
}

/// 78 is for good, 10 and 11 tell that something was cut, or a hook failed.
fn check_restart(unit: &Unit, findings: &mut Findings) {
    let Some(Assignment { value, place, .. }) = unit.last(&["Restart"]).filter(|restart| restart.value != "no") else {
        return;
    };
    let lists =
        |key, code: &str| unit.all(key).iter().any(|codes| codes.value.split_whitespace().any(|word| word == code));
    let refused = Report::CONFIG_REFUSED.to_string();
    let restarts_failures = ["always", "on-failure"].contains(&value.as_str());
    if restarts_failures && !lists("RestartPreventExitStatus", &refused) && !lists("RestartPreventExitStatus", "CONFIG")
    {
        let why = format!("Restart={value} starts a service again whose settings were refused (exit code 78)");
        findings.note(place.clone(), format!("{why}; write RestartPreventExitStatus=78"));
    }
    if restarts_failures && !(lists("SuccessExitStatus", "10") && lists("SuccessExitStatus", "11")) {
        let text = "exit codes 10 (something was cut) and 11 (a hook failed) leave the unit failed, as 128+n does";
        findings.note(place.clone(), text);
    }
}

fn check_watchdog(unit: &Unit, findings: &mut Findings) {
    let Some(Assignment { value, place, .. }) = unit.last(&["WatchdogSec"]) else { return };
    match span(value) {
        Some(Duration::ZERO | Duration::MAX) => {}
        Some(length) => {
            let text =
                format!("handlers that block every worker for {length:?} end the service by SIGABRT, without a stop");
            findings.note(place.clone(), text);
        }
        None => findings.warning(
            place.clone(),
            format!("WatchdogSec={value} is no time span, and systemd ignores it; write WatchdogSec=30s"),
        ),
    }
}
