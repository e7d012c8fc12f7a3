//! What a run leaves behind: the verdict on standard output, and in its folder for machines and for people.

use std::{
    env,
    fmt::Write,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Serialize;

use crate::{
    orders::Orders,
    scenario::{Scenario, StopSignal},
    stop::Stop,
    table::Table,
    verdict::{Finding, Power, Verdict, is_caught, judge},
};

/// The version of `verdict.json`. A field may be added without a new one; none changes its meaning.
const SCHEMA: u32 = 1;

/// So many failing requests are told on the screen; `verdict.json` has more.
const TOLD: usize = 3;

/// A run, judged.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    scenario: String,
    what: String,
    started: String,
    server: &'static str,
    signal: StopSignal,
    seed: u64,
    load: String,
    #[serde(flatten)]
    finding: Finding,
    stops: Vec<Stop>,
    control: Option<Controlled>,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Debug, Serialize)]
struct Controlled {
    server: &'static str,
    caught: bool,
    stops: Vec<Stop>,
}

impl Report {
    /// Judges the run of `scenario` that `started` (RFC 3339) and left its traces in `folder`.
    pub fn new(
        scenario: &Scenario,
        started: String,
        folder: PathBuf,
        stops: Vec<Stop>,
        control: Option<Vec<Stop>>,
    ) -> Self {
        let finding = judge(&scenario.expect, &stops, control.as_deref());
        let control = scenario.control.zip(control).map(|(control, stops)| Controlled {
            server: control.server.label(),
            caught: is_caught(&stops),
            stops,
        });
        Self {
            schema: SCHEMA,
            scenario: scenario.name.as_ref().to_owned(),
            what: scenario.what.clone(),
            started,
            server: scenario.server.label(),
            signal: scenario.signal,
            seed: scenario.seed,
            load: scenario.load_in_words(),
            finding,
            stops,
            control,
            folder,
        }
    }

    /// The word.
    pub const fn verdict(&self) -> Verdict {
        self.finding.verdict
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

    /// As `verdict.json` has it.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let colour = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        let mut text = format!("{}   {}\n{}", self.scenario, self.headline(), self.table().text(colour));
        if let Some(orders) = self.orders() {
            let _ = writeln!(text, "orders    {orders}");
        }
        let word = self.verdict().as_str();
        let (before, after) = if colour { (self.verdict().colour(), "\x1b[0m") } else { ("", "") };
        let below = format!("\n          {:word$}   ", "", word = word.len());
        let _ = writeln!(text, "verdict   {before}{word}{after}   {}", self.conclusion(&below));
        for story in self.stories() {
            let _ = write!(text, "\n{story}");
        }
        let between = if self.stories().next().is_some() { "\n" } else { "" };
        let _ = writeln!(text, "{between}reports   {}", relative(&self.folder).display());
        text
    }

    fn markdown(&self) -> String {
        let Self { scenario, what, started, .. } = self;
        let orders = self.orders().map_or_else(String::new, |orders| format!("Orders: {orders}\n\n"));
        let mut text = format!(
            "# {scenario}: {}\n\n{what}\n\n{}, started {started}.\n\n{}\n{orders}{}\n",
            self.verdict().as_str(),
            self.headline(),
            self.table().markdown(),
            self.conclusion("  \n"),
        );
        for story in self.stories() {
            let _ = write!(text, "\n```text\n{story}```\n");
        }
        text
    }

    fn headline(&self) -> String {
        let stops = if self.stops.len() == 1 { "stop" } else { "stops" };
        format!("{} {stops} by {}, seed {}, {}", self.stops.len(), self.signal, self.seed, self.load)
    }

    fn table(&self) -> Table {
        Table::new(&self.stops, self.control.as_ref().map(|control| control.stops.as_slice()))
    }

    fn conclusion(&self, between: &str) -> String {
        let Finding { verdict, reasons, power: Power { in_flight, dropped, rate_below } } = &self.finding;
        if *verdict != Verdict::Pass {
            return reasons.join(between);
        }
        let orders = self.orders().map(|orders| format!("none of {} acknowledged orders", orders.acknowledged));
        if *dropped > 0 {
            let but = orders.map_or_else(String::new, |orders| format!(", but {orders}"));
            return format!("{dropped} requests were dropped, as this scenario expects{but}");
        }
        let and = orders.map_or_else(String::new, |orders| format!(", and {orders}"));
        let bound =
            rate_below.map_or_else(String::new, |rate| format!(" (95 %: fewer than 1 in {:.0})", (1.0 / rate).floor()));
        format!("none of {in_flight} requests in flight at a signal was lost{bound}{and}")
    }

    /// Those of all stops; the control keeps none.
    fn orders(&self) -> Option<Orders> {
        Orders::sum(self.stops.iter().filter_map(|stop| stop.orders.as_ref()))
    }

    fn stories(&self) -> impl Iterator<Item = String> {
        let of_stop =
            |stop: &Stop| stop.stories.iter().map(|story| format!("stop {}: {story}", stop.number)).collect::<Vec<_>>();
        self.stops.iter().flat_map(of_stop).take(TOLD)
    }
}

/// The verdicts of several runs, a line each.
pub fn summary(reports: &[Report]) -> String {
    let width = reports.iter().map(|report| report.scenario.len()).max().unwrap_or_default();
    let line = |report: &Report| {
        let (word, why) = (report.verdict().as_str(), report.finding.reasons.first().map_or("", String::as_str));
        format!("{:width$}   {word:12}   {why}", report.scenario).trim_end().to_owned() + "\n"
    };
    reports.iter().map(line).collect()
}

impl Verdict {
    pub(crate) const fn colour(self) -> &'static str {
        match self {
            Self::Pass => "\x1b[1;32m",
            Self::Inconclusive => "\x1b[1;33m",
            Self::Fail => "\x1b[1;31m",
        }
    }
}

/// `path` as seen from where the caller stands, when it lies below.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::Class,
        orders::{Order, Told, reconcile},
        process::Exit,
        verdict::tests::stop,
    };

    /// The text of a run with one order in each of two stops, which came to `more` and were `expect`ed to.
    fn text(expect: &str, more: &[(Class, u64)], settlements: u64) -> String {
        let scenario =
            format!("name = \"t\"\nwhat = \"t\"\n[load]\nusers = 9\nmix = {{ order = 100 }}\n[expect]\n{expect}");
        let scenario = Scenario::parse(&scenario, "t.toml".as_ref()).expect("it is a scenario");
        let found = [Order { key: "k".to_owned(), settlements }];
        let orders = reconcile([("k", Told::Acknowledged)], &found, Some(Exit { at: 0, code: 0 }));
        let stops = [1, 2].map(|number| Stop { orders: Some(orders.clone()), ..stop(number, more) });
        Report::new(&scenario, String::new(), PathBuf::from("t"), stops.to_vec(), None).text()
    }

    fn assert_tells(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|told| told == *line), "no {line:?} in\n{text}");
        }
    }

    #[test]
    fn the_orders_of_all_stops_have_a_line_and_a_part_in_the_verdict() {
        assert_tells(
            &text("", &[], 1),
            &[
                "orders    2 acknowledged, 2 found (0 unanswered) · 0 lost · 0 double · 0 unsettled · 0 unknown · 0 lie",
                "verdict   PASS   none of 142 requests in flight at a signal was lost (95 %: fewer than 1 in 47), \
                 and none of 2 acknowledged orders",
            ],
        );
        assert_tells(&text("", &[], 0), &["verdict   FAIL   stop 1: orders: 1 never settled, the first is k"]);
    }

    #[test]
    fn losses_that_are_expected_are_told() {
        let told = text("need = [\"lost\"]", &[(Class::Lost, 5)], 1);
        let verdict =
            "verdict   PASS   10 requests were dropped, as this scenario expects, but none of 2 acknowledged orders";
        assert_tells(&told, &[verdict]);
    }
}
