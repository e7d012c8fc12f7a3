//! What a run came to: a pure function of what its stops came to.

use serde::{Deserialize, Serialize};

use crate::{
    classify::{Class, Weight},
    orders::Orders,
    scenario::Expect,
    server::Server,
    stop::Stop,
};

/// The word at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
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
    Finding::new(failures, doubts, Power::of(stops))
}

/// Whether a control showed the losses that it is there to show.
pub fn is_caught(control: &[Stop]) -> bool {
    control.iter().any(|stop| stop.dropped() > 0)
}

fn failures(expect: &Expect, stop: &Stop) -> Vec<String> {
    if !stop.was_carried_out() {
        return Vec::new(); // its doubt says why
    }
    let failing = stop.counts_of(Weight::Failing).filter(|(class, _)| !expect.allows(*class));
    let failing: Vec<_> = failing.map(|(class, n)| format!("{n} {}", class.label())).collect();
    let mut failures = Vec::new();
    if !failing.is_empty() {
        failures.push(failing.join(", "));
    }
    let missing = expect.need.iter().filter(|class| stop.count(**class) == 0).map(|class| Class::label(*class));
    failures.extend(
        missing.map(|class| format!("none was {class}, though some must be: what cannot be seen is not proven")),
    );
    failures.extend(stop.orders.iter().flat_map(Orders::failures));
    failures.extend(failed_end(expect, stop));
    if stop.server == Server::Service && stop.not_ready_ms.is_none() && expect.not_ready {
        failures.push("readiness never failed: a balancer would have gone on sending".to_owned());
    }
    match expect.report {
        Some(true) if !stop.report => failures.push("the service left no report".to_owned()),
        Some(false) if stop.report => failures.push("the service left a report, though it cannot have".to_owned()),
        _ => {}
    }
    failures.into_iter().map(|failure| of(stop, &failure)).collect()
}

/// What is wrong with how and when the server ended.
fn failed_end(expect: &Expect, stop: &Stop) -> Vec<String> {
    let Some((code, ms)) = stop.exit_code.zip(stop.exit_ms) else {
        return vec!["the server did not end in time and was killed".to_owned()];
    };
    let mut failures = Vec::new();
    if !expect.exit_code.contains(code) {
        failures.push(format!("exit code {code}, expected {}", expect.exit_code.in_words()));
    }
    let in_ms = |bound: std::time::Duration| bound.as_secs_f64() * 1e3;
    if let Some(bound) = expect.exit_within.filter(|bound| ms > in_ms(*bound)) {
        failures.push(format!("it took {ms:.0} ms to end, expected within {}", humantime::format_duration(bound)));
    }
    if let Some(bound) = expect.exit_after.filter(|bound| ms < in_ms(*bound)) {
        failures.push(format!("it took {ms:.0} ms to end, expected not before {}", humantime::format_duration(bound)));
    }
    failures
}

fn doubts_of(what: &str, stop: &Stop) -> impl Iterator<Item = String> {
    stop.doubts.iter().map(move |doubt| format!("{what} {}: {doubt}", stop.number))
}

fn of(stop: &Stop, what: &str) -> String {
    format!("stop {}: {what}", stop.number)
}

impl Finding {
    /// A failure outweighs a doubt: a run that lost something on a machine that stalled has failed.
    pub(crate) fn new(failures: Vec<String>, doubts: Vec<String>, power: Power) -> Self {
        let verdict = Verdict::of(!failures.is_empty(), !doubts.is_empty());
        Self { verdict, reasons: [failures, doubts].concat(), power }
    }
}

impl Power {
    fn of(stops: &[Stop]) -> Self {
        let in_flight = stops.iter().map(|stop| stop.in_flight).sum();
        Self::new(in_flight, stops.iter().map(Stop::dropped).sum())
    }

    pub(crate) fn new(in_flight: u64, dropped: u64) -> Self {
        Self { in_flight, dropped, rate_below: rate_below(dropped, in_flight) }
    }
}

/// The rule of three: none in n bounds the rate at 3 / n, with a certainty of 95 %.
pub(crate) fn rate_below(dropped: u64, at_risk: u64) -> Option<f64> {
    (dropped == 0 && at_risk > 3).then(|| 3.0 / at_risk as f64)
}

impl Verdict {
    /// Of what failed, and of what casts doubt on the rest.
    pub(crate) const fn of(has_failed: bool, is_in_doubt: bool) -> Self {
        match (has_failed, is_in_doubt) {
            (true, _) => Self::Fail,
            (false, true) => Self::Inconclusive,
            (false, false) => Self::Pass,
        }
    }

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
pub(crate) mod tests;
