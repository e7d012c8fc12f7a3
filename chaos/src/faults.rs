//! The faults of a scenario, each at its moment.

mod clients;
mod database;
mod phases;

use std::{
    collections::VecDeque,
    fs,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::Serialize;
use winddown::audit;

use self::{clients::Clients, database::Lock, phases::Phases};
use crate::{
    process::Exit,
    scenario::{Action, Fault, When},
    server::{Running, Traces},
    surroundings,
};

/// How often a phase is looked for while a fault waits for it.
const LOOK: Duration = Duration::from_millis(2);

/// The faults of one stop. Dropping it ends those that last.
pub struct Faults<'a> {
    waiting: VecDeque<&'a Fault>,
    phases: Phases,
    traces: &'a Traces,
    lasting: Vec<Lasting>,
    done: Vec<Done>,
}

/// A fault that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub at: u64,
    /// What it was.
    pub what: String,
}

/// What goes on until it is dropped, or has an end of its own.
enum Lasting {
    Clients { _clients: Clients },
    Lock { until: Instant, _lock: Lock },
}

impl<'a> Faults<'a> {
    /// The faults of a server that leaves these traces.
    pub fn new(faults: &'a [Fault], traces: &'a Traces) -> Self {
        Self {
            waiting: faults.iter().collect(),
            phases: Phases::of(&traces.audit),
            traces,
            lasting: Vec::new(),
            done: Vec::new(),
        }
    }

    /// From the moment of the load being steady to the signal: so long before it the first fault comes.
    pub fn lead(&self) -> Duration {
        let before = |fault: &&Fault| match fault.when {
            When::Before(lead) => lead,
            _ => Duration::ZERO,
        };
        self.waiting.iter().map(before).max().unwrap_or_default()
    }

    /// Lets happen what is due, until the server has ended or it is `until`; the signal is sent at `signal`.
    pub fn run(&mut self, server: &mut Running, signal: Instant, until: Instant) -> anyhow::Result<Option<Exit>> {
        loop {
            let next = self.let_happen(server, signal)?.map_or(until, |next| next.min(until));
            if let Some(exit) = server.process.wait(next.saturating_duration_since(Instant::now()))? {
                return Ok(Some(exit));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// What has happened. What has not says that the stop was over before its moment.
    pub fn finish(self) -> anyhow::Result<Vec<Done>> {
        let missed: Vec<_> = self.waiting.iter().map(|fault| fault.action.to_string()).collect();
        anyhow::ensure!(missed.is_empty(), "the server ended before this could happen: {}", missed.join(", "));
        Ok(self.done)
    }

    /// Does what is due, and says when to look again.
    fn let_happen(&mut self, server: &Running, signal: Instant) -> anyhow::Result<Option<Instant>> {
        let now = Instant::now();
        self.lasting.retain(|lasting| !matches!(lasting, Lasting::Lock { until, .. } if *until <= now));
        let mut next = self.lasting.iter().filter_map(Lasting::end).min();
        for _ in 0..self.waiting.len() {
            let Some(fault) = self.waiting.pop_front() else { break };
            let due = match fault.when {
                When::Steady => Some(now),
                When::Before(lead) => signal.checked_sub(lead),
                When::After(time) => Some(signal + time),
                When::Phase(phase, time) => self.phases.begun(phase.as_ref())?.map(|begun| begun + time),
            };
            if due.is_some_and(|due| due <= now) {
                self.act(&fault.action, server)?;
            } else {
                let look = due.unwrap_or(now + LOOK);
                next = Some(next.map_or(look, |next| next.min(look)));
                self.waiting.push_back(fault);
            }
        }
        Ok(next)
    }

    fn act(&mut self, action: &Action, server: &Running) -> anyhow::Result<()> {
        let at = audit::now();
        match action {
            Action::Signal(signal) => drop(server.process.signal((*signal).into())?),
            Action::Clients(clients) => {
                let clients = Clients::start(clients, server.traffic)?;
                self.lasting.push(Lasting::Clients { _clients: clients });
            }
            Action::LockDatabase(time) => {
                let lock = Lock::take(&self.traces.folder)?;
                self.lasting.push(Lasting::Lock { until: Instant::now() + *time, _lock: lock });
            }
            Action::BlockReport => {
                let path = &self.traces.report;
                fs::create_dir(path).with_context(|| format!("cannot create {}", path.display()))?;
            }
            Action::FillReportDisk => surroundings::fill_report_disk(server.process.pid(), &self.traces.folder)?,
            Action::ClockJump(by) => surroundings::jump(&self.traces.folder, *by)?,
        }
        self.done.push(Done { at, what: action.to_string() });
        Ok(())
    }
}

impl Lasting {
    const fn end(&self) -> Option<Instant> {
        match self {
            Self::Clients { .. } => None,
            Self::Lock { until, .. } => Some(*until),
        }
    }
}
