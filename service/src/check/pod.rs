//! One pod that runs the service, held against the service's own numbers.

use std::{rc::Rc, time::Duration};

use winddown::Signal;

use super::{
    Options,
    arithmetic::{self, Grant},
    balancer::Longest,
    finding::Findings,
    given::{self, Given, Origin},
    kubernetes::{Pod, name},
    probes,
    settings::{Settings, is_known, meant},
    sheet::Sheet,
    shell,
    source::Source,
    yaml::{Entry, Node},
};
use crate::config::told;

const DEFAULT_GRACE: u64 = 30;

/// `lifecycle.preStop` of a container.
struct PreStop {
    line: usize,
    length: Duration,
}

pub(super) fn check(
    source: &Source,
    options: &Options,
    flags: &[Given],
    pod: &Pod,
    container: &Node,
    longest: Option<Longest>,
) -> Sheet {
    let mut findings = Findings::default();
    let command = command(source, container, &mut findings);
    let given = [flags.to_vec(), command, variables(source, container, &mut findings)].concat();
    let settings = Settings::resolve(given, &mut findings);
    let pre_stop = pre_stop(source, container, &mut findings);
    let grant = grant(source, pod, pre_stop.as_ref(), &mut findings);
    let rows = arithmetic::check(&settings, grant.as_ref(), &options.balancer(longest), &mut findings);
    check_lame_duck(source, &settings, pre_stop.as_ref(), &mut findings);
    check_signal(source, container, &mut findings);
    settings.check_deployment(&mut findings);
    settings.check_places(&mut findings);
    probes::check(source, pod, container, &settings, &mut findings);
    let title = format!("{}:{} {}, container {}", source.name, pod.line, pod.title, name(container));
    let basis = "by this file, by flags here, by default; this shell's environment does not count".to_owned();
    Sheet { title, basis, rows, findings }
}

/// What `command` and `args` set.
fn command(source: &Source, container: &Node, findings: &mut Findings) -> Vec<Given> {
    let command = words(container.items_at(&["command"]));
    let args = words(container.items_at(&["args"]));
    let entry = container.entry(&["args"]).or_else(|| container.entry(&["command"]));
    let Some(place) = entry.map(|entry| source.at(entry.line)) else { return Vec::new() };
    let all = [command.clone(), args.clone()].concat();
    if shell::swallows_signals(&all) {
        findings.error(place, "a shell takes the stop signal and does not pass it on; write exec before the service");
        return Vec::new();
    }
    let words = if command.is_empty() { &args[..] } else { &all[1..] };
    let is_wrapped = words.first().is_some_and(|word| !word.starts_with('-'));
    if is_wrapped || words.iter().any(|word| word.contains("$(")) {
        findings
            .note(place, "the command may set what cannot be known from here; repeat its flags on this command line");
        return Vec::new();
    }
    given::by_command(words, &place, findings)
}

fn words(items: &[Rc<Node>]) -> Vec<String> {
    items.iter().filter_map(|item| item.text().map(str::to_owned)).collect()
}

/// What `env` sets. As in Kubernetes, the last of equal names counts.
fn variables(source: &Source, container: &Node, findings: &mut Findings) -> Vec<Given> {
    let mut given = Vec::new();
    for variable in container.items_at(&["env"]).iter().rev() {
        let Some(name) = variable.text_at(&["name"]) else { continue };
        let place = source.at(variable.entry(&["name"]).map_or(variable.line, |entry| entry.line));
        if !is_known(name) {
            if let Some(meant) = meant(name) {
                findings.warning(
                    place,
                    format!("{name} is no setting of the service and does nothing; write {meant}, if that is meant"),
                );
            }
            continue;
        }
        let Some(Entry { line, value, .. }) = variable.entry(&["value"]) else {
            let from = if variable.entry(&["valueFrom"]).is_some() { "valueFrom" } else { "nothing" };
            findings.note(
                place,
                format!(
                    "{name} comes from {from}, which cannot be known from here: its default is taken; say it by flag"
                ),
            );
            continue;
        };
        let place = source.at(*line);
        match value.text() {
            Some(text) if text.contains("$(") => {
                findings
                    .note(place, format!("{name} depends on another variable: its default is taken; say it by flag"));
            }
            Some(text) if value.is_text() => {
                given.push(Given { name: name.to_owned(), value: text.to_owned(), origin: Origin::File(place) });
            }
            _ => {
                let text = value.text().unwrap_or("…");
                findings
                    .error(place, format!("{name}: Kubernetes takes nothing but text here; write value: \"{text}\""));
            }
        }
    }
    if let Some(Entry { line, .. }) = container.entry(&["envFrom"]) {
        findings.note(source.at(*line), "envFrom may set what cannot be known from here; say it by flag");
    }
    given
}

fn pre_stop(source: &Source, container: &Node, findings: &mut Findings) -> Option<PreStop> {
    let Entry { line, value, .. } = container.entry(&["lifecycle", "preStop"])?;
    let sleeps = value.text_at(&["sleep", "seconds"]).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let length = sleeps.or_else(|| shell::sleep(&words(value.items_at(&["exec", "command"]))));
    if length.is_none() {
        let why = "preStop takes a time out of the grace period that cannot be known from here: 0s is taken";
        findings.warning(source.at(*line), format!("{why}; drop it, or write sleep.seconds"));
    }
    length.map(|length| PreStop { line: *line, length })
}

fn grant(source: &Source, pod: &Pod, pre_stop: Option<&PreStop>, findings: &mut Findings) -> Option<Grant> {
    let entry = pod.spec.entry(&["terminationGracePeriodSeconds"]);
    let (seconds, told, line) = match entry {
        None => (DEFAULT_GRACE, format!("the default of terminationGracePeriodSeconds, {DEFAULT_GRACE}"), pod.line),
        Some(Entry { line, value, .. }) => {
            let text = value.text().unwrap_or("…");
            let Ok(seconds) = text.parse::<u32>() else {
                let why = format!("terminationGracePeriodSeconds: {text} is no number of seconds");
                findings
                    .error(source.at(*line), format!("{why}; write terminationGracePeriodSeconds: {DEFAULT_GRACE}"));
                return None;
            };
            (u64::from(seconds), format!("terminationGracePeriodSeconds: {seconds}"), *line)
        }
    };
    Some(Grant {
        length: Duration::from_secs(seconds),
        pre_stop: pre_stop.map_or(Duration::ZERO, |pre_stop| pre_stop.length),
        line: told,
        write: |seconds| format!("terminationGracePeriodSeconds: {seconds}"),
        place: Some(source.at(line)),
        can_grow: false,
    })
}

/// Somebody must serve until every balancer has seen the pod go: the service, and not both after each other.
fn check_lame_duck(source: &Source, settings: &Settings, pre_stop: Option<&PreStop>, findings: &mut Findings) {
    let Some(lame_duck) = settings.lame_duck() else { return };
    let place = settings.place("LAME_DUCK");
    match pre_stop {
        Some(PreStop { line, length }) if !length.is_zero() && !lame_duck.is_zero() => {
            let why = format!("preStop {length:?} and LAME_DUCK={lame_duck:?} wait for the same, one after the other");
            let remedy = "drop preStop: the service serves during its lame duck, and tells clients to leave";
            findings.warning(source.at(*line), format!("{why}; {remedy}"));
        }
        None if lame_duck.is_zero() => {
            let why = "LAME_DUCK=0s, and no preStop: new connections are refused while endpoints are being removed";
            findings.warning(place, format!("{why}; write LAME_DUCK=5s"));
        }
        _ => {
            let lame_duck = told(lame_duck);
            findings
                .ok(format!("LAME_DUCK={lame_duck}: Kubernetes removes the pod from its endpoints without a probe"));
        }
    }
}

/// `lifecycle.stopSignal`, since Kubernetes 1.33.
fn check_signal(source: &Source, container: &Node, findings: &mut Findings) {
    let Some(Entry { line, value, .. }) = container.entry(&["lifecycle", "stopSignal"]) else { return };
    let signal = value.text().unwrap_or("…");
    if !Signal::ALL.iter().any(|known| signal.strip_prefix("SIG") == Some(known.as_str())) {
        let why =
            format!("stopSignal: {signal} is no stop signal to the service, which would be ended by it or miss it");
        findings.error(source.at(*line), format!("{why}; write stopSignal: SIGTERM, or drop the line"));
    }
}
