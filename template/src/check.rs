//! Projects of every combination of choices, from a clean clone: looked at, built, tested, and stopped under load.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::{
    commands::{clone, run, run_and_hear, tool},
    edits::Edits,
    made,
    project::{Choice, Project, files},
};

/// The first is our own name with every choice on. Dashes, digits and underlines are what a name can have in it.
const CHOICES: [Choice; 5] = [
    Choice { name: "service", orders: true, tls: true },
    Choice { name: "tea-shop-2", orders: true, tls: true },
    Choice { name: "clock", orders: false, tls: true },
    Choice { name: "zoo_keeper", orders: true, tls: false },
    Choice { name: "a1", orders: false, tls: false },
];

/// The tests of the service that each combination passes, by parts of their names: the first cases, the check, what is refused.
const QUICK: [&str; 4] = ["c0", "c15_", "refused", "settings"];

/// What is built here is run once, so it is built quickly rather than well; and tests as well as what is stopped under load in one profile, so
/// that the dependencies of each set of features are compiled once.
const QUICKLY: [(&str, &str); 4] = [
    ("CARGO_INCREMENTAL", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
];

/// Names that are refused, and a word of the reason.
const REFUSED: [(&str, &str); 5] = [
    ("bytes", "is taken by a crate"),
    ("2-teas", "begin"),
    ("chaos", "is taken"),
    ("async", "is taken"),
    ("t\u{e9}", "has \"\u{e9}\" in it"),
];

/// Written by hand, or by cargo: other files than ours under every name.
const OTHERS: [&str; 4] = [".github/workflows/ci.yml", "Cargo.lock", "README.md", "justfile"];

#[derive(Deserialize)]
struct Config {
    template: TemplateConfig,
}

#[derive(Deserialize)]
struct TemplateConfig {
    include: Vec<String>,
    ignore: Vec<String>,
}

pub(crate) fn check(root: &Path, quick: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let step = |told: &str| println!("{:>5.0?} s  {told}", began.elapsed().as_secs_f64());
    run(tool("cargo").args(["generate", "--version"]))
        .context("cargo-generate is missing: cargo install cargo-generate --version 0.23.14 --locked")?;

    step("what is made is up to date");
    for (path, text) in made(root)? {
        let is = fs::read_to_string(root.join(&path)).unwrap_or_default();
        ensure!(is == text, "{} is out of date: run `just template`", path.display());
    }
    let folder = tempfile::tempdir()?;
    let template = folder.path().join("winddown");
    clone(root, &template)?;
    let config: Config = toml::from_str(&fs::read_to_string(template.join("cargo-generate.toml"))?)?;
    every_liquid_is_included(&template, &config.template.include)?;
    let at = template.to_str().context("a temporary path is text")?;
    let from = [["--path", at], ["--git", at]];

    step("names that cannot be are refused");
    for (name, why) in REFUSED {
        refuse(from[0], folder.path(), name, why)?;
    }
    let edits = Edits::read(&template)?;
    let is_renamed = |path: &&String| edits.renamed().any(|renamed| renamed == *path);
    let stays: Vec<_> = config.template.ignore.iter().filter(|path| !is_renamed(path)).collect();
    let differ: Vec<_> = edits.differing().chain(OTHERS).collect();
    // They share what they depend on. Each is made when the one before has been built: cargo takes what is older for built.
    let target = root.join("target/template");
    for (number, (choice, from)) in CHOICES.into_iter().zip(from.into_iter().cycle()).enumerate() {
        step(&format!("{} from {}: orders {}, tls {}", choice.name, from[0], choice.orders, choice.tls));
        let project = Project::generate(from, folder.path(), choice)?;
        project.inspect()?;
        if number == 0 {
            step("under our own name it is this repository");
            project.is_the_same_as(&template, &differ, &stays)?;
        } else if !quick {
            step(&format!("{} is built and tested", project.choice.name));
            builds_and_passes(&project, &target, number == 1)?;
            step(&format!("{} is stopped under load", project.choice.name));
            is_stopped_under_load(&project, &target, number == 1)?;
        }
    }
    step("all of it holds");
    Ok(())
}

/// `include` and the files with Liquid are the same.
fn every_liquid_is_included(template: &Path, include: &[String]) -> anyhow::Result<()> {
    let with_liquid = files(template)?.into_iter().filter(|file| file.extension().is_some_and(|it| it == "liquid"));
    // Braces mean something in the patterns of `include`.
    let pattern = |path: PathBuf| {
        let path = path.with_extension("").display().to_string();
        format!("/{}", path.replace('{', "\\{").replace('}', "\\}"))
    };
    let mut with_liquid: Vec<_> = with_liquid.map(pattern).collect();
    let mut included = include.to_vec();
    with_liquid.sort();
    included.sort();
    ensure!(included == with_liquid, "cargo-generate.toml includes {included:#?}, and there are {with_liquid:#?}");
    Ok(())
}

fn refuse(from: [&str; 2], into: &Path, name: &'static str, why: &str) -> anyhow::Result<()> {
    let answer = Project::generate(from, into, Choice { name, orders: true, tls: true });
    let error = answer.err().with_context(|| format!("{name} is taken for a name"))?.to_string();
    ensure!(error.contains("project-name: ") && error.contains(why), "{name} is refused with {error}");
    Ok(())
}

fn builds_and_passes(project: &Project, target: &Path, is_whole: bool) -> anyhow::Result<()> {
    let (name, lock) = (project.choice.name, project.text("Cargo.lock")?);
    let cargo = |words: &[&str]| cargo(project, target, words);
    // With the whole workspace each time, so that what it depends on is compiled once. The library's tests in processes of their own are
    // run here, and are the same there.
    let mut words = vec!["test", "--release", "--locked", "--workspace", "--lib", "--bins"];
    let tests = project.tests(if is_whole { &["service", "chaos", "loadtest"] } else { &[] })?;
    words.extend(tests.iter().flat_map(|test| ["--test", test]));
    cargo(&words)?;
    if !is_whole {
        let service =
            ["test", "--release", "--locked", "--workspace", "--test", "check_config", "--test", "shutdown", "--"];
        cargo(&[&service[..], &QUICK].concat())?;
    }
    ensure!(project.text("Cargo.lock")? == lock, "{name}: a build has changed Cargo.lock");
    // Without --locked cargo would write it in its own order.
    cargo(&["metadata", "--format-version=1"])?;
    ensure!(project.text("Cargo.lock")? == lock, "{name}: cargo writes Cargo.lock otherwise");
    Ok(())
}

fn is_stopped_under_load(project: &Project, target: &Path, is_whole: bool) -> anyhow::Result<()> {
    let name = project.choice.name;
    let stops: &[_] = if is_whole { &[] } else { &["--stops", "1"] };
    let told = cargo(project, target, &[&["loadtest-shutdown"], stops].concat())?;
    let verdict = told.lines().find(|line| line.starts_with("verdict")).context("it tells no verdict")?;
    println!("         {verdict}");
    let has_orders = told.lines().any(|line| line.starts_with("orders "));
    ensure!(
        has_orders == project.choice.orders,
        "{name}: orders are placed where there are none, or none where there are\n{told}"
    );
    Ok(())
}

/// Says what cargo says. A project has no warnings to begin with.
fn cargo(project: &Project, target: &Path, words: &[&str]) -> anyhow::Result<String> {
    let mut cargo = tool("cargo");
    cargo.args(words).current_dir(&project.folder).env("CARGO_TARGET_DIR", target).envs(QUICKLY);
    let (said, errors) = run_and_hear(&mut cargo)?;
    let warning = errors.lines().find(|line| line.starts_with("warning"));
    ensure!(warning.is_none(), "{}: cargo warns\n{errors}", project.choice.name);
    Ok(said)
}
