//! Negative controls: servers, clients and ledgers that are wrong on purpose, each of which must be caught as what it is.
//!
//! A harness that has only ever seen good stops has proved nothing. Most controls are the service itself, built with feature
//! `sabotage`, which no release has, and told by `SABOTAGE` which fault to have; others are stock servers, or lies of the client's
//! side. The same build without a fault must pass under the same loads, or a catch says nothing of the fault.

pub mod catalogue;
pub mod lies;
mod report;

use std::{collections::BTreeSet, fs, path::PathBuf, time::SystemTime};

use anyhow::Context;

use self::{catalogue::Bed, lies::Lie, report::Row};
pub use self::{
    catalogue::CONTROLS,
    report::{Outcome, Report},
};
use crate::{
    binaries::Binaries,
    canary::Canary,
    classify::Class,
    progress::Progress,
    runner::new_folder,
    scenario::Scenario,
    server::Server,
    stop::{Plan, Stop},
    verdict::{Finding, Verdict, judge},
    wait::Interrupted,
};

/// The service's feature.
const FEATURE: &str = "sabotage";

/// A fault shows itself at the first stop, but for want of luck: the moment that it spoils may not have come to any request.
const TRIES: u32 = 3;

/// Somebody who is wrong on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// Names it on the command line; of a fault of the service, it is that of the fault.
    pub name: &'static str,
    /// What is wrong, in a few words.
    pub what: &'static str,
    /// Who is wrong.
    pub culprit: Culprit,
    /// What it must be caught as.
    pub sign: Sign,
    /// Under which load.
    pub bed: Bed,
}

/// Who is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The service, which is told to have the fault that the control is named after.
    Service,
    /// A server that knows no better.
    Stock(Server),
    /// Somebody on the client's side.
    Client(Lie),
}

/// What a control must be caught as, in a verdict that is no pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A request of this class.
    Class(Class),
    /// A reason of the verdict that says so.
    Reason(&'static str),
}

/// The controls of these names, or all; but none that needs orders, where the service keeps none.
pub fn named(names: &[String]) -> Vec<Control> {
    let orders = Scenario::loadtest_shutdown().load.is_some_and(|load| load.mix.has_orders());
    let asked = |control: &&Control| names.is_empty() || names.iter().any(|name| name == control.name);
    CONTROLS.iter().filter(asked).filter(|control| orders || control.bed != catalogue::ORDERS).copied().collect()
}

/// Builds the service with its faults and whatever else there is a control of, and carries out `controls`.
pub fn run(controls: &[Control]) -> anyhow::Result<Report> {
    // Always the same packages: others would have their dependencies built with other features, and so once more.
    carry_out(controls, Binaries::build_with(&BTreeSet::from([Server::Service, Server::Naive]), Some(FEATURE))?)
}

/// Carries out `controls`, and before them a clean stop under each of their loads.
pub fn carry_out(controls: &[Control], mut binaries: Binaries) -> anyhow::Result<Report> {
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let folder = new_folder(&binaries.target.join("chaos"), "controls", &started)?;
    let service = Server::Service.binary().0;
    binaries.set_aside(service, &folder)?;

    let run = Run { binaries: &binaries, canary: Canary::start()?, folder: folder.clone() };
    let rows = run.all(controls);
    // It is large, and nobody should find it and use it.
    fs::remove_file(binaries.path(service)?).context("cannot remove the copy of the service")?;

    let (clean, caught) = rows?;
    let report = Report::new(started, clean, caught, folder);
    report.save()?;
    Ok(report)
}

/// The loads of `controls`, each once.
fn beds(controls: &[Control]) -> Vec<Bed> {
    let mut beds: Vec<Bed> = Vec::new();
    for Control { bed, .. } in controls {
        if !beds.contains(bed) {
            beds.push(*bed);
        }
    }
    beds
}

impl Bed {
    /// The stop of a server that has this fault, if any.
    fn scenario(&self, name: &str, fault: Option<&str>) -> anyhow::Result<Scenario> {
        let fault = fault.map_or_else(String::new, |fault| format!("SABOTAGE = \"{fault}\"\n"));
        let text = format!("name = \"{name}\"\nwhat = \"a control\"\nstops = 1\n{}{fault}", self.text);
        Ok(Scenario::parse(&text, format!("control {name}").as_ref())?)
    }
}

impl Control {
    fn scenario(&self) -> anyhow::Result<Scenario> {
        self.bed.scenario(self.name, (self.culprit == Culprit::Service).then_some(self.name))
    }
}

impl Sign {
    /// Whether a stop that was found to be no pass shows it.
    fn is_seen(self, stop: &Stop, finding: &Finding) -> bool {
        finding.verdict != Verdict::Pass
            && match self {
                Self::Class(class) => stop.count(class) > 0,
                Self::Reason(words) => finding.reasons.iter().any(|reason| reason.contains(words)),
            }
    }
}

struct Run<'a> {
    binaries: &'a Binaries,
    canary: Canary,
    folder: PathBuf,
}

impl Run<'_> {
    /// The clean loads, and the controls.
    fn all(&self, controls: &[Control]) -> anyhow::Result<(Vec<Row>, Vec<Row>)> {
        let mut progress = Progress::new();
        let clean = beds(controls).into_iter().map(|bed| self.clean(bed, &mut progress)).collect::<Result<_, _>>()?;
        let caught = controls.iter().map(|control| self.control(control, &mut progress)).collect::<Result<_, _>>()?;
        Ok((clean, caught))
    }

    /// A failure is never tried again; a machine that was too busy to tell is asked once more.
    fn clean(&self, bed: Bed, progress: &mut Progress) -> anyhow::Result<Row> {
        let name = format!("clean-{}", bed.name);
        let scenario = bed.scenario(&name, None)?;
        let mut row = Row::new(name, "no fault under this load".to_owned(), "nothing".to_owned());
        while row.outcome != Outcome::Passed && row.tries < TRIES {
            let (_, finding) = self.stop(&scenario, Server::Service, None, row.tries + 1, progress)?;
            row.add(
                &finding,
                match finding.verdict {
                    Verdict::Pass => Outcome::Passed,
                    Verdict::Inconclusive => Outcome::Inconclusive,
                    Verdict::Fail => Outcome::Failed,
                },
            );
            if row.outcome == Outcome::Failed {
                break;
            }
        }
        Ok(row)
    }

    fn control(&self, control: &Control, progress: &mut Progress) -> anyhow::Result<Row> {
        let (server, lie) = match control.culprit {
            Culprit::Service => (Server::Service, None),
            Culprit::Stock(server) => (server, None),
            Culprit::Client(lie) => (Server::Service, Some(lie)),
        };
        let scenario = control.scenario()?;
        let mut row = Row::new(control.name.to_owned(), control.what.to_owned(), control.sign.to_string());
        while row.outcome != Outcome::Caught && row.tries < TRIES {
            let (stop, finding) = self.stop(&scenario, server, lie, row.tries + 1, progress)?;
            row.add(
                &finding,
                if control.sign.is_seen(&stop, &finding) {
                    Outcome::Caught
                } else if stop.counts.is_empty() || finding.verdict == Verdict::Inconclusive {
                    Outcome::Inconclusive
                } else {
                    Outcome::NotCaught
                },
            );
        }
        Ok(row)
    }

    /// Only an interrupt is an error.
    fn stop(
        &self,
        scenario: &Scenario,
        server: Server,
        lie: Option<Lie>,
        number: u32,
        progress: &mut Progress,
    ) -> anyhow::Result<(Stop, Finding)> {
        let name = scenario.name.as_ref();
        progress.begin(if number == 1 { name.to_owned() } else { format!("{name}, try {number} of {TRIES}") });
        let folder = self.folder.join(format!("{name}-{number}"));
        let (binaries, canary) = (self.binaries, &self.canary);
        let plan = Plan { scenario, server, number, binaries, canary, folder, lie };
        let stop = match plan.carry_out(progress) {
            Err(error) if !error.is::<Interrupted>() => Stop::impossible(&plan, &error),
            result => result?,
        };
        let finding = judge(&scenario.expect, std::slice::from_ref(&stop), None);
        Ok((stop, finding))
    }
}

#[cfg(test)]
mod tests;
