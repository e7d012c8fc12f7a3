//! `Cargo.lock` of a generated project: what cargo makes of this repository's when the members that stay behind are gone.
//!
//! Features decide on orders and TLS, so one lock fits every choice. Only the place of the service's package depends on its
//! name: they are sorted, and a lock that is not would be written anew by the first build.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use regex::Regex;

use crate::{
    Made,
    commands::{clone, run, tool},
    edits::{Edits, liquid},
};

/// What the service's package is called here.
const OURS: &str = "name = \"service\"\n";

/// The lock with Liquid, and a script that refuses the names which it has for others: cargo could not tell them apart by a name alone.
pub(crate) fn twins(root: &Path, edits: &Edits) -> anyhow::Result<[Made; 2]> {
    let lock = without_what_stays_behind(root, edits)?;
    Ok([
        (liquid("Cargo.lock"), sorted_by_liquid(&lock)?),
        (PathBuf::from("template/dependencies.rhai"), refusing_dependencies(&lock)?),
    ])
}

fn without_what_stays_behind(root: &Path, edits: &Edits) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("project");
    clone(root, &copy)?;
    // What is being worked on counts.
    for file in run(tool("git").args(["ls-files", "*Cargo.toml", "Cargo.lock"]).current_dir(root))?.lines() {
        fs::copy(root.join(file), copy.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    fs::write(copy.join("Cargo.toml"), edits.plain(root, "Cargo.toml")?)?;
    // Without --locked it drops what nobody asks for any more; what is left keeps its version.
    run(tool("cargo").args(["metadata", "--format-version=1"]).current_dir(&copy))?;
    fs::read_to_string(copy.join("Cargo.lock")).context("cargo has written no lock")
}

/// Cuts the service's package out and lets Liquid put it where its name belongs.
fn sorted_by_liquid(lock: &str) -> anyhow::Result<String> {
    let mut packages: Vec<_> = lock.trim_end().split("\n\n").collect();
    let head = packages.remove(0);
    let place = packages.iter().position(|package| package.contains(OURS)).context("Cargo.lock has no service")?;
    let own = packages.remove(place).replace(OURS, "name = \"{{project-name}}\"\n");
    let (rest, last) = (packages.join("\n\n"), "{% endcapture %}");
    Ok(format!(
        "{{% capture own %}}{own}{last}{{% capture rest %}}{rest}{last}\
         {{% capture gap %}}\n\n{last}{{% assign packages = rest | split: gap %}}{{% assign is_in = false %}}\
         {head}{{% for package in packages %}}{{% unless is_in %}}{{% if own < package %}}{{{{gap}}}}{{{{own}}}}\
         {{% assign is_in = true %}}{{% endif %}}{{% endunless %}}{{{{gap}}}}{{{{package}}}}{{% endfor %}}\
         {{% unless is_in %}}{{{{gap}}}}{{{{own}}}}{{% endunless %}}\n"
    ))
}

fn refusing_dependencies(lock: &str) -> anyhow::Result<String> {
    let packages = Regex::new("name = \"(.*)\"\nversion = \".*\"\nsource = ")?;
    let names: BTreeSet<_> = packages.captures_iter(lock).map(|package| package[1].to_owned()).collect();
    let listed = names.iter().map(|name| format!("    {name:?},\n")).collect::<Vec<_>>().concat();
    Ok(format!(
        "// Made by `just template`: what the service and its tools depend on.\n\
         const DEPENDENCIES = [\n{listed}];\n\n\
         if variable::is_set(\"project-name\") {{\n    \
             let name = variable::get(\"project-name\");\n    \
             if name in DEPENDENCIES {{\n        \
                 abort(`project-name: \"${{name}}\" is taken by a crate that is built in; add a word, as tea-shop`);\n    \
             }}\n}}\n"
    ))
}
