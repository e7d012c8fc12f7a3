//! What the flush costs a stop, and what its hooks say.

use std::time::Duration;

use crate::harness::{Exit, Service, Signal};

/// What a loaded machine may add to a stop.
const SLACK: Duration = Duration::from_secs(1);

/// Stops it with one request in flight, which is answered.
pub(crate) fn stop(service: &mut Service, code: i32) -> Exit {
    let mut work = service.in_flight("/work/200", "during");
    service.signal(Signal::TERM);
    assert_eq!(work.response().expect("it finishes").status, 200);
    drop(work);
    service.expect_exit(code)
}

/// Beyond the same stop with nothing to flush.
pub(crate) fn assert_costs_no_more_than(budget: Duration, exit: &Exit) {
    let without = stop(&mut Service::start(&[]), 0).after;
    assert!(exit.after <= without + budget + SLACK, "{:?}, with nothing to flush {without:?}", exit.after);
}

/// The error of a hook of the flush, as the report has it.
pub(crate) fn error(service: &Service, name: &str) -> String {
    let report = service.report();
    let hooks = report["hooks"].as_array().expect("a report has hooks").clone();
    let hook = hooks.into_iter().find(|hook| hook["hook"] == name).expect("it ran");
    assert_eq!((hook["phase"].as_str(), hook["outcome"].as_str()), (Some("flush"), Some("error")), "{hook}");
    hook["message"].as_str().expect("an error has a message").to_owned()
}
