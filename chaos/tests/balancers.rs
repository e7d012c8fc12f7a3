//! Rolling restarts behind real balancers, short; `chaos roll` makes ten rounds of each.

mod built;
mod parts;

use std::{num::NonZeroU32, path::PathBuf};

use chaos::{
    binaries::Binaries,
    roll::{self, Balancer, Options},
    verdict::Verdict,
};

use crate::{built::binary, parts::program};

/// Two instances, restarted twice each, and a control that shows that the harness can see a loss.
fn roll_behind(balancer: Balancer) {
    if program(balancer.program(), balancer.package()).is_none() {
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
