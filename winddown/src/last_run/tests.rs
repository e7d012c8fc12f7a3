use tempfile::{TempDir, tempdir};

use super::*;

/// Where a report may lie.
fn place() -> (TempDir, PathBuf) {
    let folder = tempdir().expect("there is room");
    let report = folder.path().join("report.json");
    (folder, report)
}

#[test]
fn a_run_that_was_killed_counts_once_and_one_that_ended_well_does_not() {
    let (folder, report) = place();
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
    let (_folder, report) = place();
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
fn a_mark_that_was_taken_away_is_nobodys() {
    let (_folder, report) = place();
    let old = LastRun::look(&report);
    old.begin();
    let path = &old.marker.as_ref().expect("it may mark").path;
    let opened = File::open(path).expect("it is marked");
    assert!(!is_ours(&opened), "it is held");
    old.settle();
    assert!(!is_ours(&opened), "whoever opened it before it went must not count it");
}

#[test]
fn a_report_that_is_not_understood_is_as_good_as_none() {
    let (_folder, report) = place();
    for text in ["", "{", "[1]", r#"{"schema":2}"#] {
        std::fs::write(&report, text).expect("there is room");
        assert!(LastRun::look(&report).stop.is_none(), "{text}");
    }
}
