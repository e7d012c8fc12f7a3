//! Controls that need no fault in the service: the lies of the client's side, and a stock server.
//!
//! `chaos controls` has the others, with a build of the service that a test should not make.

mod built;

use std::path::PathBuf;

use chaos::{
    binaries::Binaries,
    classify::Class,
    controls::{CONTROLS, Control, Culprit, Report, Sign, carry_out},
    server::Server,
    verdict::Verdict,
};

use crate::built::binary;

/// What `controls` come to on a machine that lets them be told: one that stalls leaves a run open, and says nothing of the harness.
fn report(controls: &[Control]) -> Report {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let naive = ("naive".to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_naive")));
    let mut runs = (0..3).map(|_| {
        let binaries = Binaries::found([binary("service"), binary("loadtest"), naive.clone()], folder.path().into());
        carry_out(controls, binaries).expect("nobody interrupts it")
    });
    runs.find(|report| report.verdict != Verdict::Inconclusive).expect("one run of three is conclusive")
}

#[test]
fn lies_and_stock_servers_are_caught_as_what_they_are_and_the_service_passes() {
    let controls: Vec<Control> =
        CONTROLS.iter().filter(|control| control.culprit != Culprit::Service).copied().collect();
    assert_eq!(controls.len(), 4);
    let report = report(&controls);
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.text());
}

#[test]
fn one_that_is_caught_as_something_else_fails() {
    let stock = |control: &&Control| control.culprit == Culprit::Stock(Server::Naive);
    let control = CONTROLS.iter().find(stock).expect("it is one of them");
    let report = report(&[Control { sign: Sign::Class(Class::Late), ..*control }]);
    assert_eq!(report.verdict, Verdict::Fail, "{}", report.text());
    assert!(report.text().contains("NOT CAUGHT"), "{}", report.text());
}
