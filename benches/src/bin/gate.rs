//! The regression gate: `gate`, `gate --update`, `gate --self-test`, and beside it `gate --pairs BASE [--strict]`.

use std::{env, fs::OpenOptions, io::Write, process::ExitCode};

use anyhow::{Context, bail, ensure};
use benches::{
    asked::Asked,
    gate::{Baseline, Comparison, Judgement, PAIRS, Stops, Tools, Tree, Verdict, measure},
    peers::{self, Peer},
};

/// Runs of an unchanged tree that the self-test makes, all of which have to pass; and those of a new baseline.
const UNCHANGED: usize = 10;
const RUNS: usize = 5;

/// The bench that a regression is put into.
const VICTIM: &str = "request_winddown of_100";

/// In place of the counts' own conclusion.
const STOP_FAILS: &str = "gate      FAIL   a stop leaves somebody without a word, or outlives its last answer";

fn main() -> anyhow::Result<ExitCode> {
    if let Asked::Server(args) = Asked::now() {
        return peers::serve(&args);
    }
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => check(&Tools::here()?),
        ["--update"] => update(Tools::here()?),
        ["--self-test"] => self_test(&Tools::here()?),
        ["--pairs", base] => pairs(base, false),
        ["--pairs", base, "--strict"] => pairs(base, true),
        _ => bail!(
            "{args:?} is not understood; `gate` checks, `gate --update` makes a new baseline, `gate --self-test` tests the gate, \
             `gate --pairs BASE` compares the wall clock with that of a commit, and with `--strict` fails when it is longer"
        ),
    }
}

fn check(tools: &Tools) -> anyhow::Result<ExitCode> {
    let baseline = Baseline::load()?;
    let verdict = Verdict::of(&baseline, tools, &measure(None)?);
    let stops = Stops::of(Peer::Winddown)?;
    let conclusion = if stops.passes() { verdict.conclusion() } else { STOP_FAILS.into() };
    println!("{verdict}stops     {stops}\n{conclusion}");
    summarise(&format!("{}\n{stops}\n\n{conclusion}", verdict.markdown()))?;
    Ok(if verdict.passes() && stops.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summarise(markdown: &str) -> anyhow::Result<()> {
    if let Some(path) = env::var_os("GITHUB_STEP_SUMMARY") {
        let mut summary = OpenOptions::new().append(true).create(true).open(path).context("GITHUB_STEP_SUMMARY")?;
        writeln!(summary, "{markdown}").context("GITHUB_STEP_SUMMARY")?;
    }
    Ok(())
}

/// Advises: times on a shared machine do not repeat, so only who asks for it is stopped by them.
fn pairs(base: &str, strict: bool) -> anyhow::Result<ExitCode> {
    eprintln!("building the request bench of {base} and of what is here, then {PAIRS} pairs");
    let (base, head) = (Tree::at(base)?, Tree::here()?);
    let comparison = Comparison::run(|| base.time(), || head.time())?;
    println!("wall clock of a request   {comparison}");
    summarise(&comparison.markdown())?;
    Ok(if strict && comparison.is_slower() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn update(tools: Tools) -> anyhow::Result<ExitCode> {
    let runs = (0..RUNS).map(|_| measure(None)).collect::<anyhow::Result<Vec<_>>>()?;
    let baseline = Baseline::of(tools, &runs);
    if let Ok(before) = Baseline::load() {
        print!("{}", Verdict::of(&before, &baseline.tools, &baseline.benches));
    }
    baseline.store()?;
    let noise = baseline.noise.values().copied().fold(0.0, f64::max);
    println!("benches/baseline.json is made anew, of {RUNS} runs; what is {:.3} % off may be chance", noise * 100.0);
    Ok(ExitCode::SUCCESS)
}

/// Holds the gate to what it is there for: an unchanged tree passes, and what is worse does not.
fn self_test(tools: &Tools) -> anyhow::Result<ExitCode> {
    // Of this very tree and these tools, so that nothing else is tested.
    let baseline = Baseline::of(tools.clone(), &[measure(None)?]);
    for run in 1..=UNCHANGED {
        let verdict = Verdict::of(&baseline, tools, &measure(None)?);
        ensure!(verdict.passes(), "run {run} of an unchanged tree does not pass:\n{verdict}");
    }
    println!("unchanged            passes, {UNCHANGED} times of {UNCHANGED}");
    for (inject, why) in [("instructions", "more instructions"), ("allocation", "more allocations")] {
        let now = measure(Some(inject))?;
        let verdict = Verdict::of(&baseline, tools, &now);
        ensure!(
            verdict.judgement(VICTIM) == Some(&Judgement::Worse(why)),
            "what was made worse by one of {inject} is not caught:\n{verdict}"
        );
        let share = now[VICTIM].instructions as f64 / baseline.benches[VICTIM].instructions as f64 - 1.0;
        ensure!(share < 0.03, "{inject}: {:.1} % is no small regression", share * 100.0);
        println!(
            "{inject:<20} caught: {:+.1} % instructions, {:+} allocations a hundred requests",
            share * 100.0,
            now[VICTIM].allocations.cast_signed() - baseline.benches[VICTIM].allocations.cast_signed()
        );
    }
    let stops = Stops::of(Peer::Axum)?;
    ensure!(stops.without_a_word > 0, "a server that says no goodbye is not caught: {stops}");
    println!("no goodbye           caught: {stops}");
    Ok(ExitCode::SUCCESS)
}
