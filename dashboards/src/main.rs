//! Makes the dashboards: `cargo run -p dashboards` writes them beside this crate's `Cargo.toml`.

#[cfg(test)]
mod compose;
mod dashboard;
mod look;
mod names;
mod panel;
#[cfg(test)]
mod promql;
mod query;
mod rollout;
mod rows;
#[cfg(test)]
mod rules;
mod service;
#[cfg(test)]
mod tests;

use std::{fs, path::Path};

use anyhow::Context;

use crate::{rollout::rollout, service::service};

/// Every file, by its name, with what it holds.
fn files() -> [(&'static str, String); 2] {
    let text = |dashboard: dashboard::Dashboard| format!("{:#}\n", dashboard.json());
    [("winddown.json", text(service())), ("winddown-rollout.json", text(rollout()))]
}

fn main() -> anyhow::Result<()> {
    for (name, text) in files() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
