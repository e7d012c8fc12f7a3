//! A file, line by line, of which none is kept.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use anyhow::Context;

/// Large enough that the system calls of ten million lines do not show.
const BUFFER: usize = 1 << 20;

/// Reads the lines of a ledger.
#[derive(Debug)]
pub(super) struct Lines {
    source: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { source: BufReader::with_capacity(BUFFER, File::open(path)?), line: Vec::new(), number: 0 })
    }

    /// The next line and its number, from 1; `None` at the end.
    ///
    /// Without its newline the last line was cut short by a crash, and a cut id is an id too: it is left out.
    pub(super) fn next_line(&mut self) -> anyhow::Result<Option<(u64, &str)>> {
        self.line.clear();
        self.number += 1;
        let number = self.number;
        self.source.read_until(b'\n', &mut self.line).with_context(|| format!("line {number} cannot be read"))?;
        let Some(whole) = self.line.strip_suffix(b"\n") else { return Ok(None) };
        Ok(Some((number, std::str::from_utf8(whole).with_context(|| format!("line {number} is no text"))?)))
    }
}
