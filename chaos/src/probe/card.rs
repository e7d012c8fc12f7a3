//! The score card: what was lost, how the server ends, what to change.

use std::{
    env,
    fmt::Write,
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
};

use anyhow::Context;
use serde::Serialize;

use super::{
    advice::{Advice, advice},
    class::{Class, list},
    clients::Target,
    endings::{Endings, Second},
    options::Options,
    stops::{End, Row},
    survey::Skipped,
};
use crate::{report::relative, verdict::Verdict};

/// The version of `probe.json`. A field may be added without a new one; none changes its meaning.
const SCHEMA: u32 = 1;

/// What a verdict of clients is worth.
const CLIENT_ONLY: &str = "Only the clients were asked. Dropped is a request that was written on an established connection and has no \
     complete answer; whether the server had begun it nobody knows. An end or a reset on a connection that had carried a request \
     may have crossed with the next one, and a client may repeat that only if it does no harm.";

/// The score of a server.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    schema: u32,
    /// The server's command.
    pub command: String,
    /// What was asked for; the port is that of the first start.
    pub url: String,
    /// A signal, or a shell's command between backquotes.
    pub stopped_by: String,
    /// So long it may take.
    pub grace_ms: u64,
    /// RFC 3339.
    pub started: String,
    /// The word.
    pub verdict: Verdict,
    /// Why it is not `pass`.
    pub reasons: Vec<String>,
    /// A line for each profile that was measured.
    pub profiles: Vec<Row>,
    /// The others.
    pub skipped: Vec<Skipped>,
    /// How it ends otherwise.
    pub endings: Endings,
    /// What to change.
    pub advice: Vec<Advice>,
    /// What a verdict of clients is worth.
    pub client_only: &'static str,
    #[serde(skip)]
    folder: PathBuf,
}

impl Card {
    pub(super) fn new(
        options: &Options,
        started: String,
        target: &Target,
        folder: PathBuf,
        profiles: Vec<Row>,
        skipped: Vec<Skipped>,
        endings: Endings,
    ) -> Self {
        let (verdict, reasons) = judge(options, &profiles, &endings);
        Self {
            schema: SCHEMA,
            command: options.command.join(" "),
            url: format!("http://{}{}", target.address, target.path),
            stopped_by: options.stopped_by(),
            grace_ms: options.grace.as_millis() as u64,
            started,
            verdict,
            reasons,
            advice: advice(options, &profiles, &endings),
            profiles,
            skipped,
            endings,
            client_only: CLIENT_ONLY,
            folder,
        }
    }

    /// How many clients a signal met, over all profiles.
    pub fn at_risk(&self) -> u64 {
        self.profiles.iter().map(|row| row.at_risk).sum()
    }

    /// How many requests were dropped, over all profiles.
    pub fn dropped(&self) -> u64 {
        self.profiles.iter().map(|row| row.dropped).sum()
    }

    pub(super) fn save(&self) -> anyhow::Result<()> {
        let path = self.folder.join("probe.json");
        fs::write(&path, self.json()?).with_context(|| format!("cannot write {}", path.display()))?;
        let path = self.folder.join("probe.txt");
        fs::write(&path, self.plain(false)).with_context(|| format!("cannot write {}", path.display()))
    }

    /// As `probe.json` has it.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For the screen.
    pub fn text(&self) -> String {
        self.plain(io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none())
    }

    fn plain(&self, colour: bool) -> String {
        let Self { command, url, stopped_by, endings, .. } = self;
        let grace = milliseconds(self.grace_ms as f64);
        let mut text = format!("probe     {command}\n          {url}, stopped by {stopped_by}, grace {grace}\n\n");
        text += &self.table();
        for Skipped { profile, why } in &self.skipped {
            let _ = writeln!(text, "  {:<22}  skipped: {why}", profile.label());
        }
        let _ = writeln!(text, "\n  idle            {}", ending(endings.idle, &grace));
        let _ = writeln!(text, "  a request held  {}", ending(endings.held, &grace));
        let _ = writeln!(text, "  second signal   {}", second(endings, &grace));

        let word = self.verdict.as_str();
        let (before, after) = if colour { (self.verdict.colour(), "\x1b[0m") } else { ("", "") };
        let below = format!("\n          {:word$}   ", "", word = word.len());
        let _ = writeln!(text, "\nverdict   {before}{word}{after}   {}", self.conclusion(&below));
        let _ = writeln!(text, "{}", wrapped("          ", self.client_only).trim_end());
        for (number, Advice { found, change }) in (1..).zip(&self.advice) {
            let heading = if number == 1 { "\nchange    " } else { "          " };
            let _ = writeln!(text, "{heading}{number}. {found}");
            text += &wrapped("             ", change);
        }
        let _ = writeln!(text, "\nreport    {}", relative(&self.folder).display());
        text
    }

    fn table(&self) -> String {
        let header =
            ["profile", "stops", "at risk", "dropped", "95 %", "exit", "code", "dropped clients saw", "the others"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.profiles.iter().map(|row| {
            [
                row.profile.label().to_owned(),
                row.stops.to_string(),
                row.at_risk.to_string(),
                row.dropped.to_string(),
                bound(row),
                median(&row.ends).map_or_else(|| "–".to_owned(), milliseconds),
                codes(&row.ends),
                match row.dropped {
                    0 => "–".to_owned(),
                    _ => list(&row.classes, Class::is_dropped),
                },
                list(&row.classes, |class| !class.is_dropped()),
            ]
        }));
        aligned(&rows)
    }

    fn conclusion(&self, between: &str) -> String {
        if self.verdict != Verdict::Pass {
            return self.reasons.join(between);
        }
        let (dropped, at_risk) = (self.dropped(), self.at_risk());
        match dropped {
            0 => format!("none of {at_risk} clients lost a request (95 %: fewer than 1 in {})", at_risk / 3),
            n => format!("{n} of {at_risk} clients lost a request, as many as allowed or fewer"),
        }
    }
}

/// The verdict and its grounds. A failure outweighs a doubt.
fn judge(options: &Options, rows: &[Row], endings: &Endings) -> (Verdict, Vec<String>) {
    let grace = humantime::format_duration(options.grace);
    let mut failures = Vec::new();
    let dropped: u64 = rows.iter().map(|row| row.dropped).sum();
    if dropped > options.max_dropped {
        let of = |row: &Row| format!("{} of {} ({})", row.dropped, row.at_risk, row.profile);
        let list: Vec<_> = rows.iter().filter(|row| row.dropped > 0).map(of).collect();
        failures.push(format!("dropped: {}", list.join(", ")));
    }
    let held = [("idle", endings.idle), ("with a request held open", endings.held)];
    for (what, _) in held.iter().filter(|(_, end)| end.exit_ms.is_none()) {
        failures.push(format!("{what}, the server had not ended after {grace} and was killed"));
    }
    for row in rows {
        match row.ends.iter().filter(|end| end.exit_ms.is_none()).count() {
            0 => {}
            n => failures.push(format!("{n} of {} servers ({}) had not ended after {grace}", row.stops, row.profile)),
        }
    }
    let mut doubts: Vec<_> =
        rows.iter().flat_map(|row| row.doubts.iter().map(move |doubt| format!("{}, {doubt}", row.profile))).collect();
    if rows.is_empty() {
        doubts.push("no profile could be measured".to_owned());
    }
    (Verdict::of(!failures.is_empty(), !doubts.is_empty()), [failures, doubts].concat())
}

fn bound(row: &Row) -> String {
    row.rate_below.map_or_else(|| "–".to_owned(), |rate| format!("< 1 in {:.0}", (1.0 / rate).floor()))
}

/// The one in the middle, of those that ended.
pub(crate) fn median(ends: &[End]) -> Option<f64> {
    let mut times: Vec<_> = ends.iter().filter_map(|end| end.exit_ms).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// The different exit codes.
pub(crate) fn codes(ends: &[End]) -> String {
    let mut codes: Vec<_> = ends.iter().map(|end| end.exit_code).collect();
    codes.sort_unstable();
    codes.dedup();
    let word = |code: Option<i32>| code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
    codes.into_iter().map(word).collect::<Vec<_>>().join(", ")
}

pub(crate) fn ending(end: End, grace: &str) -> String {
    match (end.exit_ms, end.exit_code) {
        (Some(ms), Some(code)) => format!("ends after {}, code {code}", milliseconds(ms)),
        _ => format!("had not ended a second after the grace of {grace}, and was killed"),
    }
}

fn second(endings: &Endings, grace: &str) -> String {
    match endings.second_signal {
        Second::TooLate => "not reached: the server had ended in spite of the request".to_owned(),
        other => format!("{}: with one after 1.5 s it {}", other.label(), ending(endings.second, grace)),
    }
}

pub(crate) fn milliseconds(ms: f64) -> String {
    if ms < 999.5 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1e3) }
}

/// Words to the left, numbers to the right.
fn aligned(rows: &[[String; 9]]) -> String {
    const LEFT: [usize; 3] = [0, 7, 8];
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        let line = row.iter().enumerate().fold(String::new(), |line, (column, cell)| {
            let width = width(column);
            if LEFT.contains(&column) { format!("{line}  {cell:<width$}") } else { format!("{line}  {cell:>width$}") }
        });
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Lines of a width that reads well, each behind `indent`.
fn wrapped(indent: &str, text: &str) -> String {
    const WIDTH: usize = 120;
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a last line");
        if line.len() + word.len() >= WIDTH {
            lines.push(format!("{indent}{word} "));
        } else {
            line.push_str(word);
            line.push(' ');
        }
    }
    lines.iter().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{
        advice::tests::{WELL, row},
        options::tests::options,
        profile::Profile,
    };

    const KILLED: End = End { exit_ms: None, exit_code: None };

    fn verdict(args: &[&str], rows: &[Row], endings: &Endings) -> Verdict {
        judge(&options(args).expect("it can be parsed"), rows, endings).0
    }

    #[test]
    fn a_drop_above_the_budget_or_a_broken_deadline_fails_and_outweighs_a_doubt() {
        let doubtful = || Row { doubts: vec!["stop 1: the signal met nobody".to_owned()], ..row(Profile::New, 0) };
        let never = Endings { held: KILLED, ..WELL };
        let killed = Row { ends: vec![KILLED], ..row(Profile::New, 0) };
        assert_eq!(verdict(&[], &[row(Profile::New, 0)], &WELL), Verdict::Pass);
        assert_eq!(verdict(&[], &[row(Profile::New, 1)], &WELL), Verdict::Fail);
        assert_eq!(verdict(&["--max-dropped", "1"], &[row(Profile::New, 1)], &WELL), Verdict::Pass);
        assert_eq!(verdict(&[], &[row(Profile::New, 0)], &never), Verdict::Fail);
        assert_eq!(verdict(&[], &[killed], &WELL), Verdict::Fail);
        assert_eq!(verdict(&[], &[doubtful()], &WELL), Verdict::Inconclusive);
        assert_eq!(verdict(&[], &[doubtful(), row(Profile::Busy, 1)], &WELL), Verdict::Fail);
        assert_eq!(verdict(&[], &[], &WELL), Verdict::Inconclusive);
    }

    #[test]
    fn the_card_tells_profiles_endings_verdict_and_remedies() {
        let options = options(&["--", "true", "--port", "{port}"]).expect("it can be parsed");
        let target = Target {
            address: ([127, 0, 0, 1], 8080).into(),
            path: "/".to_owned(),
            usual: 200,
            stream: None,
            upload: "/".to_owned(),
            usual_of_upload: 200,
            websocket: None,
        };
        let rows = vec![row(Profile::New, 60), row(Profile::Busy, 0)];
        let skipped = vec![Skipped { profile: Profile::Stream, why: "no --stream PATH was told".to_owned() }];
        let card = Card::new(&options, String::new(), &target, PathBuf::from("t"), rows, skipped, WELL);
        let expected = "\
probe     true --port {port}
          http://127.0.0.1:8080/, stopped by SIGTERM, grace 10.00 s

  profile          stops  at risk  dropped       95 %    exit  code  dropped clients saw  the others
  new connections      3       96       60          –  600 ms     0  60 reset             36 answered
  busy keep-alive      3       96        0  < 1 in 32  600 ms     0  –                    96 answered
  streams                 skipped: no --stream PATH was told

  idle            ends after 600 ms, code 0
  a request held  ends after 600 ms, code 0
  second signal   forces the exit: with one after 1.5 s it ends after 600 ms, code 0

verdict   FAIL   dropped: 60 of 96 (new connections)
          Only the clients were asked. ";
        let text = card.plain(false);
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\nchange    1. 60 new connections had been established"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&card.json().expect("it is JSON")).expect("it is JSON");
        assert_eq!((&json["schema"], &json["verdict"]), (&1.into(), &"fail".into()));
        assert_eq!(json["profiles"][0]["classes"], serde_json::json!({"ok": 36, "reset": 60}));
    }
}
