//! The stops of a profile: each with a server of its own, a load, a signal in the middle, and the wait for its end.

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    class::{Class, Classes, list},
    clients::Target,
    load::{Load, Seen},
    options::Options,
    profile::Profile,
    server::{MARGIN, Running},
};
use crate::{canary::Canary, process::Exit, progress::Progress, verdict::rate_below};

/// The load goes on for so long before the signal, and for a little more with each stop, so that no two meet the same moment.
const LOADED_FOR: Duration = Duration::from_millis(250);
const MORE_EACH_STOP: Duration = Duration::from_millis(37);

/// A prober that was held up for longer than this during a stop has not seen what happened.
const LONGEST_LAG: Duration = Duration::from_millis(250);

/// What the stops of a profile came to.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its clients.
    pub profile: Profile,
    /// How many stops were carried out.
    pub stops: u32,
    /// The clients that a signal met, over all stops. Each can lose one request, with which it ends.
    pub at_risk: u64,
    /// How many of them did.
    pub dropped: u64,
    /// With none dropped, the share of clients that lose one is below this (95 %).
    pub rate_below: Option<f64>,
    /// The worst that each client saw; they add up to `at_risk`.
    pub classes: Classes,
    /// The end of each stop.
    pub ends: Vec<End>,
    /// Why the numbers are not to be trusted.
    pub doubts: Vec<String>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct End {
    /// From the signal to the exit; none when it had to be killed.
    pub exit_ms: Option<f64>,
    /// Its exit code, or 128 + n when signal n ended it; none when it had to be killed.
    pub exit_code: Option<i32>,
}

impl End {
    pub(super) fn new(signal: u64, exit: Option<Exit>) -> Self {
        Self {
            exit_ms: exit.map(|exit| exit.at.saturating_sub(signal) as f64 / 1e6),
            exit_code: exit.map(|exit| exit.code),
        }
    }
}

impl Row {
    fn new(profile: Profile) -> Self {
        Self {
            profile,
            stops: 0,
            at_risk: 0,
            dropped: 0,
            rate_below: None,
            classes: Classes::new(),
            ends: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// Carries out all stops of `profile`; their logs go into `folder`.
    pub(super) fn measure(
        profile: Profile,
        target: &Target,
        options: &Options,
        canary: &Canary,
        folder: &Path,
        progress: &mut Progress,
    ) -> anyhow::Result<Self> {
        let mut row = Self::new(profile);
        for number in 1..=options.repeats.get() {
            progress.begin(format!("{profile}, stop {number}/{}", options.repeats));
            progress.step("starting");
            let log = folder.join(format!("{}-{number}.log", profile.name()));
            row.stop(number, target, options, canary, Running::start(options, log)?, progress)?;
        }
        row.rate_below = rate_below(row.dropped, row.at_risk);
        Ok(row)
    }

    fn stop(
        &mut self,
        number: u32,
        target: &Target,
        options: &Options,
        canary: &Canary,
        mut running: Running,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let target = Arc::new(Target { address: running.url.address, ..target.clone() });
        let load = Load::start(self.profile, &target)?;
        progress.step("loading");
        if let Err(served) = load.wait_until_steady()? {
            let all = self.profile.clients();
            self.doubts.push(format!("stop {number}: {served} of {all} clients were served before the signal"));
        }
        // An end here is the server's own.
        let _ = running.wait(LOADED_FOR + MORE_EACH_STOP * number)?;

        let signal = running.stop(options)?;
        let load = load.signal();
        progress.step("stopping");
        let exit = running.wait(options.grace + MARGIN)?;
        if running.has_left_others() {
            self.doubts.push(LEFT_OTHERS.to_owned());
        }
        let seen = load.finish();
        drop(running);
        let lag = canary.longest_lag(signal, exit.map_or(u64::MAX, |exit| exit.at));
        if lag > LONGEST_LAG {
            self.doubts.push(format!("stop {number}: the machine held the prober up for {} ms", lag.as_millis()));
        }
        self.add(number, seen, End::new(signal, exit));
        Ok(())
    }

    fn add(&mut self, number: u32, seen: Seen, end: End) {
        if !seen.early.is_empty() {
            let what = list(&seen.early, |_| true);
            self.doubts.push(format!("stop {number}: clients ended before the signal: {what}"));
        }
        if seen.at_risk == 0 {
            self.doubts.push(format!("stop {number}: the signal met nobody"));
        }
        self.stops += 1;
        self.at_risk += seen.at_risk;
        self.dropped += seen.classes.iter().filter(|(class, _)| class.is_dropped()).map(|(_, n)| n).sum::<u64>();
        for (class, n) in seen.classes {
            *self.classes.entry(class).or_default() += n;
        }
        self.ends.push(end);
    }

    /// How many clients saw `class` at the worst.
    pub fn count(&self, class: Class) -> u64 {
        self.classes.get(&class).copied().unwrap_or_default()
    }
}

/// Of a shell in front of the server, as a rule.
pub(super) const LEFT_OTHERS: &str = "the command ended and left processes behind, so that its end is not the \
     server's: write exec before the server in a shell's command";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_add_up_and_only_those_of_clients_that_the_signal_met_count() {
        let mut row = Row::new(Profile::New);
        let end = End { exit_ms: Some(3.0), exit_code: Some(0) };
        let classes = Classes::from([(Class::Ok, 29), (Class::Reset, 2)]);
        row.add(1, Seen { at_risk: 31, classes, early: Classes::from([(Class::Eof, 1)]) }, end);
        row.add(2, Seen { at_risk: 32, classes: Classes::from([(Class::Reset, 32)]), early: Classes::new() }, end);
        assert_eq!((row.stops, row.at_risk, row.dropped, row.count(Class::Reset)), (2, 63, 34, 34));
        assert_eq!(row.classes.values().sum::<u64>(), row.at_risk);
        assert_eq!(row.doubts, ["stop 1: clients ended before the signal: 1 closed unanswered"]);
    }
}
