//! The negative control: the real service is killed under load, and the checker says what that cost.

mod built;

use chaos::{binaries::Binaries, runner, scenario::Scenario, verdict::Verdict};
use serde_json::Value;

use crate::built::binary;

fn sigkill() -> Scenario {
    Scenario::find("sigkill".as_ref()).expect("it is built in")
}

#[test]
fn c42_sigkill_is_seen_as_lost_requests() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let binaries = Binaries::found([binary("service"), binary("loadtest")], folder.path().into());

    // A machine that stalls makes a run inconclusive, and says nothing of the server.
    let mut runs = (0..3).map(|_| runner::run(&sigkill(), &binaries).expect("nobody interrupts it"));
    let report = runs.find(|report| report.verdict() != Verdict::Inconclusive).expect("one run of three is conclusive");

    assert_eq!(report.verdict(), Verdict::Pass, "{}", report.text());
    let json: Value = serde_json::from_str(&report.json().expect("a report is JSON")).expect("it is JSON");
    let stop = &json["stops"][0];
    assert_eq!(stop["exit_code"], 128 + 9);
    assert!(stop["counts"]["lost"].as_u64() > Some(0), "{stop}");
    if !sigkill().load.is_some_and(|load| load.mix.has_orders()) {
        return; // the service keeps none
    }
    // What a client has no answer to may be there or not. What it was told is there, and settled once.
    let orders = &stop["orders"];
    assert!(orders["acknowledged"].as_u64() > Some(0), "{orders}");
    assert!(orders["found"].as_u64() >= orders["acknowledged"].as_u64(), "{orders}");
    assert_eq!(orders["faults"], serde_json::json!({}), "{orders}");
}
