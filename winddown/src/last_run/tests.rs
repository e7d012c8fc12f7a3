use tempfile::tempdir;

use super::*;

#[test]
fn a_run_that_was_killed_counts_once_and_one_that_ended_well_does_not() {
    let folder = tempdir().expect("there is room");
    let report = folder.path().join("report.json");
    let first = LastRun::look(&report);
    first.begin();
    drop(first);
    let second = LastRun::look(&report);
    assert_eq!(second.unclean_exits, 1, "the kernel let go of the mark");
    drop(second);
    let third = LastRun::look(&report);
    assert_eq!(third.unclean_exits, 1, "the second never ran");
    third.begin();
    third.settle();
    assert!(std::fs::read_dir(folder.path()).expect("it is there").next().is_none(), "nothing stays");
}

#[test]
fn an_instance_that_still_runs_is_no_crash() {
    let folder = tempdir().expect("there is room");
    let report = folder.path().join("report.json");
    let old = LastRun::look(&report);
    old.begin();
    let new = LastRun::look(&report);
    assert_eq!(new.unclean_exits, 0);
    new.begin();
    new.settle();
    drop(old);
    assert_eq!(LastRun::look(&report).unclean_exits, 1, "the mark of the old one is its own");
}

#[test]
fn a_report_that_is_not_understood_is_as_good_as_none() {
    let folder = tempdir().expect("there is room");
    let report = folder.path().join("report.json");
    for text in ["", "{", "[1]", r#"{"schema":2}"#] {
        std::fs::write(&report, text).expect("there is room");
        assert!(LastRun::look(&report).stop.is_none(), "{text}");
    }
}
