//! `deploy/compose`, which shows the dashboards: what can be checked of it without Docker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{dashboard::datasource, files, rules::parts};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/compose");

/// Where Prometheus finds the rules in its container.
const RULES: &str = "/etc/prometheus/rules";

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What is mounted from here: the file or folder, and where it is in the container.
fn mounts() -> Vec<(PathBuf, String)> {
    let compose = text("compose.yaml");
    let mounts = compose.lines().filter_map(|line| line.trim().strip_prefix("- .")?.strip_suffix(":ro"));
    let mounts = mounts.map(|mount| mount.split_once(':').expect("a source and a target"));
    mounts.map(|(source, target)| (Path::new(FOLDER).join(format!(".{source}")), target.to_owned())).collect()
}

/// The service of `compose.yaml` with this name.
fn service(name: &str) -> String {
    let compose = text("compose.yaml");
    let (_, rest) = compose.split_once(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("no service {name}"));
    rest.lines().take_while(|line| line.is_empty() || line.starts_with("   ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn everything_that_is_mounted_is_there_and_in_its_place() {
    let mounts = mounts();
    for (source, _) in &mounts {
        assert!(source.exists(), "{}", source.display());
    }
    let is_mounted = |target: &str| mounts.iter().any(|(_, mounted)| mounted == target);
    assert!(is_mounted(RULES) && text("prometheus.yml").contains(&format!("- {RULES}/*.yml")));
    let provider = text("grafana/provisioning/dashboards/winddown.yaml");
    let folder = provider.lines().find_map(|line| line.trim().strip_prefix("path: ")).expect("a provider has a path");
    for (file, _) in files() {
        assert!(is_mounted(&format!("{folder}/{file}")), "{file}");
    }
}

#[test]
fn containers_find_each_other_and_nobody_else_finds_them() {
    let (of_the_service, of_prometheus) = (service("service"), service("prometheus"));
    for listens in ["HTTP_ADDR: 0.0.0.0:8080", "ADMIN_ADDR: 0.0.0.0:9090"] {
        assert!(of_the_service.contains(listens), "on its own loopback nobody reaches it: {of_the_service}");
    }
    assert!(text("prometheus.yml").contains(r#"targets: ["service:9090"]"#));
    let source = text("grafana/provisioning/datasources/prometheus.yaml");
    assert!(source.contains("url: http://prometheus:9090") && of_prometheus.contains(":9090"), "{source}");
    assert!(source.contains(&format!("type: {}", datasource()["type"].as_str().expect("text"))), "{source}");
    for name in ["service", "prometheus", "grafana"] {
        let service = service(name);
        let (_, ports) = service.split_once("ports:\n").expect("each is to be looked at");
        let ports: Vec<_> = ports.lines().map_while(|line| line.trim().strip_prefix("- ")).collect();
        assert!(!ports.is_empty() && ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{name}: {ports:?}");
    }
}

#[test]
fn what_belongs_together_is_one_number() {
    let (service, docker) = (service("service"), text("../Dockerfile"));
    for setting in ["stop_grace_period: ${GRACE_PERIOD:-30s}", "GRACE_PERIOD: ${GRACE_PERIOD:-30s}", "init: false"] {
        assert!(service.contains(setting), "{setting} is not in {service}");
    }
    // The exec form: a shell in between would keep the signal to itself.
    assert!(docker.contains("\nENTRYPOINT [\"") && docker.contains("\nSTOPSIGNAL SIGTERM\n"), "{docker}");
    let interval = "5s";
    assert!(text("prometheus.yml").contains(&format!("scrape_interval: {interval}")));
    assert!(text("grafana/provisioning/datasources/prometheus.yaml").contains(&format!("timeInterval: {interval}")));
    let flush = service
        .lines()
        .find_map(|line| line.trim().strip_prefix("FLUSH_TIMEOUT: ")?.strip_suffix('s')?.parse::<f64>().ok());
    assert!(flush.is_some_and(|flush| flush > 5.0 * 1.25), "too short to wait for a scrape: {flush:?}");
}

#[test]
fn prometheus_takes_its_configuration() {
    let Some(promtool) = parts::program("promtool", "prometheus") else { return };
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let file = std::env::temp_dir().join(format!("winddown-prometheus-{}.yml", std::process::id()));
    fs::write(&file, text("prometheus.yml").replace(RULES, here)).expect("there is room for a file");
    let said = Command::new(promtool).args(["check", "config"]).arg(&file).output().expect("it runs");
    fs::remove_file(&file).expect("it was written");
    let text = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(said.status.success() && text.contains("3 rule files found"), "{text}");
}
