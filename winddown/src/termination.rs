//! The last word of a container: what Kubernetes shows as the message of its last state.
//!
//! The kubelet reads the file that a container's `terminationMessagePath` names, `/dev/termination-log` by default, when the
//! container has ended, and takes 4096 bytes of it
//! (<https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>).

use std::{fs, io, path::Path};

/// What is read of it, in bytes.
pub const LIMIT: usize = 4096;

/// Says that something was left out.
const CUT: &str = "\n…";

/// Leaves `text` in the file at `path`, and no more of it than is read.
///
/// The file is written in place, because it is mounted into the container: another one that takes its name is not seen.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, head(text))
}

/// Whether the file can be written. Leaves nothing where nothing was.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let was_there = path.exists();
    fs::OpenOptions::new().append(true).create(true).open(path)?;
    if was_there { Ok(()) } else { fs::remove_file(path) }
}

/// As much of `text` as is read.
fn head(text: &str) -> String {
    if text.len() <= LIMIT {
        return text.to_owned();
    }
    format!("{}{CUT}", &text[..text.floor_char_boundary(LIMIT - CUT.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_letters() {
        assert_eq!(head("done"), "done");
        let long = head(&"é".repeat(LIMIT));
        assert!(long.len() <= LIMIT && long.len() > LIMIT - 4 && long.ends_with("é\n…"), "{}", long.len());
    }

    #[test]
    fn the_check_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("termination-log");
        check(&path).expect("the folder can be written to");
        assert!(!path.exists());
        write(&path, "before").expect("as above");
        check(&path).expect("the file can be written to");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "before");
        assert!(check(folder.path()).is_err(), "a folder is no file");
    }
}
