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

fn report(controls: &[Control]) -> Report {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let naive = ("naive".to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_naive")));
    let binaries = Binaries::found([binary("service"), binary("loadtest"), naive], folder.path().into());
    carry_out(controls, binaries).expect("nobody interrupts it")
}

#[test]
fn the_lies_of_the_clients_side_are_caught_as_what_they_are() {
    let lies = CONTROLS.iter().filter(|control| matches!(control.culprit, Culprit::Client(_)));
    let report = report(&lies.copied().collect::<Vec<_>>());
    // A machine that stalls may leave the clean run open, and says nothing of the lies.
    assert_ne!(report.verdict, Verdict::Fail, "{}", report.text());
    assert!(report.text().contains("2 of 2 caught"), "{}", report.text());
}

#[test]
fn one_that_is_caught_as_something_else_is_not_caught() {
    let stock = |control: &&Control| control.culprit == Culprit::Stock(Server::Naive);
    let control = CONTROLS.iter().find(stock).expect("it is one of them");
    let report = report(&[Control { sign: Sign::Class(Class::Late), ..*control }]);
    assert_ne!(report.verdict, Verdict::Pass, "{}", report.text());
    assert!(report.text().contains("0 of 1 caught"), "{}", report.text());
}
