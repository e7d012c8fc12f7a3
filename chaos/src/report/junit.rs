//! `junit.xml`: a test case for each stop, so that whatever shows tests shows stops.

use quick_junit::{NonSuccessKind, Report as Suites, TestCase, TestCaseStatus, TestSuite};

use super::{Report, TOLD};
use crate::{
    stop::Stop,
    verdict::{Verdict, judge},
};

/// The whole run as one suite: its stops, and its control if it has one.
pub(super) fn junit(report: &Report) -> anyhow::Result<String> {
    let mut suite = TestSuite::new(&report.scenario);
    for stop in &report.stops {
        let finding = judge(&report.expect, std::slice::from_ref(stop), None);
        suite.add_test_case(case(report, &format!("stop {}", stop.number), &[stop], finding.verdict, &finding.reasons));
    }
    if let Some(control) = &report.control {
        // What the stops are blamed for is told by their own cases.
        let finding = judge(&report.expect, &[], Some(&control.stops));
        let stops: Vec<_> = control.stops.iter().collect();
        let name = format!("control: {}", control.server);
        suite.add_test_case(case(report, &name, &stops, finding.verdict, &finding.reasons));
    }
    let mut suites = Suites::new("chaos");
    suites.add_test_suite(suite);
    Ok(suites.to_string()?)
}

fn case(report: &Report, name: &str, stops: &[&Stop], verdict: Verdict, reasons: &[String]) -> TestCase {
    let status = match verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(&report.scenario);
    case.set_time(std::time::Duration::from_secs_f64(stops.iter().filter_map(|stop| stop.exit_ms).sum::<f64>() / 1e3));
    if verdict != Verdict::Pass {
        let stories = stops.iter().flat_map(|stop| &stop.stories).take(TOLD).map(ToString::to_string);
        let description: Vec<_> = reasons.iter().cloned().chain(stories).collect();
        case.status.set_type(verdict.as_str()).set_message(reasons.join("; ")).set_description(description.join("\n"));
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{classify::Class, report::tests::report, story::tests::story, verdict::tests::stop};

    fn read_back(stops: Vec<Stop>) -> Suites {
        let xml = junit(&report("", stops)).expect("it is XML");
        Suites::deserialize_from_str(&xml).expect("it reads back")
    }

    #[test]
    fn a_stop_that_lost_something_is_a_failure_and_one_that_cannot_tell_an_error() {
        let lost = Stop { stories: vec![story("<&]]>\u{1b}", Class::Lost)], ..stop(1, &[(Class::Lost, 1)]) };
        let doubted = Stop { doubts: vec!["too few".to_owned()], ..stop(2, &[]) };
        let suites = read_back(vec![lost, doubted, stop(3, &[])]);
        let suite = &suites.test_suites[0];
        assert_eq!((suite.tests, suite.failures, suite.errors), (3, 1, 1));
        let told: Vec<_> = suite
            .test_cases
            .iter()
            .map(|case| match &case.status {
                TestCaseStatus::NonSuccess { message, .. } => {
                    (case.name.as_str(), message.as_ref().map(|message| message.as_str().to_owned()))
                }
                TestCaseStatus::Success { .. } | TestCaseStatus::Skipped { .. } => (case.name.as_str(), None),
            })
            .collect();
        let expected = [
            ("stop 1", Some("stop 1: 1 lost".to_owned())),
            ("stop 2", Some("stop 2: too few".to_owned())),
            ("stop 3", None),
        ];
        assert_eq!(told, expected);
    }
}
