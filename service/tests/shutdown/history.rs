//! What a start tells of the run before it.

use crate::harness::{PATIENCE, Service, Settings, Signal};

/// A service whose report lies where the next one looks for it.
fn start(report: &str, settings: Settings<'_>) -> Service {
    Service::start(&[&[("SHUTDOWN_REPORT", report)][..], settings].concat())
}

#[test]
fn a_start_tells_how_the_last_stop_went_and_how_many_runs_were_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let report = folder.path().join("report.json").display().to_string();
    let stop = |mut service: Service, code| {
        service.signal(Signal::TERM);
        service.expect_exit(code);
    };
    let info = |outcome: &str| {
        format!("last_shutdown_info{{outcome=\"{outcome}\",cause=\"TERM\",version=\"{}\"}}", env!("CARGO_PKG_VERSION"))
    };
    let first = start(&report, &[]);
    assert_eq!((first.metric("unclean_exits_total"), first.metric("last_shutdown_timestamp_seconds")), (Some(0), None));
    stop(first, 0);

    let mut second = start(&report, &[]);
    assert_eq!((second.metric(&info("clean")), second.metric("unclean_exits_total")), (Some(1), Some(0)));
    second.signal(Signal::KILL);
    assert_eq!(second.wait_exit(PATIENCE).status.code(), None);

    let third = start(&report, &[("DRAIN_TIMEOUT", "300ms")]);
    assert_eq!((third.metric(&info("clean")), third.metric("unclean_exits_total")), (Some(1), Some(1)));
    let cut = third.in_flight("/fault/never", "never");
    stop(third, 10);
    drop(cut);

    let fourth = start(&report, &[]);
    let aborted = fourth.metric("last_shutdown_requests{outcome=\"aborted\"}");
    assert_eq!((fourth.metric(&info("cut")), aborted), (Some(1), Some(1)));
    assert_eq!(fourth.metric("unclean_exits_total"), Some(1), "a count outlives a stop in good order");
}
