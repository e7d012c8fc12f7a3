//! A file that somebody else wrote, of bounded size.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    rc::Rc,
};

use super::finding::{Finding, Level, Place};

/// Far more than a manifest or a unit has.
const LIMIT: u64 = 1 << 20;

pub(super) struct Source {
    pub(super) name: Rc<str>,
    pub(super) text: String,
}

impl Source {
    /// Reads a file, or standard input as `-`.
    pub(super) fn read(path: &Path) -> Result<Self, Finding> {
        let is_input = path == Path::new("-");
        let name = if is_input { "standard input".to_owned() } else { path.display().to_string() };
        let refused = |why: String| Finding { level: Level::Error, place: None, text: format!("{name}: {why}") };
        let mut bytes = Vec::new();
        let read = if is_input {
            io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes)
        } else {
            File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        };
        read.map_err(|error| refused(format!("cannot be read: {error}; choose a file that exists and is readable")))?;
        if bytes.len() as u64 > LIMIT {
            return Err(refused("is larger than 1 MiB; give the part that runs the service".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            let line = 1 + before.matches('\n').count();
            refused(format!("line {line} is not UTF-8; save it as UTF-8"))
        })?;
        Ok(Self { name: name.into(), text })
    }

    pub(super) fn at(&self, line: usize) -> Place {
        Place { file: self.name.clone(), line }
    }
}
