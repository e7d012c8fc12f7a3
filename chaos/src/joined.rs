//! `chaos join`: judges ledgers that loads and servers have left elsewhere, on any number of machines.

use std::{fmt::Write, path::PathBuf, time::Duration};

use anyhow::Context;
use serde::Serialize;

use crate::{
    classify::{Class, Counts, Weight},
    join::{Join, Judgement, Ledger, When},
    story::Story,
    verdict::{Finding, Power, Verdict},
};

/// The version of what `--json` prints. A field may be added without a new one; none changes its meaning.
const SCHEMA: u32 = 1;

/// So many failing requests are told on the screen; `--json` has more.
const TOLD: usize = 3;

/// These are told also when there are none.
const ALWAYS: [Class; 5] = [Class::Ok, Class::Lost, Class::Ghost, Class::Unseen, Class::Truncated];

/// What is to be judged.
#[derive(Clone, Debug)]
pub struct Files {
    /// All that clients have left.
    pub clients: Vec<Ledger>,
    /// All that the servers have left that they asked.
    pub servers: Vec<PathBuf>,
    /// When the servers were told to stop.
    pub when: When,
    /// With fewer requests in flight at a signal the verdict is inconclusive.
    pub min_in_flight: u64,
}

/// The ledgers cannot be judged together.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the ledgers are refused")]
pub struct Refused;

/// Ledgers, judged.
#[derive(Debug, Serialize)]
pub struct Joined {
    schema: u32,
    clients: Vec<String>,
    servers: Vec<Stopped>,
    requests: usize,
    counts: Counts,
    /// Requests whose class depends on how far the clocks of two machines lie apart.
    undated: u64,
    clock_skew_ms: f64,
    #[serde(flatten)]
    finding: Finding,
    stories: Vec<Story>,
}

/// A process of a server.
#[derive(Debug, Serialize)]
struct Stopped {
    ledger: String,
    /// Whether it was told to stop, by its ledger or by whoever asks for the verdict.
    stopped: bool,
}

impl Files {
    /// Joins and judges them.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the reason: a file cannot be read, is no ledger, or has an id of another one; no server was told to
    /// stop; the times of two machines cannot be compared.
    pub fn judge(&self) -> anyhow::Result<Joined> {
        let join = Join::read_all(&self.clients, &self.servers).context(Refused)?;
        self.check(&join).context(Refused)?;
        let Judgement { in_flight, counts, stories, foreign, undated } = join.judge_when(self.when);
        let stopped = |at: Option<u64>| at.or(self.when.signal).is_some();
        Ok(Joined {
            schema: SCHEMA,
            clients: self.clients.iter().map(Ledger::to_string).collect(),
            servers: join
                .stops()
                .map(|(path, at)| Stopped { ledger: path.display().to_string(), stopped: stopped(at) })
                .collect(),
            requests: join.len(),
            finding: finding(&counts, in_flight, foreign, self.min_in_flight),
            counts,
            undated,
            clock_skew_ms: self.when.clock_skew.as_secs_f64() * 1e3,
            stories,
        })
    }

    fn check(&self, join: &Join) -> anyhow::Result<()> {
        match self.when.signal {
            Some(_) => anyhow::ensure!(
                join.has_one_server_clock(),
                "--signal is a time of one machine, and the servers ran on several: leave it out, their ledgers say it"
            ),
            None => anyhow::ensure!(
                join.stops().any(|(_, at)| at.is_some()),
                "no server says that it was told to stop: give --signal, in nanoseconds of CLOCK_MONOTONIC"
            ),
        }
        Ok(())
    }
}

fn finding(counts: &Counts, in_flight: u64, foreign: u64, min_in_flight: u64) -> Finding {
    let of = |weight: Weight| {
        let counts = counts.iter().filter(move |(class, _)| class.weight() == weight);
        counts.map(|(class, n)| format!("{n} {}", class.label())).collect::<Vec<_>>().join(", ")
    };
    let (failing, doubtful) = (of(Weight::Failing), of(Weight::Doubtful));
    let mut doubts = Vec::new();
    if in_flight < min_in_flight {
        doubts.push(format!("{in_flight} requests were in flight at a signal, {min_in_flight} are wanted"));
    }
    if foreign > 0 {
        doubts.push(format!("{foreign} requests in the servers' ledgers are in no client's: is one missing?"));
    }
    if !doubtful.is_empty() {
        doubts.push(format!("the ledgers do not agree: {doubtful}"));
    }
    let failures = Some(failing).filter(|failing| !failing.is_empty()).into_iter().collect();
    let dropped = counts.iter().filter(|(class, _)| class.is_dropped()).map(|(_, n)| n).sum();
    Finding::new(failures, doubts, Power::new(in_flight, dropped))
}

impl Joined {
    /// The word.
    pub const fn verdict(&self) -> Verdict {
        self.finding.verdict
    }

    /// For machines.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let Self { clients, servers, requests, counts, undated, .. } = self;
        let Finding { verdict, reasons, power: Power { in_flight, rate_below, .. } } = &self.finding;
        let mut text = format!("join      {requests} requests, {in_flight} in flight at a signal\n");
        for client in clients {
            let _ = writeln!(text, "client    {client}");
        }
        for Stopped { ledger, stopped } in servers {
            let _ =
                writeln!(text, "server    {ledger}, {}", if *stopped { "told to stop" } else { "never told to stop" });
        }
        let none = ALWAYS.into_iter().filter(|class| !counts.contains_key(class)).map(|class| (class, 0));
        let mut rows: Vec<_> = counts.iter().map(|(class, n)| (*class, *n)).chain(none).collect();
        rows.sort_unstable();
        for (class, n) in rows {
            let _ = writeln!(text, "  {:<15}{n:>10}", class.label());
        }
        if *undated > 0 {
            let skew = humantime::format_duration(Duration::from_secs_f64(self.clock_skew_ms / 1e3));
            let _ = writeln!(
                text,
                "undated   {undated} ended within {skew} of a signal by clocks of two machines: too early or not, nobody can tell"
            );
        }
        let word = verdict.as_str();
        let bound =
            rate_below.map_or_else(String::new, |rate| format!(" (95 %: fewer than 1 in {:.0})", (1.0 / rate).floor()));
        let grounds = match verdict {
            Verdict::Pass => format!("none of {in_flight} requests in flight at a signal was lost{bound}"),
            _ => reasons.join(&format!("\n          {:word$}   ", "", word = word.len())),
        };
        let _ = writeln!(text, "verdict   {word}   {grounds}");
        for story in self.stories.iter().take(TOLD) {
            let _ = write!(text, "\n{story}");
        }
        text
    }
}

#[cfg(test)]
mod tests;
