//! Rolling restarts behind real balancers, short; `chaos roll` makes ten rounds of each.

use std::{
    env,
    io::{self, Write},
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use chaos::{
    binaries::{Binaries, package},
    roll::{self, Balancer, Options},
    verdict::Verdict,
};

/// The binary of the package in the folder `name`: beside this test, where a test of the whole workspace has just built it, or
/// else built now. A test of this package alone takes the one that is there.
fn binary(name: &str) -> (String, PathBuf) {
    let here = env::current_exe().expect("a test knows its own binary");
    let profile = here.parent().and_then(Path::parent).expect("a test lies in the folder deps of its profile's");
    let package = package(name).expect("it is in the workspace");
    let path = profile.join(&package);
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--package", &package, "--bin", &package, "--target-dir"]);
        build.arg(profile.parent().expect("a profile lies in the target folder"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo can be started");
        assert!(status.success() && path.exists(), "cargo build has not made {}", path.display());
    }
    (name.to_owned(), path)
}

/// Whether `balancer` is there; with `REQUIRE_REAL_PARTS=1` it must be.
fn is_installed(balancer: Balancer) -> bool {
    let part = format!("{}, of {}", balancer.program(), balancer.package());
    let required = env::var_os("REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
    let found = balancer.find().is_some();
    assert!(found || !required, "REQUIRE_REAL_PARTS is 1, and this needs {part}");
    if !found {
        // Past the test harness, which shows nothing of a test that passes.
        let test = thread::current().name().unwrap_or_default().to_owned();
        let _ = io::stderr().write_all(format!("{test} is skipped: it needs {part}\n").as_bytes());
    }
    found
}

/// Two instances, restarted twice each, and a control that shows that the harness can see a loss.
fn roll_behind(balancer: Balancer) {
    if !is_installed(balancer) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let naive = ("naive".to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_naive")));
    let binaries = Binaries::found([binary("service"), binary("loadtest"), naive], folder.path().into());
    let rounds = NonZeroU32::MIN.saturating_add(1);
    let options = Options { behind: vec![balancer], rounds, instances: 2, seed: 42 };

    let report = roll::run(&options, &binaries).expect("nobody interrupts it");
    assert_eq!(report.verdict(), Verdict::Pass, "{}", report.text());
    let behind = &report.behind()[0];
    assert_eq!((behind.service.restarts, behind.control.restarts), (4, 4));
    assert!(behind.service.at_risk > 0 && behind.control.lost() > 0, "{}", report.text());
}

#[test]
fn c47_rolling_restart_behind_haproxy_fails_no_request() {
    roll_behind(Balancer::Haproxy);
}

#[test]
fn c47_rolling_restart_behind_nginx_fails_no_request() {
    roll_behind(Balancer::Nginx);
}

#[test]
fn c47_rolling_restart_behind_envoy_fails_no_request() {
    roll_behind(Balancer::Envoy);
}
