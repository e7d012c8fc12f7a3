//! `service check-config` as whoever deploys sees it: the real binary, its answer, its exit code, and what it leaves.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

type Environment<'a> = &'a [(&'a str, &'a str)];

const BINARY: &str = env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME")));

const RIGHT: u8 = 0;
const WRONG: u8 = 78;

/// Runs the check in a folder of its own, which must be empty when it is over.
fn check(words: &[&str], environment: Environment<'_>, input: &str) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut child = Command::new(BINARY)
        .arg("check-config")
        .args(words)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was just built");
    // It may be gone already, without a look at its input.
    let _ = child.stdin.take().expect("it is a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("our own child can be waited for");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it exists").collect();
    assert!(left.is_empty(), "{words:?} left {left:?}");
    output
}

/// What it said, after a look at its exit code.
fn said(words: &[&str], environment: Environment<'_>, code: u8) -> String {
    let output = check(words, environment, "");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("it writes UTF-8");
    assert_eq!(output.status.code(), Some(code.into()), "{words:?}:\n{text}");
    text
}

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(name).display().to_string()
}

#[test]
fn the_defaults_are_right_and_every_number_is_shown() {
    let text = said(&[], &[], RIGHT);
    let numbers = [
        ("GRACE_PERIOD", "30s"),
        ("LAME_DUCK", "5s"),
        ("DRAIN_TIMEOUT", "11s"),
        ("CANCEL_GRACE", "1s"),
        ("BACKGROUND_TIMEOUT", "5s"),
        ("RELEASE_TIMEOUT", "5s"),
        ("FLUSH_TIMEOUT", "2s"),
        ("EXIT_MARGIN", "1s"),
        ("sum", "30s"),
        ("hard deadline", "29s"),
    ];
    for (name, length) in numbers {
        let is_row = |line: &str| line.trim().strip_prefix(name).is_some_and(|rest| rest.trim().starts_with(length));
        assert!(text.lines().any(is_row), "no {name} of {length} in\n{text}");
    }
    assert!(text.ends_with("verdict   right\n"), "{text}");
}

#[test]
fn settings_that_are_refused_at_a_start_are_refused_here_and_no_file_is_tried() {
    let cases: &[(Environment<'_>, &[&str])] = &[
        (&[("GRACE_PERIOD", "abc")], &["GRACE_PERIOD", "abc", "write a duration as"]),
        (&[("LAME_DUCK", "8s"), ("DRAIN_TIMEOUT", "20s")], &["42s in all", "shorten LAME_DUCK or DRAIN_TIMEOUT"]),
        (&[("HEADER_TIMEOUT", "20s")], &["HEADER_TIMEOUT"]),
        (&[("SHUTDOWN_REPORT", "no/such/folder/report.json")], &["SHUTDOWN_REPORT=no/such/folder/report.json"]),
        #[cfg(feature = "tls")]
        (&[("TLS_CERT", "c.pem"), ("TLS_KEY", "k.pem")], &["TLS_CERT", "c.pem"]),
        (&[("METRICS_PUSH", "https://host/metrics/job/a")], &["METRICS_PUSH=https://host/metrics/job/a", "no TLS"]),
        (&[("METRICS_TEXTFILE", "metrics.txt")], &["METRICS_TEXTFILE", "metrics.txt", "names end in .prom"]),
        (&[("METRICS_TEXTFILE", "no/such/a.prom")], &["METRICS_TEXTFILE=no/such/a.prom", "a folder that exists"]),
    ];
    for &(environment, words) in cases {
        let text = said(&[], environment, WRONG);
        for word in words {
            assert!(text.contains(word), "{environment:?}: no {word} in\n{text}");
        }
    }
    said(&[], &[("SHUTDOWN_REPORT", "report.json"), ("AUDIT_LOG", "audit.log")], RIGHT);
}

#[test]
fn a_flag_wins_over_the_environment_and_each_says_where_it_is_from() {
    let text = said(&["--grace-period", "40s"], &[("GRACE_PERIOD", "50s"), ("LAME_DUCK", "7s")], RIGHT);
    let row = |name: &str| text.lines().find(|line| line.trim().starts_with(name)).expect("it is a row").to_owned();
    assert!(row("GRACE_PERIOD").contains("40s") && row("GRACE_PERIOD").ends_with("flag"), "{text}");
    assert!(row("LAME_DUCK").contains("7s") && row("LAME_DUCK").ends_with("environment"), "{text}");
}

#[test]
fn with_a_file_the_environment_of_the_shell_does_not_count_and_a_flag_does() {
    let (right, environment) = (sample("right.yaml"), [("GRACE_PERIOD", "abc"), ("LAME_DUCK", "25s")]);
    let text = said(&["--kubernetes", &right], &environment, RIGHT);
    assert!(text.contains("this shell's environment does not count") && text.contains("verdict   right\n"), "{text}");
    let text = said(&["--kubernetes", &right, "--grace-period", "31s"], &[], WRONG);
    assert!(text.contains("write terminationGracePeriodSeconds: 31"), "{text}");
}

#[test]
fn a_wrong_manifest_is_told_line_by_line() {
    let wrong = sample("wrong.yaml");
    let text = said(&["--kubernetes", &wrong], &[], WRONG);
    let expected = [
        ("13", "terminationGracePeriodSeconds: 20"),
        ("20", "LAME_DUCKS"),
        ("23", "`fast`"),
        ("25", "drop preStop"),
        ("29", "ADMIN_ADDR"),
    ];
    for (line, what) in expected {
        let is_told = |told: &str| told.contains(&format!("{wrong}:{line}: ")) && told.contains(what);
        assert!(text.lines().any(is_told), "no {what} of line {line} in\n{text}");
    }
    assert!(text.ends_with("verdict   wrong: 4 errors, 2 warnings\n"), "{text}");
}

#[test]
fn each_sample_has_the_exit_code_of_its_name() {
    for (file, flag, code) in [
        ("right.yaml", "--kubernetes", RIGHT),
        ("liveness.yaml", "--kubernetes", WRONG),
        ("two-containers.yaml", "--kubernetes", WRONG),
        ("template.yaml", "--kubernetes", WRONG),
        ("missing.yaml", "--kubernetes", WRONG),
        ("right.service", "--systemd", RIGHT),
        ("wrong.service", "--systemd", WRONG),
        ("missing.service", "--systemd", WRONG),
    ] {
        let text = said(&[flag, &sample(file)], &[], code);
        assert!(text.contains(file), "{text}");
    }
    let (manifest, unit) = (sample("right.yaml"), sample("right.service"));
    let both = said(&["--kubernetes", &manifest, "--systemd", &unit], &[], RIGHT);
    assert_eq!(both.matches("hard deadline").count(), 2);
}

#[test]
fn warnings_are_right_unless_strict() {
    let (unit, drop_in) = (sample("right.service"), sample("wrong.conf"));
    let late = ["--systemd", &unit, "--systemd", &drop_in];
    assert!(said(&late, &[], RIGHT).ends_with("verdict   right: 1 warning\n"));
    let text = said(&[&late[..], &["--strict"]].concat(), &[], WRONG);
    assert!(text.ends_with("verdict   wrong: 1 warning\n"), "{text}");
}

#[test]
fn a_rendered_template_comes_by_standard_input() {
    let manifest = fs::read_to_string(sample("right.yaml")).expect("it is a sample");
    let output = check(&["--kubernetes", "-"], &[], &manifest.replace("Seconds: 30", "Seconds: 20"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(WRONG.into()), "{text}");
    assert!(text.contains("standard input:15: terminationGracePeriodSeconds: 20"), "{text}");
}

#[test]
fn a_command_line_that_is_wrong_is_refused_and_help_is_none() {
    for words in [&["--nope"][..], &["--container", "x"], &["--platform", "moon"], &["--balancer-probe", "5s"]] {
        let text = said(words, &[], WRONG);
        assert!(text.starts_with("error: "), "{text}");
    }
    let help = said(&["--help"], &[], RIGHT);
    assert!(
        help.contains(concat!(env!("CARGO_PKG_NAME"), " check-config")) && help.contains("--balancer-idle"),
        "{help}"
    );
}
