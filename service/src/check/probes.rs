//! The probes of a pod against the admin port: `/livez`, `/readyz`, `/startupz`.

use std::net::SocketAddr;

use winddown::Address;

use super::{
    finding::{Findings, Level, Place},
    kubernetes::Pod,
    settings::Settings,
    source::Source,
    yaml::{Entry, Node},
};

/// Each probe with its own path.
const PROBES: [(&str, &str); 3] =
    [("readinessProbe", "/readyz"), ("livenessProbe", "/livez"), ("startupProbe", "/startupz")];

const ADMIN_PATHS: [&str; 5] = ["/livez", "/readyz", "/startupz", "/metrics", "/shutdown"];

pub(super) fn check(source: &Source, pod: &Pod, container: &Node, settings: &Settings, findings: &mut Findings) {
    for (probe, own) in PROBES {
        if let Some(Entry { line, value, .. }) = container.entry(&[probe]) {
            check_probe(source, container, settings, findings, &Probe { name: probe, own, line: *line, node: value });
        }
    }
    if container.entry(&["readinessProbe"]).is_none() {
        let line = container.entry(&["name"]).map_or(container.line, |entry| entry.line);
        let why = "no readinessProbe: traffic comes before the service is ready";
        findings.warning(source.at(line), format!("{why}; probe /readyz on the port of ADMIN_ADDR"));
    }
    check_traffic(source, pod, container, settings, findings);
}

struct Probe<'a> {
    name: &'static str,
    own: &'static str,
    line: usize,
    node: &'a Node,
}

fn check_probe(source: &Source, container: &Node, settings: &Settings, findings: &mut Findings, probe: &Probe<'_>) {
    let Probe { name, own, line, node } = probe;
    if let Some(Entry { line, value, .. }) = node.entry(&["terminationGracePeriodSeconds"]) {
        let seconds = value.text().and_then(|text| text.parse::<u32>().ok()).map_or(0, u64::from);
        let needed = super::arithmetic::whole_seconds(settings.config.grace_period);
        if seconds < needed {
            let why = format!("a pod that this {name} ends has {seconds} s for a stop of {needed} s");
            findings.warning(
                source.at(*line),
                format!("{why}; drop the line, or write terminationGracePeriodSeconds: {needed}"),
            );
        }
    }
    let Some(http) = node.get(&["httpGet"]) else {
        let why = format!("this {name} does not ask the service, and cannot be checked");
        let text = format!("{why}; write httpGet with path: {own} on the port of ADMIN_ADDR");
        return findings.note(source.at(*line), text);
    };
    let path = http.text_at(&["path"]).unwrap_or("/");
    let at = |key: &str| source.at(http.entry(&[key]).map_or(*line, |entry| entry.line));
    let admin = match &settings.config.admin_addr {
        Address::Tcp(admin) if !admin.ip().is_loopback() => admin,
        address => {
            let place = settings.place("ADMIN_ADDR").unwrap_or_else(|| at("port"));
            let why = format!("the kubelet's {name} cannot reach ADMIN_ADDR={address}");
            return findings.error(place, format!("{why}; {}", everywhere("ADMIN_ADDR", address, 9090)));
        }
    };
    if check_port(container, settings, findings, probe, http, admin, &at("port")) {
        check_path(findings, probe, path, at("path"));
        if http.text_at(&["scheme"]).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
            findings.error(at("scheme"), format!("{name}: the admin port speaks no TLS; drop the line"));
        }
    }
}

/// Whether the probe asks the admin port.
fn check_port(
    container: &Node,
    settings: &Settings,
    findings: &mut Findings,
    probe: &Probe<'_>,
    http: &Node,
    admin: &SocketAddr,
    place: &Place,
) -> bool {
    let Probe { name, own, .. } = probe;
    let told = http.text_at(&["port"]).unwrap_or("…");
    let named = || container.items_at(&["ports"]).iter().find(|port| port.text_at(&["name"]) == Some(told));
    let port = told.parse::<u16>().ok().or_else(|| named()?.text_at(&["containerPort"])?.parse().ok());
    let remedy = format!("write port: {} with path: {own}", admin.port());
    match port {
        Some(port) if port == admin.port() => return true,
        Some(port) if settings.config.http_addr.tcp().is_ok_and(|http| http.port() == port) => {
            let why =
                format!("{name} asks the traffic port {port}, which closes in a stop and knows nothing of readiness");
            findings.error(place.clone(), format!("{why}; {remedy}"));
        }
        Some(port) => {
            findings.error(place.clone(), format!("{name}: the service does not listen on port {port}; {remedy}"));
        }
        None => {
            let why = format!("{name}: port {told} is no number, and no name of a port of this container");
            findings.error(place.clone(), format!("{why}; {remedy}"));
        }
    }
    false
}

fn check_path(findings: &mut Findings, probe: &Probe<'_>, path: &str, place: Place) {
    let Probe { name, own, .. } = probe;
    let plain = path.split('?').next().unwrap_or_default();
    let (level, why) = match (*name, plain) {
        (_, plain) if plain == *own => return findings.ok(format!("{name} asks {own}")),
        (_, plain) if !ADMIN_PATHS.contains(&plain) => {
            (Level::Error, "the admin port answers 404 there, so it always fails")
        }
        ("livenessProbe", "/readyz") => {
            (Level::Error, "it answers 503 while the service starts and stops, and a pod is killed for that")
        }
        ("readinessProbe", _) => (Level::Warning, "it answers 200 through a stop, so traffic keeps coming"),
        ("startupProbe", "/readyz") => {
            (Level::Note, "it fails from the stop signal on, while start-up is over once and for all")
        }
        _ => (Level::Warning, "that is not what it is for"),
    };
    findings.add(level, Some(place), format!("{name} asks {path}: {why}; write path: {own}"));
}

/// A Service sends its traffic to the address of the pod.
fn check_traffic(source: &Source, pod: &Pod, container: &Node, settings: &Settings, findings: &mut Findings) {
    let address = &settings.config.http_addr;
    if address.tcp().is_ok_and(|address| !address.ip().is_loopback()) {
        return;
    }
    let here = || source.at(container.entry(&["env"]).map_or(container.line, |entry| entry.line));
    let place = settings.place("HTTP_ADDR").unwrap_or_else(here);
    // A proxy beside the service may well be its only client.
    let is_alone = pod.spec.items_at(&["containers"]).len() == 1;
    let level = if is_alone { Level::Error } else { Level::Warning };
    let why = format!("HTTP_ADDR={address} cannot be reached from outside of the pod");
    findings.add(level, Some(place), format!("{why}; {}", everywhere("HTTP_ADDR", address, 8080)));
}

/// The remedy for an address that only the pod itself can reach.
fn everywhere(name: &str, address: &Address, default: u16) -> String {
    let port = address.tcp().map_or(default, |address| address.port());
    format!("give the container {name}=0.0.0.0:{port}")
}
