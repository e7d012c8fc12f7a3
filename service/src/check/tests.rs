use std::path::Path;

use proptest::{prelude::*, sample::Index};

use super::*;

mod pods;
mod units;

const RIGHT: &str = include_str!("../../tests/manifests/right.yaml");
const UNIT: &str = include_str!("../../tests/manifests/right.service");

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.to_owned() }
}

fn manifest(text: &str, options: &Options) -> Vec<Sheet> {
    kubernetes::check(&source("a.yaml", text), options, &[])
}

fn unit(text: &str) -> Sheet {
    systemd::check(&[source("a.service", text)], &Options::default(), &[])
}

fn told(sheets: &[Sheet]) -> String {
    sheets.iter().map(ToString::to_string).collect()
}

/// The right manifest, with something in it replaced.
fn changed(text: &str, change: (&str, &str)) -> String {
    assert!(text.contains(change.0), "there is no {} to change", change.0);
    text.replacen(change.0, change.1, 1)
}

/// The right manifest with one more variable, in line 26.
fn added(text: &str, variable: &str) -> String {
    let before = "            - name: LOG_FORMAT\n";
    changed(text, (before, &format!("            - {variable}\n{before}")))
}

/// What is replaced by what, and which level and words tell of it.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

/// Whether a line of this level has all of these words.
fn says(text: &str, level: &str, words: &[&str]) -> bool {
    text.lines().any(|line| line.trim_start().starts_with(level) && words.iter().all(|word| line.contains(word)))
}

#[test]
fn the_command_line_is_consistent() {
    command_line().debug_assert();
}

#[test]
fn a_right_manifest_and_a_right_unit_get_no_warning() {
    for sheet in manifest(RIGHT, &Options::default()).iter().chain([&unit(UNIT)]) {
        assert!(sheet.findings.worst() < Level::Warning, "{sheet}");
    }
}

#[test]
fn what_the_balancer_does_is_held_against_the_settings() {
    let secs = Duration::from_secs;
    let cases: [(Options, &str, &[&str]); 5] = [
        (
            Options { balancer_idle: Some(secs(75)), ..Options::default() },
            "error",
            &["75s", "KEEP_ALIVE_TIMEOUT=93.75s"],
        ),
        (
            Options { balancer_probe: "5s*2+1s".parse().ok(), ..Options::default() },
            "error",
            &["5s × 2 + 1s", "LAME_DUCK=11s"],
        ),
        (Options { balancer_probe: "2s*2+1s".parse().ok(), ..Options::default() }, "ok", &["LAME_DUCK=5s"]),
        (Options { longest_request: Some(secs(20)), ..Options::default() }, "warning", &["20s", "cuts", "by 9s"]),
        (Options { longest_request: Some(secs(11)), ..Options::default() }, "ok", &["11s"]),
    ];
    for (options, level, words) in cases {
        let text = here(&options, Vec::new()).to_string();
        assert!(says(&text, level, words), "no {level} with {words:?} in\n{text}");
    }
}

#[test]
fn every_platform_has_its_ceiling_and_its_remedy() {
    let cases = [
        (Platform::Docker, 30, "warning", "docker stop -t 30"),
        (Platform::Docker, 10, "ok", "10s"),
        (Platform::Ecs, 40, "warning", "\"stopTimeout\": 40"),
        (Platform::Fargate, 120, "warning", "\"stopTimeout\": 120"),
        (Platform::Fargate, 121, "error", "GRACE_PERIOD=120s"),
        (Platform::CloudRun, 30, "error", "GRACE_PERIOD=10s"),
        (Platform::Kubernetes, 31, "warning", "terminationGracePeriodSeconds: 31"),
        (Platform::Systemd, 91, "warning", "TimeoutStopSec=91s"),
        (Platform::Systemd, 90, "ok", "90s"),
    ];
    for (platform, seconds, level, word) in cases {
        let options = Options { platform: Some(platform), ..Options::default() };
        let grace = Given { name: "GRACE_PERIOD".into(), value: format!("{seconds}s"), origin: given::Origin::Flag };
        let text = here(&options, vec![grace]).to_string();
        assert!(says(&text, level, &[word]), "{platform:?} {seconds}: no {level} with {word} in\n{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("latin.yaml");
    std::fs::write(&path, b"a: 1\nb: \xe9\n").expect("the folder is ours");
    let cases =
        [(path.as_path(), "line 2 is not UTF-8"), (folder.path(), "cannot be read"), (Path::new("/dev/zero"), "1 MiB")];
    for (path, why) in cases {
        let refused = Source::read(path).err().expect("it is no manifest").to_string();
        assert!(refused.contains(why) && refused.contains(&path.display().to_string()), "{refused}");
    }
}

proptest! {
    /// Whatever a file holds, it gets an answer.
    #[test]
    fn no_text_panics(text in "\\PC{0,200}|([ \\n:\\-\\[\\]{}&*?|>'\"#!%@`=a0\\\\]{0,80})") {
        told(&manifest(&text, &Options::default()));
        unit(&text);
        unit(&format!("[Service]\n{text}"));
    }

    /// As above, near to what is right.
    #[test]
    fn no_change_of_a_right_file_panics(
        cuts in prop::collection::vec((any::<Index>(), any::<Index>(), "[ \\n:\\-{}&*\"'0-9s%$=]{0,4}"), 1..4),
    ) {
        for text in [RIGHT, UNIT] {
            let mut letters: Vec<char> = text.chars().collect();
            for (from, length, new) in &cuts {
                let from = from.index(letters.len());
                let to = (from + length.index(30)).min(letters.len());
                letters.splice(from..to, new.chars());
            }
            let text: String = letters.into_iter().collect();
            told(&manifest(&text, &Options::default()));
            unit(&text);
        }
    }

    /// No length of time is too long for the sums.
    #[test]
    fn no_value_panics(seconds in any::<u64>(), setting in 0_usize..20, grant in any::<u32>()) {
        let known = settings::known();
        let name = &known[setting % known.len()].0;
        let text = added(RIGHT, &format!("{{name: {name}, value: {seconds}s}}"));
        let text = changed(&text, ("Seconds: 30", &format!("Seconds: {grant}")));
        told(&manifest(&text, &Options::default()));
        unit(&changed(UNIT, ("GRACE_PERIOD=30s", &format!("{name}={seconds}s"))));
    }
}
