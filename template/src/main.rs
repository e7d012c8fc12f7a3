//! The repository as a template for cargo-generate: `make` writes what a generated project has otherwise, `check` proves that it works.

mod check;
mod commands;
mod edits;
mod lock;
mod project;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;

use crate::edits::Edits;

/// Makes the repository's template, or checks it.
#[derive(Parser)]
enum Cli {
    /// Writes each FILE.liquid that template/edits.toml asks for
    Make,
    /// Generates projects with every combination of choices from a clean clone of HEAD, and builds, tests and loads them
    Check {
        /// Looks at the projects, and builds none
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    // Started without cargo, it works on the repository that it is started in.
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = folder.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    let done = match Cli::parse() {
        Cli::Make => made(root).and_then(|files| write(root, &files)),
        Cli::Check { quick } => check::check(root, quick),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("template: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A file with Liquid, and what it holds.
type Made = (PathBuf, String);

/// Every file that is made, by its path from the root.
fn made(root: &Path) -> anyhow::Result<Vec<Made>> {
    let edits = Edits::read(root)?;
    let mut files = edits.twins(root)?;
    files.extend(lock::twins(root, &edits)?);
    Ok(files)
}

fn write(root: &Path, files: &[Made]) -> anyhow::Result<()> {
    for (path, text) in files {
        fs::write(root.join(path), text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
