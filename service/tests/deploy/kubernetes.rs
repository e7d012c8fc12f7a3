//! The manifests: what they grant, what they ask for, and that each is among those that are applied.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{NAME, changed, check, parts::program, path, run, text};

const DEPLOYMENT: &str = "kubernetes/base/deployment.yaml";
const JOB: &str = "kubernetes/loadtest/job.yaml";
const POD_MONITOR: &str = "kubernetes/monitoring/pod-monitor.yaml";
const SCRAPE: &str = "kubernetes/monitoring/prometheus.yml";
const DASHBOARDS: &str = "../dashboards";
/// What is applied: each a folder with a kustomization.
const APPLIED: [&str; 3] = ["kubernetes/base", "kubernetes/loadtest", "kubernetes/monitoring"];

/// The names in a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> BTreeSet<String> {
    let entries = fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries.map(|entry| entry.expect("it can be read").file_name().into_string().expect("names are text"));
    names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect()
}

/// The files that a kustomization lists, and folders by their path.
fn listed(folder: &str) -> BTreeSet<String> {
    let text = text(&format!("{folder}/kustomization.yaml"));
    let items = text.lines().filter_map(|line| line.trim().strip_prefix("- "));
    items.filter(|item| !item.contains(": ")).map(str::to_owned).collect()
}

/// The value behind a key, wherever it first stands.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let found =
        text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("there is no {key}"))
}

/// The value of a setting of the service.
fn setting<'a>(deployment: &'a str, name: &str) -> &'a str {
    let (_, rest) = deployment.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("there is no {name}"));
    value(rest, "value")
}

fn seconds(text: &str) -> f64 {
    text.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text} are no seconds"))
}

#[test]
fn the_deployment_leaves_a_stop_its_time_and_each_probe_asks_its_own() {
    let deployment = text(DEPLOYMENT);
    let (is_right, said) = check("--kubernetes", &deployment);
    assert!(is_right, "{said}");
    for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/livez"), ("startupProbe", "/startupz")] {
        assert!(said.contains(&format!("{probe} asks {path}")), "{said}");
    }
    let pre_stop = "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n          ports:\n";
    for (from, to) in [
        ("terminationGracePeriodSeconds: 40", "terminationGracePeriodSeconds: 39"),
        ("path: /livez", "path: /readyz"),
        ("port: admin", "port: http"),
        ("          ports:\n", pre_stop),
    ] {
        let (is_right, said) = check("--kubernetes", &changed(&deployment, from, to));
        assert!(!is_right, "{to}:\n{said}");
    }
    let granted = format!("{}s", value(&deployment, "terminationGracePeriodSeconds"));
    assert_eq!(granted, setting(&deployment, "GRACE_PERIOD"), "what is granted and what is spent are one number");
}

#[test]
fn a_last_scrape_finds_the_service_in_its_flush() {
    let (monitor, scrape) = (text(POD_MONITOR), text(SCRAPE));
    assert_eq!(value(&monitor, "interval"), value(&scrape, "scrape_interval"));
    assert_eq!(value(&monitor, "scrapeTimeout"), value(&scrape, "scrape_timeout"));
    let flush = seconds(setting(&text(DEPLOYMENT), "FLUSH_TIMEOUT"));
    assert!(flush > 1.25 * seconds(value(&monitor, "interval")), "{flush} s are too short to wait for a scrape");
}

#[test]
fn every_manifest_is_listed_and_every_name_in_a_list_is_one() {
    for folder in APPLIED {
        let mut listed = listed(folder);
        if folder.ends_with("monitoring") {
            assert!(listed.remove("../../../dashboards"), "{listed:?}");
        }
        let mut manifests = files(folder, &[".yaml"]);
        manifests.remove("kustomization.yaml");
        assert_eq!(listed, manifests, "{folder}");
    }
    let rules = files(&format!("{DASHBOARDS}/rules"), &[".yml"]).into_iter().map(|name| format!("rules/{name}"));
    let expected: BTreeSet<_> = files(DASHBOARDS, &[".json"]).into_iter().chain(rules).collect();
    assert_eq!(listed(DASHBOARDS), expected);
}

#[test]
fn what_finds_a_pod_by_its_labels_and_ports_finds_it() {
    let deployment = text(DEPLOYMENT);
    let label = format!("app.kubernetes.io/name: {NAME}");
    assert_eq!(deployment.matches(&label).count(), 5, "its own, its selector, its pod's, and two that spread it");
    for port in ["- name: http\n", "- name: admin\n"] {
        assert!(deployment.contains(port), "{port}");
    }
    for (file, word) in [
        ("kubernetes/base/service.yaml", "targetPort: http"),
        ("kubernetes/base/pod-disruption-budget.yaml", "maxUnavailable: 1"),
        ("kubernetes/base/network-policy.yaml", "port: admin"),
        (POD_MONITOR, "port: admin"),
        (POD_MONITOR, "jobLabel: app.kubernetes.io/name"),
    ] {
        let text = text(file);
        assert!(text.contains(word) && text.matches(&label).count() >= 2, "{file} has no {word}, or misses the pods");
    }
    let scrape = text(SCRAPE);
    assert!(
        scrape.contains(&format!("label: app.kubernetes.io/name={NAME}\n")) && scrape.contains("regex: admin"),
        "{scrape}"
    );
}

/// What Kubernetes asks of a namespace whose pods are `restricted`.
#[test]
fn no_pod_has_more_rights_than_it_needs() {
    for file in [DEPLOYMENT, JOB] {
        let text = text(file);
        for word in [
            "runAsNonRoot: true",
            "allowPrivilegeEscalation: false",
            "drop: [ALL]",
            "type: RuntimeDefault",
            "readOnlyRootFilesystem: true",
            "automountServiceAccountToken: false",
        ] {
            assert!(text.contains(word), "{file}: no {word}");
        }
    }
}

#[test]
fn what_kustomize_renders_is_what_kubernetes_knows_and_a_field_that_it_does_not_is_found() {
    let Some(kubectl) = program("kubectl", "kubectl") else { return };
    let Some(validate) = program("kubernetes-validate", "kubernetes-validate of PyPI") else { return };
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let validated = |manifests: &str| {
        fs::write(file.path(), manifests).expect("the file is ours");
        let mut command = Command::new(&validate);
        command.arg("--strict").arg(file.path());
        run(command, "")
    };
    let rendered = APPLIED.map(|folder| {
        let mut command = Command::new(&kubectl);
        command.arg("kustomize").arg(path(folder));
        let (is_rendered, manifests) = run(command, "");
        assert!(is_rendered, "{folder}: {manifests}");
        let (is_valid, said) = validated(&manifests);
        assert!(is_valid, "{folder}: {said}");
        // Its schemas are those of Kubernetes alone.
        let unknown = said.lines().filter(|line| line.contains("find schema"));
        assert!(unknown.into_iter().all(|line| line.contains("kind PodMonitor")), "{folder}: {said}");
        manifests
    });
    let (is_right, said) = check("--kubernetes", &rendered.join("---\n"));
    assert!(is_right && said.contains(&format!("Deployment {NAME}, container {NAME}")), "{said}");
    let (is_valid, said) = validated(&changed(&rendered[0], "maxSurge: 1", "maxSurges: 1"));
    assert!(!is_valid && said.contains("maxSurges"), "{said}");
}
