//! A tree of sources, and its request bench: built once, run again and again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The bench of `benches/request.rs` that is run: a request on a connection of winddown.
const BENCH: &str = "request/winddown";

/// As long is a run: short, so that both of a pair meet the same machine. Criterion's own doubts are not asked for.
const ARGUMENTS: &str =
    "--bench --noplot --warm-up-time 0.2 --measurement-time 0.5 --sample-size 100 --nresamples 1001";

/// Where the workspace is.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The request bench of one tree.
#[derive(Debug)]
pub struct Tree {
    program: PathBuf,
    /// Where it puts its estimates.
    results: PathBuf,
}

/// What criterion leaves of a run: how many times each sample did it, and in how many nanoseconds.
#[derive(Deserialize)]
struct Samples {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// What cargo says of what it has built; the gate itself is a part of that.
#[derive(Deserialize)]
struct Built {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Tree {
    /// What is here, committed or not.
    pub fn here() -> anyhow::Result<Self> {
        Self::build("head", Path::new(ROOT))
    }

    /// What `revision` is. It has a worktree of its own below `target`, which the next comparison finds built.
    pub fn at(revision: &str) -> anyhow::Result<Self> {
        let git = |arguments: &[&str]| run(Command::new("git").args(["-C", ROOT]).args(arguments));
        let commit = git(&["rev-parse", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])
            .with_context(|| format!("{revision:?} is no commit here; fetch it first"))?;
        let tree = folder("base-tree")?;
        let path = tree.to_str().context("the path of the workspace is not UTF-8")?;
        git(&["worktree", "prune"])?;
        if tree.join(".git").exists() {
            git(&["-C", path, "checkout", "--quiet", "--detach", commit.trim()])?;
        } else {
            git(&["worktree", "add", "--quiet", "--force", "--detach", path, commit.trim()])?;
        }
        Self::build("base", &tree)
    }

    fn build(name: &str, tree: &Path) -> anyhow::Result<Self> {
        let mut cargo = Command::new("cargo");
        cargo.args(["bench", "--quiet", "--locked", "--package", "benches", "--bench", "request", "--no-run"]);
        // A target of its own: cargo takes packages at the same place in two workspaces for the same.
        cargo
            .arg("--message-format=json")
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", folder(&format!("{name}-target"))?);
        let built = run(&mut cargo)?;
        let mut built = built.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
        let program = built.find(|built| built.target.name == "request").and_then(|built| built.executable);
        Ok(Self {
            program: program.with_context(|| format!("cargo has built no request bench of {name}"))?,
            results: folder(&format!("{name}-results"))?,
        })
    }

    /// Runs it once: nanoseconds of a request in the fastest sample. Whatever else the machine does makes samples slower and
    /// none faster, so beside other work the fastest repeats to 2 % where the median is 25 % off.
    pub fn time(&self) -> anyhow::Result<f64> {
        run(Command::new(&self.program).args(ARGUMENTS.split(' ')).arg(BENCH).env("CRITERION_HOME", &self.results))?;
        let path = self.results.join(BENCH).join("new/sample.json");
        let text = fs::read(&path).with_context(|| format!("{} has no bench {BENCH}", self.program.display()))?;
        let samples: Samples = serde_json::from_slice(&text).context("criterion's samples are not understood")?;
        // A run that leaves nothing must not be taken for this one.
        fs::remove_file(&path)?;
        let each = samples.times.iter().zip(&samples.iters).map(|(time, iters)| time / iters);
        each.min_by(f64::total_cmp).context("criterion has taken no sample")
    }
}

/// One for comparisons, below `target`.
fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(ROOT).canonicalize()?.join("target/pairs").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// What `command` writes.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", command.get_program().display());
    String::from_utf8(output.stdout).context("it writes UTF-8")
}
