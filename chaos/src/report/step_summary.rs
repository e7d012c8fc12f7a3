//! The summary on the page of a GitHub workflow's run.

use std::{
    env,
    ffi::OsStr,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use anyhow::Context;

/// GitHub shows nothing of a step whose summary is larger, and other scenarios of the step want their part.
const LARGEST: u64 = 1 << 20;

/// Stands where there was no room.
const NO_ROOM: &str = "\nThe summary of this run does not fit here: see its `summary.md`.\n";

/// Appends `summary` to the file that `GITHUB_STEP_SUMMARY` names, where one does.
pub(super) fn append(summary: &str) -> anyhow::Result<()> {
    let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| path != OsStr::new("")) else { return Ok(()) };
    append_to(path.as_ref(), summary)
        .with_context(|| format!("cannot append to GITHUB_STEP_SUMMARY={}", path.display()))
}

fn append_to(path: &Path, summary: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let room = LARGEST.saturating_sub(file.metadata()?.len()) as usize;
    let fits = |text: &str, beside: &str| text.len() + beside.len() < room;
    if fits(summary, NO_ROOM) {
        return writeln!(file, "{summary}");
    }
    if fits(NO_ROOM, "") { writeln!(file, "{NO_ROOM}") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn summaries_follow_each_other_and_one_that_does_not_fit_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("summary.md");
        for summary in ["# first".to_owned(), "# second".to_owned(), "x".repeat(LARGEST as usize), "# third".to_owned()]
        {
            append_to(&path, &summary).expect("a temporary folder has room");
        }
        let text = fs::read_to_string(&path).expect("it was written");
        assert_eq!(text, format!("# first\n# second\n{NO_ROOM}\n# third\n"));
    }

    #[test]
    fn nothing_makes_it_larger_than_it_may_be() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("summary.md");
        for length in [LARGEST as usize - 200, 300, 300, 300, 10] {
            append_to(&path, &"x".repeat(length)).expect("a temporary folder has room");
        }
        assert!(fs::metadata(&path).expect("it was written").len() <= LARGEST);
    }
}
