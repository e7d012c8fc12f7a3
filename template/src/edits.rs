//! `template/edits.toml`: what a generated project has otherwise in files that it shares with this repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use regex::RegexBuilder;
use serde::Deserialize;

/// The whole table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edits {
    file: Vec<File>,
}

/// One file, or some to which the same is done: then each edit has to find something in one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    paths: Vec<String>,
    /// Where it is in a project, if its own name is the service's.
    #[serde(rename = "as")]
    renamed: Option<String>,
    /// Something of this project's alone is left out, so it differs also under the template's own name.
    #[serde(default)]
    differs: bool,
    #[serde(default)]
    edit: Vec<Edit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// A regular expression, `^` and `$` for lines; each match is replaced, and there must be one.
    find: String,
    /// Liquid, which is taken as it is; `$1` is no group.
    put: String,
}

impl Edits {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join("template/edits.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).context("template/edits.toml is not understood")
    }

    /// The files that differ under every name.
    pub(crate) fn differing(&self) -> impl Iterator<Item = &str> {
        self.file.iter().filter(|file| file.differs).flat_map(|file| &file.paths).map(String::as_str)
    }

    /// The files that have another name in a project.
    pub(crate) fn renamed(&self) -> impl Iterator<Item = &str> {
        self.file.iter().filter(|file| file.renamed.is_some()).flat_map(|file| &file.paths).map(String::as_str)
    }

    pub(crate) fn twins(&self, root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
        Ok(self.file.iter().map(|file| file.twins(root)).collect::<anyhow::Result<Vec<_>>>()?.concat())
    }

    /// The file of the table at `path`, without Liquid: for what cargo shall read before cargo-generate has.
    pub(crate) fn plain(&self, root: &Path, path: &str) -> anyhow::Result<String> {
        let twins = self.twins(root)?;
        let twin = twins.into_iter().find(|(twin, _)| *twin == liquid(path));
        let (_, text) = twin.with_context(|| format!("template/edits.toml has no {path}"))?;
        anyhow::ensure!(!has_liquid(&text), "{path}: its edits put Liquid, and cargo has to read it");
        Ok(text)
    }
}

impl File {
    fn twins(&self, root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let told = || format!("template/edits.toml, {}", self.paths.join(", "));
        let one = self.renamed.is_none() || self.paths.len() == 1;
        anyhow::ensure!(one, "{}: one name is for one file", told());
        let read = |path: &String| {
            let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
            Ok(vec![Piece::Ours(text)])
        };
        let mut files = self.paths.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        for edit in &self.edit {
            edit.apply(&mut files).with_context(told)?;
        }
        let place = |path| liquid(self.renamed.as_ref().unwrap_or(path));
        let text = |pieces: Vec<Piece>| pieces.into_iter().map(Piece::liquid).collect();
        Ok(self.paths.iter().map(place).zip(files.into_iter().map(text)).collect())
    }
}

enum Piece {
    Ours(String),
    Put(String),
}

impl Piece {
    /// Two braces of our own are none of Liquid's.
    fn liquid(self) -> String {
        match self {
            Self::Ours(text) if has_liquid(&text) => format!("{{% raw %}}{text}{{% endraw %}}"),
            Self::Ours(text) | Self::Put(text) => text,
        }
    }
}

impl Edit {
    fn apply(&self, files: &mut [Vec<Piece>]) -> anyhow::Result<()> {
        let find = RegexBuilder::new(&self.find).multi_line(true).build()?;
        let mut found = false;
        for pieces in files {
            for piece in std::mem::take(pieces) {
                let Piece::Ours(text) = piece else {
                    pieces.push(piece);
                    continue;
                };
                let mut end = 0;
                for place in find.find_iter(&text) {
                    pieces.push(Piece::Ours(text[end..place.start()].to_owned()));
                    pieces.push(Piece::Put(self.put.clone()));
                    (end, found) = (place.end(), true);
                }
                pieces.push(Piece::Ours(text[end..].to_owned()));
            }
        }
        anyhow::ensure!(found, "nothing is found by `{}`: the file has changed, and the edit must, too", self.find);
        Ok(())
    }
}

fn has_liquid(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The name under which cargo-generate takes a file in the place of `path`.
pub(crate) fn liquid(path: &str) -> PathBuf {
    format!("{path}.liquid").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin(text: &str, find: &str, put: &str) -> anyhow::Result<String> {
        let edit = Edit { find: find.to_owned(), put: put.to_owned() };
        let mut files = [vec![Piece::Ours(text.to_owned())]];
        edit.apply(&mut files)?;
        let [pieces] = files;
        Ok(pieces.into_iter().map(Piece::liquid).collect())
    }

    #[test]
    fn each_match_is_replaced_and_braces_of_our_own_stay() {
        let text = "a service\nservice\n{{ $labels }} service";
        assert_eq!(
            twin(text, "service$", "{{name}}").expect("it matches"),
            "a {{name}}\n{{name}}{% raw %}\n{{ $labels }} {% endraw %}{{name}}"
        );
    }

    #[test]
    fn an_edit_that_finds_nothing_is_refused() {
        assert!(twin("a service", "^service$", "x").expect_err("it has changed").to_string().contains("^service$"));
    }
}
