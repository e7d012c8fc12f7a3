//! The binaries that a run needs, built by cargo and found through what cargo says of them, so that no path is guessed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;
use serde::Deserialize;

use crate::server::Server;

/// The load generator: its binary and the folder of the package that has it.
const LOADTEST: (&str, &str) = ("loadtest", "loadtest");

/// Where the binaries and the reports are.
#[derive(Debug)]
pub struct Binaries {
    paths: BTreeMap<String, PathBuf>,
    /// Cargo's target folder, which the reports go into.
    pub target: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        target: Target,
        executable: Option<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Binaries {
    /// Builds the load generator and `servers` in release; cargo's progress shows on standard error.
    pub fn build(servers: &BTreeSet<Server>) -> anyhow::Result<Self> {
        Self::build_with(servers, None)
    }

    /// The same with a feature of the service.
    pub fn build_with(servers: &BTreeSet<Server>, feature: Option<&str>) -> anyhow::Result<Self> {
        let metadata = Metadata::read()?;
        let mut build = cargo();
        build.args(["build", "--release", "--message-format=json-render-diagnostics"]);
        if let Some(feature) = feature {
            let service = metadata.package(Server::Service.binary().1)?;
            build.args(["--features", &format!("{service}/{feature}")]);
        }
        let mut wanted = BTreeMap::new();
        for (binary, folder) in servers.iter().map(|server| server.binary()).chain([LOADTEST]) {
            let package = metadata.package(folder)?;
            let target = if binary == folder { package } else { binary };
            build.args(["--package", package, "--bin", target]);
            wanted.insert(target, binary);
        }
        let mut build = build.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
        let output = build.stdout.take().context("cargo's output was asked for")?;
        let mut paths = BTreeMap::new();
        for line in BufReader::new(output).lines() {
            let Ok(Message::CompilerArtifact { target, executable: Some(path) }) = serde_json::from_str(&line?) else {
                continue;
            };
            if let Some(binary) = wanted.get(target.name.as_str()) {
                paths.insert((*binary).to_owned(), path);
            }
        }
        let status = build.wait()?;
        anyhow::ensure!(status.success(), "cargo build failed ({status}): its messages are above");
        Ok(Self { paths, target: metadata.target_directory })
    }

    /// Binaries that are there already; `target` is where reports go.
    pub fn found(paths: impl IntoIterator<Item = (String, PathBuf)>, target: PathBuf) -> Self {
        Self { paths: paths.into_iter().collect(), target }
    }

    /// Copies the binary `name` into `folder` and goes on with the copy: another build of it would take the place of this one.
    pub fn set_aside(&mut self, name: &str, folder: &Path) -> anyhow::Result<()> {
        let copy = folder.join(name);
        fs::copy(self.path(name)?, &copy).with_context(|| format!("cannot copy {name} to {}", copy.display()))?;
        self.paths.insert(name.to_owned(), copy);
        Ok(())
    }

    /// Where the binary `name` is.
    pub fn path(&self, name: &str) -> anyhow::Result<&Path> {
        self.paths.get(name).map(PathBuf::as_path).with_context(|| format!("cargo built no binary {name}"))
    }

    /// Where the load generator is.
    pub fn loadtest(&self) -> anyhow::Result<&Path> {
        self.path(LOADTEST.0)
    }
}

/// What the package in a folder of the workspace is called, and its binary that is named as the folder. The service is
/// called as the project that was made of it.
pub fn package(folder: &str) -> anyhow::Result<String> {
    Metadata::read()?.package(folder).map(str::to_owned)
}

impl Metadata {
    fn read() -> anyhow::Result<Self> {
        let output = cargo().args(["metadata", "--no-deps", "--format-version=1"]).stderr(Stdio::inherit()).output()?;
        anyhow::ensure!(output.status.success(), "cargo metadata failed ({})", output.status);
        serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")
    }

    fn package(&self, folder: &str) -> anyhow::Result<&str> {
        let manifest = self.workspace_root.join(folder).join("Cargo.toml");
        let package = self.packages.iter().find(|package| package.manifest_path == manifest);
        Ok(&package.with_context(|| format!("no member of the workspace is in {folder}/"))?.name)
    }
}

/// The cargo that runs us, or the one in the path, within our workspace.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Started without cargo, the run belongs to the workspace that it is started in.
    if let Some(folder) = env::var_os("CARGO_MANIFEST_DIR") {
        cargo.current_dir(folder);
    }
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_is_found_in_cargos_messages_and_all_else_is_passed_over() {
        let executable = |line: &str| match serde_json::from_str(line).expect("cargo writes JSON") {
            Message::CompilerArtifact { target, executable: Some(path) } => Some((target.name, path)),
            _ => None,
        };
        let artifact =
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"naive"},"executable":"/t/naive"}"#;
        assert_eq!(executable(artifact), Some(("naive".to_owned(), "/t/naive".into())));
        for other in [
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"chaos"},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ] {
            assert_eq!(executable(other), None);
        }
    }
}
