//! What was counted when all was well, in the repository.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::measure::Counts;

/// The file, from the workspace's root.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");

/// The counts, and what they were made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// With these.
    pub tools: Tools,
    /// By the name of the bench.
    pub benches: BTreeMap<String, Counts>,
    /// How far a run may be from that by chance, as a share: twice as far as several runs were apart.
    pub noise: BTreeMap<String, f64>,
}

/// What decides about how many instructions the same source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// The compiler.
    pub rustc: String,
    /// The counter.
    pub valgrind: String,
    /// The C library, whose memory functions are a large part.
    pub libc: String,
}

impl Baseline {
    /// Of several runs of the same tree: the middle of each bench.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn of(tools: Tools, runs: &[BTreeMap<String, Counts>]) -> Self {
        let names = runs.first().expect("there is a run").keys();
        let sorted = |name: &String| {
            let mut counts: Vec<_> = runs.iter().filter_map(|run| run.get(name)).copied().collect();
            counts.sort_unstable_by_key(|counts| counts.instructions);
            counts
        };
        let middle = |name: &String| sorted(name)[sorted(name).len() / 2];
        let noise = |name: &String| {
            let counts = sorted(name);
            let spread = counts[counts.len() - 1].instructions - counts[0].instructions;
            2.0 * spread as f64 / middle(name).instructions as f64
        };
        Self {
            tools,
            benches: names.clone().map(|name| (name.clone(), middle(name))).collect(),
            noise: names.map(|name| (name.clone(), noise(name))).collect(),
        }
    }

    /// The one in the repository.
    pub fn load() -> anyhow::Result<Self> {
        let text = fs::read(FILE).context("benches/baseline.json cannot be read; make it by `just gate-update`")?;
        serde_json::from_slice(&text)
            .context("benches/baseline.json is not understood; make it anew by `just gate-update`")
    }

    /// Puts it into the repository.
    pub fn store(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(Path::new(FILE), text).context("benches/baseline.json cannot be written")
    }
}

impl Tools {
    /// Those of this machine.
    ///
    /// # Errors
    ///
    /// One is missing.
    pub fn here() -> anyhow::Result<Self> {
        let first_line = |program: &str, argument: &str| -> anyhow::Result<String> {
            let missing = || format!("{program} is missing; install it (Debian: apt-get install valgrind libc-bin)");
            let output = Command::new(program).arg(argument).output().with_context(missing)?;
            let text = [output.stdout, output.stderr].concat();
            Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned())
        };
        Ok(Self {
            rustc: first_line("rustc", "--version")?,
            valgrind: first_line("valgrind", "--version")?,
            libc: first_line("ldd", "--version")?,
        })
    }
}
