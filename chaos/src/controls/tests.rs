use std::collections::BTreeMap;

use super::*;
use crate::{classify::Weight, verdict::tests::stop};

fn seen(sign: Sign, stop: &Stop) -> bool {
    let expect = CONTROLS[0].scenario().expect("it is a scenario").expect;
    sign.is_seen(stop, &judge(&expect, std::slice::from_ref(stop), None))
}

#[test]
fn every_class_that_is_not_allowed_has_a_control() {
    let signs: BTreeSet<_> = CONTROLS
        .iter()
        .filter_map(|control| match control.sign {
            Sign::Class(class) => Some(class),
            Sign::Reason(_) => None,
        })
        .collect();
    let wanted: BTreeSet<_> = Class::ALL.into_iter().filter(|class| class.weight() != Weight::Allowed).collect();
    assert_eq!(signs, wanted);
}

#[test]
fn every_control_is_a_scenario_under_a_name_of_its_own() {
    let mut faults = BTreeMap::new();
    for control in CONTROLS {
        let scenario = control.scenario().expect("it is a scenario");
        let fault = scenario.service.get("SABOTAGE").cloned();
        assert_eq!(fault.as_deref(), (control.culprit == Culprit::Service).then_some(control.name));
        assert!(faults.insert(control.name, fault).is_none(), "{} is there twice", control.name);
    }
    assert_eq!(beds(CONTROLS).len(), 6);
}

#[test]
fn a_class_is_a_sign_where_it_keeps_the_run_from_passing() {
    for class in Class::ALL.into_iter().filter(|class| class.weight() != Weight::Allowed) {
        let doubts =
            if class.weight() == Weight::Doubtful { vec!["the ledgers do not agree".to_owned()] } else { Vec::new() };
        let wrong = Stop { doubts, ..stop(1, &[(class, 1)]) };
        assert!(seen(Sign::Class(class), &wrong), "{class:?}");
        assert!(!seen(Sign::Class(class), &stop(1, &[])), "{class:?}");
    }
    assert!(!seen(Sign::Class(Class::Ok), &stop(1, &[])), "a pass is no catch");
}

#[test]
fn a_reason_is_a_sign_where_the_verdict_says_it() {
    let sign = Sign::Reason("exit code 1, expected 0");
    assert!(seen(sign, &Stop { exit_code: Some(1), ..stop(1, &[]) }));
    assert!(!seen(sign, &Stop { exit_code: Some(10), ..stop(1, &[]) }));
    assert!(seen(Sign::Reason("readiness never failed"), &Stop { not_ready_ms: None, ..stop(1, &[]) }));
    assert!(seen(Sign::Reason("did not end in time"), &Stop { exit_code: None, ..stop(1, &[]) }));
}

#[test]
fn one_that_is_not_caught_fails_and_one_that_cannot_be_told_leaves_it_open() {
    let verdict = |outcomes: &[Outcome]| {
        let finding = judge(&CONTROLS[0].scenario().expect("it is a scenario").expect, &[stop(1, &[])], None);
        let rows = outcomes.iter().map(|outcome| {
            let mut row = Row::new("t".into(), "t".into(), "t".into());
            row.add(&finding, *outcome);
            row
        });
        Report::new(String::new(), Vec::new(), rows.collect(), PathBuf::new()).verdict
    };
    assert_eq!(verdict(&[Outcome::Caught, Outcome::Caught]), Verdict::Pass);
    assert_eq!(verdict(&[Outcome::Caught, Outcome::Inconclusive]), Verdict::Inconclusive);
    assert_eq!(verdict(&[Outcome::NotCaught, Outcome::Inconclusive]), Verdict::Fail);
    assert_eq!(verdict(&[Outcome::Passed, Outcome::Failed]), Verdict::Fail);
}

#[test]
fn the_table_says_what_was_to_be_seen_and_what_was() {
    let row = |name: &str, expected: &str, outcome, reasons: &[&str]| {
        let mut row = Row::new(name.into(), "something".into(), expected.into());
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        let power = judge(&crate::scenario::Expect::default(), &[], None).power;
        row.add(&Finding { verdict: Verdict::Fail, reasons, power }, outcome);
        row
    };
    let clean = vec![row("clean-kept", "nothing", Outcome::Passed, &[])];
    let controls = vec![
        row("one", "ghost", Outcome::Caught, &["stop 1: 3 ghost", "stop 1: exit code 1, expected 0"]),
        row("another", "bad rejection", Outcome::NotCaught, &[]),
    ];
    let expected = "
  control     wrong      caught by                    seen
  clean-kept  something  nothing        passed
  one         something  ghost          caught        3 ghost; exit code 1, expected 0
  another     something  bad rejection  NOT CAUGHT
verdict   FAIL   1 of 2 caught as what they are; without a fault 1 of 1 loads passed
reports   there
";
    let report = Report::new(String::new(), clean, controls, "there".into());
    assert_eq!(report.text(), expected.trim_start_matches('\n'));
}
