//! Whether what was counted now is worse than the baseline.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
};

use super::{
    baseline::{Baseline, Tools},
    measure::Counts,
};

/// What more instructions than this share is a regression, unless the counting itself is noisier.
const MOST: f64 = 0.005;

/// How one bench compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// As it was, or nearly.
    Same,
    /// Fewer instructions or allocations: time for a new baseline.
    Better,
    /// This is worse.
    Worse(&'static str),
    /// Instructions by other tools are not comparable; allocations are the same.
    NotComparable,
    /// It is not in the baseline.
    New,
    /// It is in the baseline alone.
    Gone,
}

/// All of them.
#[derive(Debug)]
pub struct Verdict {
    rows: Vec<Row>,
    tools: Option<(Tools, Tools)>,
}

#[derive(Debug)]
struct Row {
    name: String,
    then: Option<Counts>,
    now: Option<Counts>,
    judgement: Judgement,
}

impl Verdict {
    /// Compares.
    pub fn of(baseline: &Baseline, tools: &Tools, now: &BTreeMap<String, Counts>) -> Self {
        let comparable = baseline.tools == *tools;
        let names: BTreeSet<_> = baseline.benches.keys().chain(now.keys()).collect();
        let row = |name: &String| {
            let (then, now) = (baseline.benches.get(name).copied(), now.get(name).copied());
            let judgement =
                judge(then, now, comparable, MOST.max(baseline.noise.get(name).copied().unwrap_or_default()));
            Row { name: name.clone(), then, now, judgement }
        };
        Self {
            rows: names.into_iter().map(row).collect(),
            tools: (!comparable).then(|| (baseline.tools.clone(), tools.clone())),
        }
    }

    /// Whether nothing is worse, new, or gone: those who change what is measured say so by a new baseline.
    pub fn passes(&self) -> bool {
        self.rows.iter().all(|row| !matches!(row.judgement, Judgement::Worse(_) | Judgement::New | Judgement::Gone))
    }

    /// How this bench compares.
    pub fn judgement(&self, name: &str) -> Option<&Judgement> {
        self.rows.iter().find(|row| row.name == name).map(|row| &row.judgement)
    }

    /// For a summary on GitHub.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| bench | instructions | | allocations | |\n|---|--:|--:|--:|---|\n");
        for row in &self.rows {
            let [instructions, change, allocations, judgement] = row.cells();
            let _ = writeln!(text, "| {} | {instructions} | {change} | {allocations} | {judgement} |", row.name);
        }
        text
    }

    /// PASS or FAIL, and what to do.
    pub fn conclusion(&self) -> String {
        let mut text = String::new();
        if let Some((then, now)) = &self.tools {
            let _ = writeln!(text, "instructions are not judged: the baseline is of {then:?}, and here is {now:?}");
        }
        text + if self.passes() {
            "gate      PASS"
        } else {
            "gate      FAIL   meant so? `just gate-update` makes the new baseline, and shows the difference"
        }
    }
}

fn judge(then: Option<Counts>, now: Option<Counts>, comparable: bool, most: f64) -> Judgement {
    let (then, now) = match (then, now) {
        (Some(then), Some(now)) => (then, now),
        (None, _) => return Judgement::New,
        (_, None) => return Judgement::Gone,
    };
    let change = now.instructions as f64 / then.instructions as f64 - 1.0;
    if now.allocations > then.allocations {
        Judgement::Worse("more allocations")
    } else if comparable && change > most {
        Judgement::Worse("more instructions")
    } else if now.allocations < then.allocations || (comparable && change < -most) {
        Judgement::Better
    } else if comparable {
        Judgement::Same
    } else {
        Judgement::NotComparable
    }
}

impl Row {
    fn cells(&self) -> [String; 4] {
        let count = |counts: Option<Counts>, of: fn(Counts) -> u64| {
            counts.map_or("–".to_owned(), |counts| of(counts).to_string())
        };
        let change = match (self.then, self.now) {
            (Some(then), Some(now)) => {
                format!("{:+.2} %", (now.instructions as f64 / then.instructions as f64 - 1.0) * 100.0)
            }
            _ => "–".to_owned(),
        };
        let allocations =
            match (count(self.then, |counts| counts.allocations), count(self.now, |counts| counts.allocations)) {
                (then, now) if then == now => now,
                (then, now) => format!("{then} → {now}"),
            };
        [count(self.now, |counts| counts.instructions), change, allocations, self.judgement.to_string()]
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "",
            Self::Better => "better: time for a new baseline",
            Self::Worse(why) => why,
            Self::NotComparable => "instructions not judged",
            Self::New => "new: not in the baseline",
            Self::Gone => "gone: in the baseline alone",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} {:>12} {:>9}  {:>15}", "bench", "instructions", "change", "allocations")?;
        for row in &self.rows {
            let [instructions, change, allocations, judgement] = row.cells();
            writeln!(f, "{:<28} {instructions:>12} {change:>9}  {allocations:>15}  {judgement}", row.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: u64, allocations: u64) -> BTreeMap<String, Counts> {
        [("request".to_owned(), Counts { instructions, allocations })].into()
    }

    fn tools(rustc: &str) -> Tools {
        Tools { rustc: rustc.into(), valgrind: "v".into(), libc: "l".into() }
    }

    fn judged(now: &BTreeMap<String, Counts>, rustc: &str, noise: f64) -> (bool, Judgement) {
        let noise = [("request".to_owned(), noise)].into();
        let baseline = Baseline { tools: tools("1"), noise, benches: counts(10_000, 18) };
        let verdict = Verdict::of(&baseline, &tools(rustc), now);
        (verdict.passes(), verdict.judgement("request").expect("it is there").clone())
    }

    #[test]
    fn half_a_percent_of_instructions_or_one_allocation_is_worse() {
        assert_eq!(judged(&counts(10_050, 18), "1", 0.0), (true, Judgement::Same));
        assert_eq!(judged(&counts(10_051, 18), "1", 0.0), (false, Judgement::Worse("more instructions")));
        assert_eq!(judged(&counts(9_000, 19), "1", 0.0), (false, Judgement::Worse("more allocations")));
        assert_eq!(judged(&counts(9_000, 18), "1", 0.0), (true, Judgement::Better));
    }

    #[test]
    fn counting_that_is_noisy_in_itself_is_given_its_noise() {
        assert_eq!(judged(&counts(10_100, 18), "1", 0.02), (true, Judgement::Same));
    }

    #[test]
    fn with_other_tools_allocations_alone_are_judged() {
        assert_eq!(judged(&counts(20_000, 18), "2", 0.0), (true, Judgement::NotComparable));
        assert_eq!(judged(&counts(20_000, 19), "2", 0.0), (false, Judgement::Worse("more allocations")));
    }

    #[test]
    fn what_is_measured_is_not_changed_in_silence() {
        let more: BTreeMap<_, _> = [("other".to_owned(), Counts { instructions: 1, allocations: 0 })].into();
        assert_eq!(judged(&more, "1", 0.0), (false, Judgement::Gone));
    }
}
