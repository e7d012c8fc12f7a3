//! What was found: how bad, where, why, and what to do about it.

use std::{fmt, rc::Rc};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Rc<str>,
    /// Counted from 1.
    pub(super) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    /// Nobody needs to act.
    Note,
    /// It works, and not as well as it could or as one may think.
    Warning,
    /// Requests will be lost, or the service does not start.
    Error,
}

/// One line of the answer.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) place: Option<Place>,
    /// The reason, a semicolon, the remedy.
    pub(super) text: String,
}

#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, text: impl Into<String>) {
        self.add(Level::Ok, None, text.into());
    }

    pub(super) fn note(&mut self, place: impl Into<Option<Place>>, text: impl Into<String>) {
        self.add(Level::Note, place.into(), text.into());
    }

    pub(super) fn warning(&mut self, place: impl Into<Option<Place>>, text: impl Into<String>) {
        self.add(Level::Warning, place.into(), text.into());
    }

    pub(super) fn error(&mut self, place: impl Into<Option<Place>>, text: impl Into<String>) {
        self.add(Level::Error, place.into(), text.into());
    }

    pub(super) fn add(&mut self, level: Level, place: Option<Place>, text: String) {
        self.0.push(Finding { level, place, text });
    }

    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    pub(super) fn worst(&self) -> Level {
        self.0.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

/// The worst comes last, where a terminal is read.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|finding| finding.level);
        sorted.iter().try_for_each(|finding| writeln!(f, "  {finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level:<9}")?;
        if let Some(place) = &self.place {
            write!(f, "{}: ", harmless(&place.to_string()))?;
        }
        f.write_str(&harmless(&self.text))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A text on one line, without anything that a terminal would obey: parts of it are from files.
pub(super) fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
