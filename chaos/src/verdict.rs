//! What a run came to: a pure function of what its stops came to.

use serde::Serialize;

use crate::{classify::Weight, scenario::Expect, server::Server, stop::Stop};

/// The word at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was lost, and the run could have shown it.
    Pass,
    /// The run cannot tell.
    Inconclusive,
    /// Something was lost, or the harness cannot see losses.
    Fail,
}

/// The verdict and its grounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The word.
    pub verdict: Verdict,
    /// Why it is not `pass`.
    pub reasons: Vec<String>,
    /// How much a `pass` is worth.
    pub power: Power,
}

/// How much the run could have seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Power {
    /// Requests in flight at a signal, over all stops.
    pub in_flight: u64,
    /// Requests that were dropped, over all stops.
    pub dropped: u64,
    /// With none dropped, the rate is below this (95 %).
    pub rate_below: Option<f64>,
}

/// Judges the stops of a scenario, and those of its control if it has one.
pub fn judge(expect: &Expect, stops: &[Stop], control: Option<&[Stop]>) -> Finding {
    let mut failures: Vec<_> = stops.iter().flat_map(|stop| failures(expect, stop)).collect();
    let mut doubts: Vec<_> = stops.iter().flat_map(|stop| doubts_of("stop", stop)).collect();
    if let Some(control) = control.filter(|control| !is_caught(control)) {
        let excuses: Vec<_> = control.iter().flat_map(|stop| doubts_of("control", stop)).collect();
        if excuses.is_empty() {
            failures.push("the control lost nothing: a harness that cannot see a loss proves nothing".to_owned());
        }
        doubts.extend(excuses);
    }
    let verdict = match (failures.is_empty(), doubts.is_empty()) {
        (false, _) => Verdict::Fail,
        (true, false) => Verdict::Inconclusive,
        (true, true) => Verdict::Pass,
    };
    failures.append(&mut doubts);
    Finding { verdict, reasons: failures, power: Power::of(stops) }
}

/// Whether a control showed the losses that it is there to show.
pub fn is_caught(control: &[Stop]) -> bool {
    control.iter().any(|stop| stop.dropped() > 0)
}

fn failures(expect: &Expect, stop: &Stop) -> Vec<String> {
    let mut failures = Vec::new();
    let failing: Vec<_> = stop.counts_of(Weight::Failing).map(|(class, n)| format!("{n} {}", class.label())).collect();
    if !failing.is_empty() {
        failures.push(of(stop, &failing.join(", ")));
    }
    match stop.exit_code {
        Some(code) if code == expect.exit_code => {}
        Some(code) => failures.push(of(stop, &format!("exit code {code}, expected {}", expect.exit_code))),
        // A stop that could not be carried out has no counts either; its doubt says why.
        None if stop.counts.is_empty() => {}
        None => failures.push(of(stop, "the server did not end in time and was killed")),
    }
    if stop.exit_code.is_some() && stop.server == Server::Service && stop.not_ready_ms.is_none() {
        failures.push(of(stop, "readiness never failed: a balancer would have gone on sending"));
    }
    failures
}

fn doubts_of(what: &str, stop: &Stop) -> impl Iterator<Item = String> {
    stop.doubts.iter().map(move |doubt| format!("{what} {}: {doubt}", stop.number))
}

fn of(stop: &Stop, what: &str) -> String {
    format!("stop {}: {what}", stop.number)
}

impl Power {
    fn of(stops: &[Stop]) -> Self {
        let in_flight = stops.iter().map(|stop| stop.in_flight).sum();
        let dropped = stops.iter().map(Stop::dropped).sum();
        // The rule of three: none in n bounds the rate at 3 / n.
        let rate_below = (dropped == 0 && in_flight > 3).then(|| 3.0 / in_flight as f64);
        Self { in_flight, dropped, rate_below }
    }
}

impl Verdict {
    /// The exit code that stands for it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 2,
        }
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        classify::{Class, Counts},
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
            not_ready_ms: Some(2.1),
            exit_ms: Some(1630.4),
            exit_code: Some(0),
            doubts: Vec::new(),
            stories: Vec::new(),
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
        assert_eq!(
            reasons,
            ["stop 1: exit code 10, expected 0", "stop 2: the server did not end in time and was killed"]
        );
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
}
