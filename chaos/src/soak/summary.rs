//! What a soak has come to so far.

use std::fmt::Write;

use super::{Until, journal::Line};
use crate::{scenario::Scenario, verdict::Verdict};

/// So many stops that did not go well are told.
const TOLD: usize = 10;

/// What a soak has come to.
#[derive(Debug)]
pub struct Summary {
    scenario: String,
    what: String,
    load: String,
    until: Until,
    last: u32,
    conclusive: u32,
    inconclusive: u32,
    at_risk: u64,
    requests: u64,
    dropped: u64,
    exits: Vec<f64>,
    not_ready: Vec<f64>,
    bad: Vec<(u32, Verdict, String)>,
}

impl Summary {
    pub(super) fn of(scenario: &Scenario, until: Until, lines: &[Line]) -> Self {
        let mut summary = Self {
            scenario: scenario.name.as_ref().to_owned(),
            what: scenario.what.clone(),
            load: scenario.load_in_words(),
            until,
            last: 0,
            conclusive: 0,
            inconclusive: 0,
            at_risk: 0,
            requests: 0,
            dropped: 0,
            exits: Vec::new(),
            not_ready: Vec::new(),
            bad: Vec::new(),
        };
        for line in lines {
            summary.add(line);
        }
        summary
    }

    pub(super) fn add(&mut self, line: &Line) {
        self.last = self.last.max(line.number);
        if line.verdict != Verdict::Pass {
            self.bad.push((line.number, line.verdict, line.reasons.join("; ")));
        }
        if line.verdict == Verdict::Inconclusive {
            self.inconclusive += 1;
            return;
        }
        self.conclusive += 1;
        self.at_risk += line.in_flight;
        self.requests += line.counts.values().sum::<u64>();
        self.dropped += line.dropped;
        self.exits.extend(line.exit_ms);
        self.not_ready.extend(line.not_ready_ms);
    }

    pub(super) const fn next_number(&self) -> u32 {
        self.last + 1
    }

    pub(super) const fn has_enough(&self) -> bool {
        self.conclusive >= self.until.stops && self.at_risk >= self.until.at_risk
    }

    /// In a few words, for whoever waits.
    pub(super) fn so_far(&self) -> String {
        format!("{} at risk, {} lost, {} inconclusive", self.at_risk, self.dropped, self.inconclusive)
    }

    /// The verdict on all its stops: one that failed is enough, and less than what was wanted proves less.
    pub fn verdict(&self) -> Verdict {
        if self.bad.iter().any(|(_, verdict, _)| *verdict == Verdict::Fail) {
            Verdict::Fail
        } else if self.has_enough() {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }
    }

    /// For the screen and for `soak.md`.
    pub fn markdown(&self) -> String {
        let Self { scenario, what, load, conclusive, inconclusive, at_risk, requests, dropped, .. } = self;
        let bound = match (dropped, at_risk) {
            // The rule of three: none in n bounds the rate at 3 / n.
            (0, 4..) => format!("95 %: fewer than 1 in {}", at_risk / 3),
            (0, _) => "too few to say anything".to_owned(),
            (lost, all) => format!("1 in {:.0}", *all as f64 / *lost as f64),
        };
        let mut text = format!(
            "# Soak of {scenario}: {}\n\n{what}; {load}.\n\n\
             | | |\n|---|--:|\n\
             | stops | {conclusive} |\n\
             | stops that could not tell | {inconclusive} |\n\
             | requests | {requests} |\n\
             | requests at risk: in flight at a signal | {at_risk} |\n\
             | lost | {dropped} |\n\
             | rate of losses | {bound} |\n\
             | signal to exit, median and longest | {} |\n\
             | signal to not ready, median and longest | {} |\n",
            self.verdict().as_str(),
            spread(&self.exits),
            spread(&self.not_ready),
        );
        if !self.has_enough() {
            let Until { stops, at_risk, .. } = self.until;
            let _ =
                write!(text, "\nWanted are {stops} stops with {at_risk} requests at risk: the same command goes on.\n");
        }
        if !self.bad.is_empty() {
            text += "\n| stop | verdict | why |\n|--:|---|---|\n";
        }
        for (number, verdict, why) in self.bad.iter().take(TOLD) {
            let _ = writeln!(text, "| {number} | {} | {why} |", verdict.as_str());
        }
        if let Some(more) = self.bad.len().checked_sub(TOLD).filter(|more| *more > 0) {
            let _ = write!(text, "\nand {more} more, in `soak.jsonl`\n");
        }
        text
    }
}

fn spread(times: &[f64]) -> String {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => format!("{median:.0} ms, {longest:.0} ms"),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::classify::{Class, Counts};

    fn line(number: u32, verdict: Verdict, dropped: u64) -> Line {
        let reasons = if verdict == Verdict::Pass { vec![] } else { vec![format!("stop {number}: why")] };
        let counts = Counts::from([(Class::Ok, 1000), (Class::Lost, dropped)]);
        let (not_ready_ms, exit_ms) = (Some(2.0), Some(500.0 + f64::from(number)));
        Line { number, verdict, reasons, in_flight: 100, dropped, counts, not_ready_ms, exit_ms }
    }

    fn summary(lines: &[Line]) -> Summary {
        let until = Until { stops: 2, at_risk: 200, time: Duration::ZERO };
        Summary::of(&Scenario::find("soak".as_ref()).expect("it is built in"), until, lines)
    }

    #[test]
    fn stops_that_cannot_tell_count_for_nothing_and_one_that_fails_for_all() {
        let (pass, fail, doubt) = (Verdict::Pass, Verdict::Fail, Verdict::Inconclusive);
        let enough = summary(&[line(1, pass, 0), line(2, doubt, 0), line(3, pass, 0)]);
        assert_eq!((enough.verdict(), enough.at_risk, enough.next_number()), (pass, 200, 4));
        assert!(enough.markdown().contains("| rate of losses | 95 %: fewer than 1 in 66 |"), "{}", enough.markdown());
        assert!(enough.markdown().contains("| 2 | INCONCLUSIVE | stop 2: why |"), "{}", enough.markdown());

        assert_eq!(summary(&[line(1, pass, 0), line(2, doubt, 0)]).verdict(), doubt);
        let lost = summary(&[line(1, pass, 0), line(2, fail, 4), line(3, pass, 0)]);
        assert_eq!(lost.verdict(), fail);
        assert!(lost.markdown().contains("| rate of losses | 1 in 75 |"), "{}", lost.markdown());
    }
}
