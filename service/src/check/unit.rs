//! A systemd unit with its drop-ins, as systemd.syntax(7) and systemd.time(7) have it.

use std::time::Duration;

use super::{
    finding::{Findings, Place},
    source::Source,
};
use crate::config::duration;

/// Every assignment of `[Service]`, in the order in which they count.
#[derive(Default)]
pub(super) struct Unit {
    assignments: Vec<Assignment>,
}

pub(super) struct Assignment {
    key: String,
    pub(super) value: String,
    pub(super) place: Place,
}

impl Unit {
    pub(super) fn parse(sources: &[Source], findings: &mut Findings) -> Self {
        let mut unit = Self::default();
        let mut has_section = false;
        for source in sources {
            let mut section = String::new();
            for (line, text) in logical_lines(&source.text) {
                if let Some(name) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
                    name.clone_into(&mut section);
                    has_section |= section == "Service";
                } else if section == "Service" {
                    unit.assign(&text, source.at(line), findings);
                }
            }
        }
        if !has_section {
            let place = sources.first().map(|source| source.at(1));
            findings.error(place, "there is no [Service] in it; give the unit that runs the service");
        }
        unit
    }

    fn assign(&mut self, text: &str, place: Place, findings: &mut Findings) {
        match text.split_once('=') {
            Some((key, value)) => {
                self.assignments.push(Assignment { key: key.trim().to_owned(), value: value.trim().to_owned(), place });
            }
            None => {
                findings.warning(place, format!("systemd ignores `{text}`, which is no assignment; write Key=value"));
            }
        }
    }

    /// The assignment that counts: the last. An empty one takes the others back.
    pub(super) fn last(&self, keys: &[&str]) -> Option<&Assignment> {
        let last = self.assignments.iter().rfind(|assignment| keys.contains(&assignment.key.as_str()))?;
        (!last.value.is_empty()).then_some(last)
    }

    /// All of a key that adds up, after the last empty one.
    pub(super) fn all(&self, key: &str) -> Vec<&Assignment> {
        let all: Vec<_> = self.assignments.iter().filter(|assignment| assignment.key == key).collect();
        let from = all.iter().rposition(|assignment| assignment.value.is_empty()).map_or(0, |reset| reset + 1);
        all[from..].to_vec()
    }

    /// The value of a key, or its default.
    pub(super) fn value(&self, key: &str, default: &'static str) -> &str {
        self.last(&[key]).map_or(default, |assignment| &assignment.value)
    }
}

/// Lines without comments, continued ones joined, each with the number of its first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (line, text) in (1..).zip(text.lines().map(str::trim)) {
        // Comments between continued lines are ignored, too.
        if text.starts_with(['#', ';']) || (text.is_empty() && !continues) {
            continue;
        }
        let (text, more) = text.strip_suffix('\\').map_or((text, false), |text| (text, true));
        match lines.last_mut().filter(|_| continues) {
            Some((_, before)) => before.extend([" ", text]),
            None => lines.push((line, text.to_owned())),
        }
        continues = more;
    }
    lines
}

/// A time span: `90`, `1min 30s`, `1h 5`; a number without a unit counts seconds. `infinity` is [`Duration::MAX`].
pub(super) fn span(text: &str) -> Option<Duration> {
    if text == "infinity" {
        return Some(Duration::MAX);
    }
    let seconds = |number: &str| Duration::try_from_secs_f64(number.parse().ok()?).ok();
    if let Some(length) = seconds(text) {
        return Some(length);
    }
    duration(text).ok().or_else(|| {
        let (before, last) = text.rsplit_once(char::is_whitespace)?;
        duration(before).ok()?.checked_add(seconds(last)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(texts: &[&str]) -> Unit {
        let source = |text: &&str| Source { name: "a.service".into(), text: (*text).to_owned() };
        Unit::parse(&texts.iter().map(source).collect::<Vec<_>>(), &mut Findings::default())
    }

    #[test]
    fn later_files_win_and_an_empty_assignment_takes_back() {
        let main = "[Unit]\nTimeoutStopSec=1\n[Service]\n# words\nTimeoutStopSec=20\nEnvironment=A=1\nKillMode=none\n";
        let unit = unit(&[main, "[Service]\nTimeoutSec = 50\nEnvironment=\nEnvironment=B=2\nKillMode=\n"]);
        let last = unit.last(&["TimeoutStopSec", "TimeoutSec"]).expect("it is there");
        assert_eq!((last.value.as_str(), last.place.line), ("50", 2));
        assert_eq!(unit.all("Environment").iter().map(|a| a.value.as_str()).collect::<Vec<_>>(), ["B=2"]);
        assert_eq!(unit.value("KillMode", "control-group"), "control-group");
    }

    #[test]
    fn a_continued_line_is_one_and_has_the_number_of_its_first() {
        let unit = unit(&["[Service]\n\nExecStart=/service \\\n# words\n  --lame-duck 2s\nType=notify\n"]);
        let start = unit.last(&["ExecStart"]).expect("it is there");
        assert_eq!(start.value.split_whitespace().collect::<Vec<_>>(), ["/service", "--lame-duck", "2s"]);
        assert_eq!((start.place.line, unit.last(&["Type"]).expect("it is there").place.line), (3, 6));
    }

    #[test]
    fn spans_are_read_as_systemd_reads_them() {
        let cases = [("90", 90.0), ("1min 30s", 90.0), ("1min 30", 90.0), ("2.5", 2.5), ("500ms", 0.5), ("1h", 3600.0)];
        for (text, seconds) in cases {
            assert_eq!(span(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(span("infinity"), Some(Duration::MAX));
        for text in ["", "soon", "-5", "5 apples", "NaN", "1e300"] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
