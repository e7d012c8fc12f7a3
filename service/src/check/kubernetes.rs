//! Finds the service in a Kubernetes manifest.

use std::{rc::Rc, time::Duration};

use super::{
    Options,
    balancer::Longest,
    finding::{Finding, Level},
    given::Given,
    pod,
    settings::is_known,
    sheet::Sheet,
    source::Source,
    yaml::{self, Node},
};

/// Settings whose names others have, too: alone they make no container ours.
const COMMON: [&str; 2] = ["DATABASE_URL", "LOG_FORMAT"];

/// By aliases, a small file can have billions.
const MOST: usize = 1000;

const READ_TIMEOUT: [&str; 3] = ["metadata", "annotations", "nginx.ingress.kubernetes.io/proxy-read-timeout"];

/// What runs in one pod, wherever it is written.
pub(super) struct Pod {
    /// `Deployment shop/orders`
    pub(super) title: String,
    pub(super) spec: Rc<Node>,
    /// The line of `spec:`.
    pub(super) line: usize,
}

/// A sheet for each pod that runs the service.
pub(super) fn check(source: &Source, options: &Options, flags: &[Given]) -> Vec<Sheet> {
    let refused = |finding| vec![Sheet::refused(source.name.to_string(), finding)];
    let documents = match yaml::load(source) {
        Ok(documents) => documents.iter().flat_map(listed).collect::<Vec<_>>(),
        Err(error) => return refused(error),
    };
    let pods: Vec<_> = documents.iter().filter_map(pod).collect();
    match choose(&pods, options.container.as_deref()) {
        Ok(ours) => {
            let sheet =
                |(pod, container)| pod::check(source, options, flags, pod, container, read_timeout(source, &documents));
            ours.into_iter().map(sheet).collect()
        }
        Err(why) => {
            let text = format!("{}: {why}", source.name);
            refused(Finding { level: Level::Error, place: None, text })
        }
    }
}

/// The items of a `List`, or the document itself.
fn listed(document: &Rc<Node>) -> Vec<Rc<Node>> {
    match document.text_at(&["kind"]) {
        Some("List") => document.items_at(&["items"]).to_vec(),
        _ => vec![document.clone()],
    }
}

fn pod(document: &Rc<Node>) -> Option<Pod> {
    let kind = document.text_at(&["kind"])?;
    let path: &[&str] = match kind {
        "Pod" => &["spec"],
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            &["spec", "template", "spec"]
        }
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => return None,
    };
    let spec = document.entry(path)?;
    let name = document.text_at(&["metadata", "name"]).unwrap_or("(no name)");
    let space = document.text_at(&["metadata", "namespace"]).map(|space| format!("{space}/")).unwrap_or_default();
    Some(Pod { title: format!("{kind} {space}{name}"), spec: spec.value.clone(), line: spec.line })
}

/// The containers that are the service: by their name, by their settings, or because there is no other.
fn choose<'a>(pods: &'a [Pod], wanted: Option<&str>) -> Result<Vec<(&'a Pod, &'a Node)>, String> {
    let of_pod = |pod: &'a Pod| pod.spec.items_at(&["containers"]).iter().map(move |container| (pod, &**container));
    let all: Vec<(&Pod, &Node)> = pods.iter().flat_map(of_pod).take(MOST).collect();
    let told = || {
        all.iter()
            .map(|(pod, container)| format!("{} in {}", name(container), pod.title))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if all.len() == MOST {
        return Err(format!("there are {MOST} containers or more; give the part that runs the service"));
    }
    if all.is_empty() {
        return Err(
            "no Deployment, Pod or the like with a container in it; give the manifest that runs the service".into()
        );
    }
    if let Some(wanted) = wanted {
        let named: Vec<_> = all.iter().copied().filter(|(_, container)| name(container) == wanted).collect();
        let remedy = || format!("no container is named {wanted}; there are {}", told());
        return if named.is_empty() { Err(remedy()) } else { Ok(named) };
    }
    let is_ours = |name: &str| !COMMON.contains(&name) && is_known(name);
    let has_ours = |container: &Node| {
        container.items_at(&["env"]).iter().any(|variable| variable.text_at(&["name"]).is_some_and(is_ours))
    };
    let ours: Vec<_> = all.iter().copied().filter(|(_, container)| has_ours(container)).collect();
    let is_alone = |pod: &Pod| ours.iter().filter(|(other, _)| std::ptr::eq(*other, pod)).count() == 1;
    if ours.is_empty() && all.len() == 1 {
        Ok(all)
    } else if !ours.is_empty() && ours.iter().all(|(pod, _)| is_alone(pod)) {
        Ok(ours)
    } else {
        Err(format!("which container is the service? Say --container NAME; there are {}", told()))
    }
}

pub(super) fn name(container: &Node) -> &str {
    container.text_at(&["name"]).unwrap_or("(no name)")
}

/// The longest silence of an upstream that an Ingress of the manifest allows.
fn read_timeout(source: &Source, documents: &[Rc<Node>]) -> Option<Longest> {
    let longest = |document: &Rc<Node>| {
        let entry = document.entry(&READ_TIMEOUT)?;
        let seconds = entry.value.text()?.parse().ok()?;
        Some(Longest { length: Duration::from_secs(seconds), place: Some(source.at(entry.line)) })
    };
    let ingresses = documents.iter().filter(|document| document.text_at(&["kind"]) == Some("Ingress"));
    ingresses.filter_map(longest).max_by_key(|longest| longest.length)
}
