//! Carries out a scenario, stop by stop, then its control.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;

use crate::{
    binaries::Binaries,
    canary::Canary,
    progress::Progress,
    report::Report,
    scenario::{Control, Scenario},
    server::Server,
    stop::{Plan, Stop},
    verdict::is_caught,
    wait::Interrupted,
};

/// The servers that `scenarios` stop.
pub fn servers(scenarios: &[Scenario]) -> BTreeSet<Server> {
    let controls = scenarios.iter().filter_map(|scenario| scenario.control);
    scenarios.iter().map(|scenario| scenario.server).chain(controls.map(|control| control.server)).collect()
}

/// Carries out `scenario` and saves its report.
pub fn run(scenario: &Scenario, binaries: &Binaries) -> anyhow::Result<Report> {
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let folder = new_folder(&binaries.target.join("chaos"), scenario.name.as_ref(), &started)?;
    let run = Run { scenario, binaries, canary: Canary::start()?, folder: folder.clone() };

    let mut progress = Progress::new();
    let stops = run.stops(&mut progress)?;
    let control = scenario.control.map(|control| run.control(control, &mut progress)).transpose()?;
    progress.clear();

    let report = Report::new(scenario, started, folder, stops, control);
    report.save()?;
    Ok(report)
}

struct Run<'a> {
    scenario: &'a Scenario,
    binaries: &'a Binaries,
    canary: Canary,
    folder: PathBuf,
}

impl Run<'_> {
    fn stops(&self, progress: &mut Progress) -> anyhow::Result<Vec<Stop>> {
        let stops = self.scenario.stops.get();
        (1..=stops)
            .map(|number| {
                progress.begin(format!("stop {number}/{stops}"));
                self.stop(self.scenario.server, number, format!("stop-{number}"), progress)
            })
            .collect()
    }

    /// Stops the control until it has lost something: one loss shows that the harness can see.
    fn control(&self, control: Control, progress: &mut Progress) -> anyhow::Result<Vec<Stop>> {
        let mut stops = Vec::new();
        for number in 1..=control.stops.get() {
            progress.begin(format!("control {number}"));
            stops.push(self.stop(control.server, number, format!("control-{number}"), progress)?);
            if is_caught(&stops) {
                break;
            }
        }
        Ok(stops)
    }

    /// Only an interrupt is an error: whatever else goes wrong is for the verdict to weigh.
    fn stop(&self, server: Server, number: u32, folder: String, progress: &mut Progress) -> anyhow::Result<Stop> {
        let plan = Plan {
            scenario: self.scenario,
            server,
            number,
            binaries: self.binaries,
            canary: &self.canary,
            folder: self.folder.join(folder),
        };
        match plan.carry_out(progress) {
            Err(error) if !error.is::<Interrupted>() => Ok(Stop::impossible(&plan, &error)),
            result => result,
        }
    }
}

/// Two runs may begin within one second; neither may write into the other's folder.
pub(crate) fn new_folder(reports: &Path, name: &str, started: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(reports).with_context(|| format!("cannot create {}", reports.display()))?;
    let name = format!("{name}-{}", started.replace(['-', ':'], ""));
    for attempt in 1..100 {
        let folder = reports.join(if attempt == 1 { name.clone() } else { format!("{name}.{attempt}") });
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", folder.display())),
        }
    }
    anyhow::bail!("{} has a hundred runs of this second: remove some", reports.display())
}
