use std::time::Duration;

use super::*;
use crate::{
    classify::{Class, Counts},
    orders::{Order, Orders, Told, reconcile},
    process::Exit,
    report::Timeline,
    server::Server,
};

/// A stop that went well, and what else came of it.
pub(crate) fn stop(number: u32, more: &[(Class, u64)]) -> Stop {
    let mut counts = Counts::from([(Class::Ok, 2114), (Class::Refused, 64)]);
    counts.extend(more.iter().copied());
    Stop {
        server: Server::Service,
        number,
        seed: 42,
        in_flight: 71,
        counts,
        orders: None,
        not_ready_ms: Some(2.1),
        exit_ms: Some(1630.4),
        exit_code: Some(0),
        report: true,
        faults: Vec::new(),
        doubts: Vec::new(),
        stories: Vec::new(),
        timeline: Timeline::default(),
    }
}

pub(crate) fn control(more: &[(Class, u64)]) -> Stop {
    Stop { server: Server::Naive, not_ready_ms: None, exit_ms: Some(4.2), ..stop(1, more) }
}

fn verdict(stops: &[Stop], control: &Stop) -> (Verdict, Vec<String>) {
    let finding = judge(&Expect::default(), stops, Some(std::slice::from_ref(control)));
    (finding.verdict, finding.reasons)
}

#[test]
fn nothing_lost_and_the_control_caught_is_a_pass_with_its_power() {
    let allowed = [(Class::Rejected, 2), (Class::Farewell, 3), (Class::H2Nack, 4), (Class::DeadlineCut, 0)];
    let stops: Vec<_> = (1..=5).map(|number| stop(number, &allowed)).collect();
    let caught = [control(&[(Class::Lost, 58)])];
    let finding = judge(&Expect::default(), &stops, Some(&caught));
    let power = Power { in_flight: 355, dropped: 0, rate_below: Some(3.0 / 355.0) };
    assert_eq!(finding, Finding { verdict: Verdict::Pass, reasons: Vec::new(), power });
}

#[test]
fn one_failing_request_of_any_class_fails_whatever_else_is_in_doubt() {
    let caught = control(&[(Class::Unseen, 1)]);
    for class in [Class::Lost, Class::Ghost, Class::Unseen, Class::Truncated, Class::Lie, Class::Late] {
        let doubted = Stop { doubts: vec!["too few".into()], ..stop(2, &[]) };
        let (verdict, reasons) = verdict(&[stop(1, &[(class, 1)]), doubted], &caught);
        assert_eq!(verdict, Verdict::Fail, "{class:?}");
        assert_eq!(reasons, [format!("stop 1: 1 {}", class.label()), "stop 2: too few".to_owned()]);
    }
}

#[test]
fn a_fault_of_one_order_and_a_successor_that_does_not_end_well_fail() {
    let caught = control(&[(Class::Unseen, 1)]);
    let placed = [("k", Told::Acknowledged)];
    let orders = |found: &[Order], code| Some(reconcile(placed, found, Some(Exit { at: 0, code })));
    let settled = [Order { key: "k".to_owned(), settlements: 1 }];
    assert_eq!(verdict(&[Stop { orders: orders(&settled, 0), ..stop(1, &[]) }], &caught).0, Verdict::Pass);

    let lost = Stop { orders: orders(&[], 0), ..stop(1, &[]) };
    let unclean = Stop { orders: orders(&settled, 10), ..stop(2, &[]) };
    let (verdict, reasons) = verdict(&[lost, unclean], &caught);
    assert_eq!(verdict, Verdict::Fail);
    assert_eq!(
        reasons,
        [
            "stop 1: orders: 1 acknowledged and lost, the first is k",
            "stop 2: the successor that told the orders ended with code 10"
        ]
    );
}

/// What becomes of a stop by SIGKILL of which `more` is known.
fn killed(more: &[(Class, u64)], orders: Option<Orders>) -> (Verdict, Vec<String>) {
    let expect = Expect {
        exit_code: 137.into(),
        not_ready: false,
        need: [Class::Lost].into(),
        allow: [Class::Ghost, Class::Unseen, Class::Truncated].into(),
        ..Expect::default()
    };
    let killed = Stop { exit_code: Some(137), not_ready_ms: None, orders, ..stop(1, more) };
    let finding = judge(&expect, &[killed], None);
    (finding.verdict, finding.reasons)
}

#[test]
fn c42_losses_that_are_expected_pass_and_their_absence_fails() {
    assert_eq!(killed(&[(Class::Lost, 30), (Class::Truncated, 9)], None), (Verdict::Pass, Vec::new()));
    let (verdict, reasons) = killed(&[(Class::Truncated, 9)], None);
    assert_eq!(verdict, Verdict::Fail);
    let reason = "stop 1: none was lost, though some must be: what cannot be seen is not proven";
    assert_eq!(reasons, [reason]);
}

#[test]
fn c42_whatever_else_goes_wrong_at_a_kill_still_fails() {
    for class in [Class::Lie, Class::Late, Class::BadRejection, Class::Error] {
        let (verdict, reasons) = killed(&[(Class::Lost, 30), (class, 1)], None);
        assert_eq!((verdict, reasons), (Verdict::Fail, vec![format!("stop 1: 1 {}", class.label())]));
    }
    let orders = reconcile([("k", Told::Acknowledged)], &[], Some(Exit { at: 0, code: 0 }));
    let (verdict, reasons) = killed(&[(Class::Lost, 30)], Some(orders));
    assert_eq!(verdict, Verdict::Fail);
    assert_eq!(reasons, ["stop 1: orders: 1 acknowledged and lost, the first is k"]);
}

#[test]
fn a_control_that_is_not_caught_fails() {
    let (verdict, reasons) = verdict(&[stop(1, &[])], &control(&[]));
    assert_eq!(verdict, Verdict::Fail);
    assert_eq!(reasons, ["the control lost nothing: a harness that cannot see a loss proves nothing"]);
}

#[test]
fn a_control_that_could_not_be_stopped_under_load_leaves_the_run_inconclusive() {
    let excused = Stop { doubts: vec!["12 requests were in flight".into()], ..control(&[]) };
    let (verdict, reasons) = verdict(&[stop(1, &[])], &excused);
    assert_eq!(verdict, Verdict::Inconclusive);
    assert_eq!(reasons, ["control 1: 12 requests were in flight"]);
}

#[test]
fn a_wrong_exit_code_and_an_exit_that_never_came_fail() {
    let caught = control(&[(Class::Unseen, 1)]);
    let wrong = Stop { exit_code: Some(10), ..stop(1, &[]) };
    let never = Stop { exit_code: None, exit_ms: None, ..stop(2, &[]) };
    let (verdict, reasons) = verdict(&[wrong, never], &caught);
    assert_eq!(verdict, Verdict::Fail);
    assert_eq!(reasons, ["stop 1: exit code 10, expected 0", "stop 2: the server did not end in time and was killed"]);
}

#[test]
fn c44_readiness_that_never_fails_fails_the_run() {
    let caught = control(&[(Class::Unseen, 3)]);
    let deaf = Stop { not_ready_ms: None, ..stop(1, &[]) };
    assert_eq!(verdict(&[deaf], &caught).0, Verdict::Fail);
}

#[test]
fn doubt_without_failure_is_inconclusive() {
    let caught = control(&[(Class::Unseen, 1)]);
    let doubted = Stop { doubts: vec!["12 requests were in flight".into()], ..stop(1, &[]) };
    assert_eq!(verdict(&[doubted], &caught).0, Verdict::Inconclusive);

    let doubts = vec!["the start took longer than 10s".into()];
    let impossible = Stop { doubts, counts: Counts::new(), exit_code: None, ..stop(1, &[]) };
    assert_eq!(verdict(&[impossible], &caught).0, Verdict::Inconclusive);
}

#[test]
fn an_end_that_is_too_late_too_early_or_without_its_report_fails() {
    let bounds = |from, to| Expect {
        exit_after: Some(Duration::from_millis(from)),
        exit_within: Some(Duration::from_millis(to)),
        ..Expect::default()
    };
    let reasons = |expect: &Expect| judge(expect, &[stop(1, &[])], None).reasons;
    assert_eq!(reasons(&bounds(1600, 1700)), [""; 0]);
    assert_eq!(reasons(&bounds(0, 1500)), ["stop 1: it took 1630 ms to end, expected within 1s 500ms"]);
    assert_eq!(reasons(&bounds(2000, 3000)), ["stop 1: it took 1630 ms to end, expected not before 2s"]);
    let told = |report| reasons(&Expect { report: Some(report), ..Expect::default() });
    assert_eq!(told(true), [""; 0]);
    assert_eq!(told(false), ["stop 1: the service left a report, though it cannot have"]);
}

#[test]
fn a_class_that_is_allowed_is_no_failure_and_one_that_is_needed_must_be_there() {
    let expect = Expect { allow: [Class::Ghost].into(), need: [Class::DeadlineCut].into(), ..Expect::default() };
    let reasons = |more: &[(Class, u64)]| judge(&expect, &[stop(1, more)], None).reasons;
    assert_eq!(reasons(&[(Class::Ghost, 3), (Class::DeadlineCut, 1)]), [""; 0]);
    assert_eq!(reasons(&[(Class::Lost, 1), (Class::DeadlineCut, 1)]), ["stop 1: 1 lost"]);
    let missing = "stop 1: none was at deadline, though some must be: what cannot be seen is not proven";
    assert_eq!(reasons(&[]), [missing]);
}
