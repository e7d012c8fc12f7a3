//! Controls that need no fault in the service: the lies of the client's side, and a stock server.
//!
//! `chaos controls` has the others, with a build of the service that a test should not make.

mod built;

use std::path::PathBuf;

use chaos::{
    binaries::Binaries,
    controls::{CONTROLS, Control, Culprit, carry_out},
    verdict::Verdict,
};

use crate::built::binary;

#[test]
fn lies_and_stock_servers_are_caught_as_what_they_are_and_the_service_passes() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let naive = ("naive".to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_naive")));
    let controls: Vec<Control> =
        CONTROLS.iter().filter(|control| control.culprit != Culprit::Service).copied().collect();
    assert_eq!(controls.len(), 4);

    // A machine that stalls leaves a run open, and says nothing of the harness.
    let mut runs = (0..3).map(|_| {
        let binaries = Binaries::found([binary("service"), binary("loadtest"), naive.clone()], folder.path().into());
        carry_out(&controls, binaries).expect("nobody interrupts it")
    });
    let report = runs.find(|report| report.verdict != Verdict::Inconclusive).expect("one run of three is conclusive");
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.text());
}
