//! What is printed of one place in which the service would run.

use std::fmt;

use super::finding::{Finding, Findings, Level, harmless};

#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) title: String,
    /// Where its settings come from.
    pub(super) basis: String,
    pub(super) rows: Vec<Row>,
    pub(super) findings: Findings,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) remark: String,
}

impl Sheet {
    /// There is nothing to tell but why.
    pub(super) fn refused(title: String, finding: Finding) -> Self {
        Self { title, basis: String::new(), rows: Vec::new(), findings: finding.into() }
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, basis, rows, findings } = self;
        writeln!(f, "{}", harmless(title))?;
        if !basis.is_empty() {
            writeln!(f, "  settings {basis}")?;
        }
        if !rows.is_empty() {
            writeln!(f)?;
        }
        for Row { name, value, remark } in rows {
            writeln!(f, "{}", format!("  {name:<18}{value:>9}   {remark}").trim_end())?;
        }
        writeln!(f)?;
        findings.fmt(f)
    }
}

/// The last line.
pub(super) fn verdict(sheets: &[Sheet], is_wrong: bool) -> String {
    let count = |level| sheets.iter().map(|sheet| sheet.findings.count(level)).sum::<usize>();
    let told = |level, name: &str| match count(level) {
        0 => None,
        1 => Some(format!("1 {name}")),
        n => Some(format!("{n} {name}s")),
    };
    let word = if is_wrong { "wrong" } else { "right" };
    let told: Vec<_> = [told(Level::Error, "error"), told(Level::Warning, "warning")].into_iter().flatten().collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
    format!("verdict   {word}{told}")
}
