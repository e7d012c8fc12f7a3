//! A generated project, and what must be true of it before anything is built.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use regex::Regex;

use crate::commands::{run, tool};

/// What somebody may answer to the questions of `cargo-generate.toml`.
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) orders: bool,
    pub(crate) tls: bool,
}

/// What lies at the root of a project. Something new there must either stay behind or be wanted.
const ROOT: [&str; 19] = [
    ".cargo",
    ".config",
    ".dockerignore",
    ".git",
    ".github",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "chaos",
    "dashboards",
    "deploy",
    "docs",
    "justfile",
    "loadtest",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// The sources, which know nothing of a name.
const SOURCES: [&str; 2] = ["service", "winddown"];

/// Our name where a project has its own, what is ours alone, and Liquid that nobody has read.
const LEFT_OVER: &str = r"(--package |-p |/usr/local/bin/|/var/lib/|target/release/)service\b|\bservice check-config|\
                          (?m:\bname: service$)|registry\.example/service\b|deployment/service\b|\bservice-database|\bservice\.(service|socket)\b|\
                          cargo[ -]generate|template-check|\.ci/run|benches\b|\{\{ ?(project-name|description)|\{% ?\w";

pub(crate) struct Project {
    pub(crate) folder: PathBuf,
    pub(crate) choice: Choice,
}

impl Project {
    /// Has cargo-generate make it of `template`, which is a path or a URL.
    pub(crate) fn generate(template: [&str; 2], into: &Path, choice: Choice) -> anyhow::Result<Self> {
        let description = format!("description={}", choice.description());
        let (orders, tls) = (format!("orders={}", choice.orders), format!("tls={}", choice.tls));
        let mut command = tool("cargo");
        command.args(["generate", "--silent", "--name", choice.name]).args(template);
        for value in [&description, &orders, &tls] {
            command.args(["--define", value]);
        }
        run(command.current_dir(into))?;
        Ok(Self { folder: into.join(choice.name), choice })
    }

    pub(crate) fn inspect(&self) -> anyhow::Result<()> {
        let files = files(&self.folder)?;
        self.has_only_what_is_wanted(&files)?;
        for file in &files {
            // Pictures and the like have no words.
            let Ok(text) = fs::read_to_string(self.folder.join(file)) else { continue };
            self.has_no_left_over(file, &text)?;
            if file.extension().is_some_and(|it| it == "md") {
                self.has_no_broken_link(file, &text)?;
            }
        }
        self.needs_what_it_names(&files)?;
        let Choice { name, .. } = self.choice;
        for (file, words) in [
            ("README.md", format!("# {name}\n")),
            ("README.md", self.choice.description()),
            ("service/Cargo.toml", format!("name = \"{name}\"\ndescription = \"{}\"\n", self.choice.description())),
            ("Cargo.lock", format!("[[package]]\nname = \"{name}\"\n")),
            ("deploy/Dockerfile", format!("ENTRYPOINT [\"/usr/local/bin/{name}\"]")),
        ] {
            ensure!(self.text(file)?.contains(&words), "{name}: {file} has no {words:?}");
        }
        let git = |words: &[&str]| run(tool("git").args(words).current_dir(&self.folder));
        ensure!(git(&["rev-list", "--all", "--count"])?.trim() == "0", "{name}: it has a history of ours");
        ensure!(git(&["remote"])?.is_empty(), "{name}: it has a remote of ours");
        Ok(())
    }

    fn has_only_what_is_wanted(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        for file in files {
            let top = file.iter().next().and_then(|top| top.to_str()).context("a name is text")?;
            let told = format!("{}: {}", self.choice.name, file.display());
            let is_wanted = ROOT.contains(&top) || SOURCES.contains(&top);
            ensure!(
                is_wanted,
                "{told} shall a project have it? Say so in template/src/project.rs or cargo-generate.toml"
            );
            ensure!(file.extension().is_none_or(|it| it != "liquid"), "{told} is not what cargo-generate leaves");
        }
        Ok(())
    }

    /// Each dependency of the workspace is one of a member's.
    fn needs_what_it_names(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        let manifests = files.iter().filter(|file| file.ends_with("Cargo.toml") && file.iter().count() > 1);
        let manifests = manifests.map(|file| Ok(fs::read_to_string(self.folder.join(file))?));
        let manifests = manifests.collect::<anyhow::Result<Vec<_>>>()?.concat();
        let workspace = self.text("Cargo.toml")?;
        let (_, dependencies) = workspace.split_once("[workspace.dependencies]\n").context("it has some")?;
        for line in dependencies.lines().take_while(|line| !line.starts_with('[')) {
            let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else { continue };
            let is_used = [format!("\n{name}."), format!("\n{name} =")].iter().any(|line| manifests.contains(line));
            ensure!(is_used, "{}: no member needs {name}: leave it out in template/edits.toml", self.choice.name);
        }
        Ok(())
    }

    fn has_no_left_over(&self, file: &Path, text: &str) -> anyhow::Result<()> {
        if SOURCES.iter().any(|folder| file.starts_with(folder)) || self.choice.name == "service" {
            return Ok(());
        }
        let found = Regex::new(LEFT_OVER)?.find(text);
        let at = |start: usize| text[..start].lines().count().max(1);
        ensure!(
            found.is_none(),
            "{}: {}:{} has `{}` left; see template/edits.toml",
            self.choice.name,
            file.display(),
            found.map_or(0, |it| at(it.start())),
            found.map_or("", |it| it.as_str())
        );
        Ok(())
    }

    fn has_no_broken_link(&self, file: &Path, text: &str) -> anyhow::Result<()> {
        let folder = self.folder.join(file.parent().context("a file lies in a folder")?);
        for link in Regex::new(r"\]\(([^)#\s]+)")?.captures_iter(text) {
            let target = &link[1];
            let is_there = target.contains("://") || folder.join(target).exists();
            ensure!(is_there, "{}: {} links to {target}, which is not there", self.choice.name, file.display());
        }
        Ok(())
    }

    /// Under our own name, with every choice on, it is this repository; but for the files that `differ`, and what stays behind.
    pub(crate) fn is_the_same_as(&self, template: &Path, differ: &[&str], stays: &[&String]) -> anyhow::Result<()> {
        let is_ours = |file: &PathBuf| {
            let stays = stays.iter().any(|path| file.starts_with(path)) || file.as_os_str() == "cargo-generate.toml";
            !stays && file.extension().is_none_or(|it| it != "liquid")
        };
        let ours: Vec<_> = files(template)?.into_iter().filter(is_ours).collect();
        let theirs = files(&self.folder)?;
        let missing = ours.iter().find(|file| !theirs.contains(file));
        ensure!(missing.is_none(), "{missing:?} is in the repository and not in the project");
        for file in &theirs {
            ensure!(ours.contains(file), "{} is in the project and not in the repository", file.display());
            let is_same = fs::read(template.join(file))? == fs::read(self.folder.join(file))?;
            let may_differ = differ.iter().any(|path| Path::new(path) == file);
            ensure!(is_same || may_differ, "{} is not the same under our own name: see its edits", file.display());
        }
        Ok(())
    }

    /// The names of the tests that members have beside their sources.
    pub(crate) fn tests(&self, members: &[&str]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for member in members {
            let folder = self.folder.join(member).join("tests");
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
                let path = entry?.path();
                if path.join("main.rs").exists() || path.extension().is_some_and(|it| it == "rs") {
                    names.push(path.file_stem().context("it has a name")?.to_string_lossy().into_owned());
                }
            }
        }
        Ok(names)
    }

    pub(crate) fn text(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.folder.join(file)).with_context(|| format!("{}: no {file}", self.choice.name))
    }
}

impl Choice {
    /// Under our own name it is our own.
    fn description(&self) -> String {
        match self.name {
            "service" => "A service that loses nothing when it is restarted".to_owned(),
            name => format!("Says how {name} is, & that it's well"),
        }
    }
}

/// Every file below a folder, by its path from there, but for git's own.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true if entry.file_name() == ".git" => {}
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(folder)?.to_owned()),
            }
        }
    }
    found.sort();
    Ok(found)
}
