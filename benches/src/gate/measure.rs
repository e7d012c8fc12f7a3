//! Runs the benches under Valgrind and reads what they counted.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::injected::INJECT;

/// What one bench took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Instructions, as Callgrind counts them.
    pub instructions: u64,
    /// Blocks of memory that were asked for, as DHAT counts them.
    pub allocations: u64,
}

/// One bench, as gungraun writes it.
#[derive(Deserialize)]
struct Summary {
    function_name: String,
    id: String,
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    tool: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    total: Total,
}

#[derive(Deserialize)]
struct Total {
    metrics: BTreeMap<String, Metric>,
}

#[derive(Deserialize)]
struct Metric {
    values: Values,
}

#[derive(Deserialize)]
struct Values {
    /// A rate has a fraction, a count has none.
    new: serde_json::Number,
}

/// Builds and runs every bench once. `inject` is what [`INJECT`] is set to.
///
/// # Errors
///
/// Valgrind or `gungraun-runner` is missing, or something does not build.
pub fn measure(inject: Option<&str>) -> anyhow::Result<BTreeMap<String, Counts>> {
    let mut bench = Command::new(env!("CARGO"));
    bench.args(["bench", "--quiet", "--locked", "--package", "benches", "--bench", "instructions"]);
    bench.args(["--", "--output-format=json"]).env_remove(INJECT);
    if let Some(inject) = inject {
        bench.env(INJECT, inject);
    }
    let output = bench.output().context("cargo cannot be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the benches did not run: {said}\nThey need valgrind, and gungraun-runner of gungraun's own version: \
         cargo install gungraun-runner --version 0.20.0 --locked"
    );
    let text = String::from_utf8(output.stdout).context("gungraun writes UTF-8")?;
    let counts: BTreeMap<_, _> = text.lines().map(read).collect::<anyhow::Result<_>>()?;
    ensure!(!counts.is_empty(), "no bench was run: {said}");
    Ok(counts)
}

fn read(line: &str) -> anyhow::Result<(String, Counts)> {
    let summary: Summary = serde_json::from_str(line).context("gungraun's summary is not understood")?;
    let count = |tool: &str, metric: &str| {
        let profile = summary.profiles.iter().find(|profile| profile.tool == tool)?;
        profile.data.total.metrics.get(metric)?.values.new.as_u64()
    };
    let name = format!("{} {}", summary.function_name, summary.id);
    let instructions = count("Callgrind", "Ir").with_context(|| format!("{name}: no instructions"))?;
    let allocations = count("DHAT", "TotalBlocks").with_context(|| format!("{name}: no allocations"))?;
    Ok((name, Counts { instructions, allocations }))
}
