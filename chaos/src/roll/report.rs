//! What rolling restarts came to: a verdict, a table with a line for each balancer, and `verdict.json`.

use std::{
    env,
    fmt::Write,
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
};

use anyhow::Context;
use serde::Serialize;

use super::{Balancer, Failed, Options};
use crate::{
    classify::{Class, Counts},
    orders::Orders,
    report::relative,
    server::Server,
    verdict::Verdict,
};

/// The version of `verdict.json`. A field may be added without a new one; none changes its meaning.
const SCHEMA: u32 = 1;

/// So many failing requests are told on the screen; `verdict.json` has more.
const TOLD: usize = 5;

/// These columns are always there; one for every other class that a request came to.
const ALWAYS: [Class; 5] = [Class::Ok, Class::Lost, Class::Ghost, Class::Unseen, Class::Truncated];

/// A run, judged.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    started: String,
    seed: u64,
    load: String,
    instances: u8,
    rounds: u32,
    verdict: Verdict,
    reasons: Vec<String>,
    behind: Vec<Behind>,
    #[serde(skip)]
    folder: PathBuf,
}

/// What restarts behind one balancer came to.
#[derive(Clone, Debug, Serialize)]
pub struct Behind {
    /// The balancer.
    pub balancer: Balancer,
    /// Its version, by its own word.
    pub version: String,
    /// Of the service, which must lose nothing.
    pub service: Rolled,
    /// Of the control, which must lose something.
    pub control: Rolled,
}

/// What the restarts of one server came to.
#[derive(Clone, Debug, Serialize)]
pub struct Rolled {
    /// What was restarted.
    pub server: Server,
    /// How many lives were ended under load.
    pub restarts: u32,
    /// Requests that an instance had, or was given, after it was told to stop.
    pub at_risk: u64,
    /// How many requests came to which class, by their clients' ledger and those of all lives.
    pub counts: Counts,
    /// What became of the orders, where the load had some and the server keeps them.
    pub orders: Option<Orders>,
    /// The longest from a signal to when the balancer had stopped to believe in the instance, where it asks.
    pub looked_away_ms: Option<u64>,
    /// What else went wrong.
    pub failures: Vec<String>,
    /// Why the numbers are not to be trusted.
    pub doubts: Vec<String>,
    /// The first requests that failed.
    pub failed: Vec<Failed>,
}

impl Rolled {
    pub(super) const fn new(server: Server) -> Self {
        Self {
            server,
            restarts: 0,
            at_risk: 0,
            counts: Counts::new(),
            orders: None,
            looked_away_ms: None,
            failures: Vec::new(),
            doubts: Vec::new(),
            failed: Vec::new(),
        }
    }

    pub(super) fn impossible(server: Server, error: &anyhow::Error) -> Self {
        Self { doubts: vec![format!("{error:#}")], ..Self::new(server) }
    }

    /// How many requests came to `class`.
    pub fn count(&self, class: Class) -> u64 {
        self.counts.get(&class).copied().unwrap_or_default()
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Requests without the one answer that they should have: dropped, or begun twice.
    pub fn lost(&self) -> u64 {
        self.counts.iter().filter(|(class, _)| class.is_dropped() || **class == Class::Dup).map(|(_, n)| n).sum()
    }

    /// Behind a balancer a request has one right end. Only where the ledgers do not tell one, there is doubt.
    fn failures(&self) -> Vec<String> {
        let wrong = self.counts.iter().filter(|(class, _)| !is_right(**class) && !is_unknown(**class));
        let wrong: Vec<_> = wrong.map(|(class, n)| format!("{n} {}", class.label())).collect();
        let mut failures = self.failures.clone();
        if !wrong.is_empty() {
            failures.push(wrong.join(", "));
        }
        failures.extend(self.orders.iter().flat_map(Orders::failures));
        failures
    }

    fn doubts(&self) -> Vec<String> {
        let unknown = self.counts.iter().filter(|(class, _)| is_unknown(**class));
        let unknown: Vec<_> = unknown.map(|(class, n)| format!("{n} {}", class.label())).collect();
        let mut doubts = self.doubts.clone();
        if !unknown.is_empty() {
            doubts.push(format!("the ledgers do not agree: {}", unknown.join(", ")));
        }
        if doubts.is_empty() && self.at_risk < u64::from(self.restarts) {
            doubts.push(format!("only {} requests were at risk in {} restarts", self.at_risk, self.restarts));
        }
        doubts
    }
}

fn is_right(class: Class) -> bool {
    class == Class::Ok
}

fn is_unknown(class: Class) -> bool {
    matches!(class, Class::Unresolved | Class::Unlogged)
}

/// The verdict over all balancers, and why it is not `pass`.
fn judge(behind: &[Behind]) -> (Verdict, Vec<String>) {
    let (mut failures, mut doubts) = (Vec::new(), Vec::new());
    for Behind { balancer, service, control, .. } in behind {
        let of = |what: String| format!("{balancer}: {what}");
        failures.extend(service.failures().into_iter().map(of));
        doubts.extend(service.doubts().into_iter().map(of));
        if control.lost() == 0 {
            let excuses: Vec<_> = control.doubts().into_iter().map(|doubt| of(format!("control: {doubt}"))).collect();
            if excuses.is_empty() {
                let blind = "the control lost nothing: a harness that cannot see a loss proves nothing";
                failures.push(of(blind.to_owned()));
            }
            doubts.extend(excuses);
        }
    }
    (Verdict::of(!failures.is_empty(), !doubts.is_empty()), [failures, doubts].concat())
}

impl Report {
    pub(super) fn new(options: &Options, started: String, load: String, behind: Vec<Behind>, folder: PathBuf) -> Self {
        let (verdict, reasons) = judge(&behind);
        Self {
            schema: SCHEMA,
            started,
            seed: options.seed,
            load,
            instances: options.instances,
            rounds: options.rounds.get(),
            verdict,
            reasons,
            behind,
            folder,
        }
    }

    /// The word.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What the restarts behind each balancer came to.
    pub fn behind(&self) -> &[Behind] {
        &self.behind
    }

    /// As `verdict.json` has it.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Writes `verdict.json` and `summary.md` into its folder.
    pub fn save(&self) -> anyhow::Result<()> {
        let write = |name: &str, text: String| {
            let path = self.folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("verdict.json", self.json()?)?;
        write("summary.md", self.markdown())
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let rows = self.rows();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
        let mut text = format!("roll   {}\n", self.headline());
        for row in &rows {
            let (name, numbers) = row.split_first().expect("a row has a name");
            let mut line = format!("  {name:width$}", width = widths[0]);
            for (cell, width) in numbers.iter().zip(&widths[1..]) {
                let _ = write!(line, "  {cell:>width$}");
            }
            text += line.trim_end();
            text.push('\n');
        }
        for (balancer, orders) in self.orders() {
            let _ = writeln!(text, "orders    {balancer}: {orders}");
        }
        let colour = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        let (before, after) = if colour { (self.verdict.colour(), "\x1b[0m") } else { ("", "") };
        let word = self.verdict.as_str();
        let below = format!("\n          {:word$}   ", "", word = word.len());
        let _ = writeln!(text, "verdict   {before}{word}{after}   {}", self.conclusion(&below));
        for (balancer, Failed { id, class, client, begun_by }) in self.failed() {
            let begun = if begun_by.is_empty() { "nobody".to_owned() } else { begun_by.join(", ") };
            let _ = writeln!(text, "  {balancer}: {} {id}: the client says {client}; begun by {begun}", class.label());
        }
        let _ = writeln!(text, "reports   {}", relative(&self.folder).display());
        text
    }

    fn markdown(&self) -> String {
        let rows = self.rows();
        let (header, rows) = rows.split_first().expect("a table has a header");
        let line = |row: &[String]| format!("| {} |\n", row.join(" | "));
        let rule = format!("|---|{}\n", "--:|".repeat(header.len() - 1));
        let table: String = [line(header), rule].into_iter().chain(rows.iter().map(|row| line(row))).collect();
        let orders = self.orders().fold(String::new(), |mut text, (balancer, orders)| {
            let _ = write!(text, "Orders behind {balancer}: {orders}\n\n");
            text
        });
        format!(
            "# roll: {}\n\n{}, started {}.\n\n{table}\n{orders}{}\n",
            self.verdict.as_str(),
            self.headline(),
            self.started,
            self.conclusion("  \n"),
        )
    }

    fn headline(&self) -> String {
        let Self { rounds, instances, seed, load, .. } = self;
        let plural = if *rounds == 1 { "round" } else { "rounds" };
        format!("{rounds} {plural} of {instances} instances by SIGTERM, seed {seed}, {load}")
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let all = || self.behind.iter().flat_map(|behind| [&behind.service, &behind.control]);
        let more = all().flat_map(|rolled| rolled.counts.keys().copied()).filter(|class| !ALWAYS.contains(class));
        let mut classes = ALWAYS.to_vec();
        for class in more {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        let header = ["behind", "restarts", "looked away", "at risk", "requests"].map(str::to_owned);
        let header =
            header.into_iter().chain(classes.iter().map(|class| class.label().to_owned())).chain([String::new()]);
        let mut rows = vec![header.collect::<Vec<_>>()];
        for Behind { balancer, version, service, control } in &self.behind {
            let caught = if control.lost() > 0 { "caught" } else { "NOT CAUGHT" };
            rows.push(row(format!("{balancer} {version}"), service, &classes, ""));
            let control_name = format!("  control: {}, {}", control.server.label(), balancer.control_signal());
            rows.push(row(control_name, control, &classes, caught));
        }
        rows
    }

    fn conclusion(&self, between: &str) -> String {
        if self.verdict != Verdict::Pass {
            return self.reasons.join(between);
        }
        let sum = |of: fn(&Rolled) -> u64| self.behind.iter().map(|behind| of(&behind.service)).sum::<u64>();
        let (at_risk, requests) = (sum(|rolled| rolled.at_risk), sum(Rolled::requests));
        // The rule of three: none in n bounds the rate at 3 / n.
        format!(
            "none of {requests} requests failed, {at_risk} of them at risk (95 %: fewer than 1 in {})",
            (at_risk / 3).max(1)
        )
    }

    fn orders(&self) -> impl Iterator<Item = (Balancer, &Orders)> {
        self.behind.iter().filter_map(|behind| Some((behind.balancer, behind.service.orders.as_ref()?)))
    }

    fn failed(&self) -> impl Iterator<Item = (Balancer, &Failed)> {
        self.behind
            .iter()
            .flat_map(|behind| behind.service.failed.iter().take(TOLD).map(|failed| (behind.balancer, failed)))
    }
}

fn row(name: String, rolled: &Rolled, classes: &[Class], remark: &str) -> Vec<String> {
    let looked_away = rolled.looked_away_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"));
    let numbers = [rolled.restarts.to_string(), looked_away, rolled.at_risk.to_string(), rolled.requests().to_string()];
    let counts = classes.iter().map(|class| rolled.count(*class).to_string());
    [name].into_iter().chain(numbers).chain(counts).chain([remark.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rolled(server: Server, more: &[(Class, u64)]) -> Rolled {
        let counts = [(Class::Ok, 900)].into_iter().chain(more.iter().copied()).collect();
        Rolled { restarts: 6, at_risk: 40, counts, ..Rolled::new(server) }
    }

    fn verdict(service: Rolled, control: Rolled) -> (Verdict, Vec<String>) {
        judge(&[Behind { balancer: Balancer::Haproxy, version: "1.0".to_owned(), service, control }])
    }

    fn of_service(more: &[(Class, u64)]) -> (Verdict, Vec<String>) {
        verdict(rolled(Server::Service, more), rolled(Server::Naive, &[(Class::Unseen, 3)]))
    }

    #[test]
    fn c47_one_request_without_its_one_answer_fails_the_run() {
        assert_eq!(of_service(&[]), (Verdict::Pass, Vec::new()));
        for class in [Class::Lost, Class::Unseen, Class::Dup, Class::BadRejection, Class::Rejected, Class::Error] {
            let reason = format!("HAProxy: 1 {}", class.label());
            assert_eq!(of_service(&[(class, 1)]), (Verdict::Fail, vec![reason]));
        }
        assert_eq!(of_service(&[(Class::Unlogged, 1)]).0, Verdict::Inconclusive);
    }

    #[test]
    fn c47_control_that_loses_nothing_fails_the_run_unless_it_has_an_excuse() {
        let blind = rolled(Server::Naive, &[]);
        let (word, reasons) = verdict(rolled(Server::Service, &[]), blind.clone());
        assert_eq!(word, Verdict::Fail);
        assert_eq!(reasons, ["HAProxy: the control lost nothing: a harness that cannot see a loss proves nothing"]);
        let excused = Rolled { doubts: vec!["it did not start".to_owned()], ..blind };
        assert_eq!(verdict(rolled(Server::Service, &[]), excused).0, Verdict::Inconclusive);
    }

    #[test]
    fn restarts_that_meet_nobody_prove_nothing() {
        let idle = Rolled { at_risk: 5, ..rolled(Server::Service, &[]) };
        let (word, reasons) = verdict(idle, rolled(Server::Naive, &[(Class::Lost, 1)]));
        assert_eq!(word, Verdict::Inconclusive);
        assert_eq!(reasons, ["HAProxy: only 5 requests were at risk in 6 restarts"]);
    }
}
