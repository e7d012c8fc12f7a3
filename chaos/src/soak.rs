//! The same stop for an hour or a thousand times, until the rate of losses is known to be as low as somebody wants to know.
//!
//! Every stop is a line of a journal as soon as it is over, so that a soak can be interrupted at any time and goes on from
//! there. The traces of a stop that went well are removed; those of any other are kept.

mod journal;
mod summary;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;

use self::journal::{Journal, Line};
pub use self::summary::Summary;
use crate::{
    binaries::Binaries,
    canary::Canary,
    progress::Progress,
    scenario::Scenario,
    stop::{Plan, Stop},
    verdict::{Verdict, judge},
    wait::Interrupted,
};

/// Where nobody watches a terminal, a line after so many stops.
const TELL_EVERY: u32 = 50;

/// When a soak is over: the first of these that comes to pass.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// There are so many stops, of all its runs, that could tell …
    pub stops: u32,
    /// … and so many requests were in flight at their signals.
    pub at_risk: u64,
    /// This run of it has taken so long.
    pub time: Duration,
}

/// Repeats the stop of `scenario` in `folder`, from where an earlier run left off there. An interrupt ends it as well.
pub fn run(scenario: &Scenario, until: Until, binaries: &Binaries, folder: &Path) -> anyhow::Result<Summary> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut journal = Journal::open(&folder.join("soak.jsonl"), scenario)?;
    let mut summary = Summary::of(scenario, until, journal.lines());
    let (canary, mut progress) = (Canary::start()?, Progress::of_many());
    let deadline = Instant::now() + until.time;
    while !summary.has_enough() && Instant::now() < deadline {
        let number = summary.next_number();
        progress.begin(format!("stop {number}: {}", summary.so_far()));
        let plan = Plan {
            scenario,
            server: scenario.server,
            number,
            binaries,
            canary: &canary,
            folder: folder.join(format!("stop-{number}")),
            lie: None,
        };
        let stop = match plan.carry_out(&mut progress) {
            Err(error) if error.is::<Interrupted>() => {
                let _ = fs::remove_dir_all(&plan.folder);
                break;
            }
            Err(error) => Stop::impossible(&plan, &error),
            Ok(stop) => stop,
        };
        let line = Line::of(&stop, judge(&scenario.expect, std::slice::from_ref(&stop), None));
        if line.verdict == Verdict::Pass {
            remove(&plan.folder)?;
        }
        journal.append(&line)?;
        summary.add(&line);
        if number.is_multiple_of(TELL_EVERY) {
            progress.begin(format!("stop {number}"));
            progress.milestone(&summary.so_far());
        }
    }
    progress.clear();
    let path = folder.join("soak.md");
    fs::write(&path, summary.markdown()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(summary)
}

fn remove(folder: &PathBuf) -> anyhow::Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}
