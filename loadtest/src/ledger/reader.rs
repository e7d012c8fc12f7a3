//! Reading a ledger back, one borrowed record at a time.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use super::Record;

/// Large enough that the system calls of ten million records do not show.
const BUFFER: usize = 1 << 20;

/// Reads records from a ledger without keeping any of them.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
}

/// A ledger cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A whole line, newline and all, is no record.
    #[error("line {line} is not a ledger record: {text:?}")]
    NotARecord {
        /// Its number, from 1.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// The file cannot be read.
    #[error("line {line} cannot be read")]
    Io {
        /// Its number, from 1.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Opens the ledger at `path`.
///
/// ```no_run
/// let mut reader = loadtest::ledger::read("client.ledger".as_ref())?;
/// while let Some(record) = reader.next_record()? {
///     println!("{record}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: &Path) -> io::Result<Reader<BufReader<File>>> {
    Ok(Reader::new(BufReader::with_capacity(BUFFER, File::open(path)?)))
}

impl<R: BufRead> Reader<R> {
    /// Reads records from `source`.
    pub fn new(source: R) -> Self {
        Self { source, line: Vec::new(), number: 0 }
    }

    /// The next record; `None` at the end.
    ///
    /// A last line without its newline was cut short by a crash: it is left out, whatever it looks like, because a
    /// cut id is an id too.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        self.line.clear();
        self.number += 1;
        let line = self.number;
        self.source.read_until(b'\n', &mut self.line).map_err(|source| ReadError::Io { line, source })?;
        let Some(whole) = self.line.strip_suffix(b"\n") else { return Ok(None) };
        let record = std::str::from_utf8(whole).ok().and_then(|text| Record::parse(text).ok());
        record
            .map(Some)
            .ok_or_else(|| ReadError::NotARecord { line, text: String::from_utf8_lossy(whole).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Result<usize, ReadError> {
        let mut reader = Reader::new(text.as_bytes());
        let mut count = 0;
        while reader.next_record()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn a_last_line_without_its_newline_is_left_out_even_when_it_parses() {
        assert_eq!(count("1 connected 1 h1\n2 outcome ok 200 - run-1-12").expect("whole lines parse"), 1);
        assert_eq!(count("1 connected 1 h1\n2 outc").expect("whole lines parse"), 1);
        assert_eq!(count("").expect("an empty ledger is a ledger"), 0);
    }

    #[test]
    fn a_foreign_line_in_the_middle_is_an_error_that_names_it() {
        let error = count("1 connected 1 h1\nhello\n1 connected 2 h1\n").expect_err("hello is no record");
        assert_eq!(error.to_string(), r#"line 2 is not a ledger record: "hello""#);
    }
}
