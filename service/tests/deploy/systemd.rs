//! The unit and its socket.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::{BINARY, changed, check, parts::program, run, text};

const UNIT: &str = concat!("systemd/", env!("CARGO_PKG_NAME"), ".service");
const SOCKET: &str = concat!("systemd/", env!("CARGO_PKG_NAME"), ".socket");
/// As they are installed.
const UNIT_NAME: &str = concat!(env!("CARGO_PKG_NAME"), ".service");
const SOCKET_NAME: &str = concat!(env!("CARGO_PKG_NAME"), ".socket");

/// In tenths. It is 1.2 with systemd 252; another version may ask for more.
const MOST_EXPOSED: &str = "--threshold=20";

/// Both units as they would be installed, with the program at hand.
fn installed() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let unit = changed(&text(UNIT), concat!("/usr/local/bin/", env!("CARGO_PKG_NAME")), BINARY);
    for (name, text) in [(UNIT_NAME, unit), (SOCKET_NAME, text(SOCKET))] {
        fs::write(folder.path().join(name), text).expect("the folder is ours");
    }
    folder
}

fn values<'a>(unit: &'a str, key: &'a str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_unit_leaves_a_stop_its_time_and_one_second_less_is_found() {
    let unit = text(UNIT);
    let (is_right, said) = check("--systemd", &unit);
    assert!(is_right, "{said}");
    for short in ["TimeoutStopSec=29s", "Type=notify-reload", "KillMode=none"] {
        let (key, _) = short.split_once('=').expect("it is an assignment");
        let line = format!("{key}={}", values(&unit, key)[0]);
        let (is_right, said) = check("--systemd", &changed(&unit, &line, short));
        assert!(!is_right && said.contains(short), "{said}");
    }
    let grace = values(&unit, "Environment").into_iter().find_map(|set| set.strip_prefix("GRACE_PERIOD="));
    assert_eq!(grace, Some(values(&unit, "TimeoutStopSec")[0]), "what is granted and what is spent are one number");
}

#[test]
fn the_socket_has_the_name_that_the_service_knows() {
    assert_eq!(values(&text(SOCKET), "FileDescriptorName"), ["http"]);
    assert_eq!(values(&text(UNIT), "Requires"), [SOCKET_NAME]);
}

#[test]
fn what_the_service_writes_is_in_its_state_directory() {
    let unit = text(UNIT);
    let folder = format!("/var/lib/{}/", values(&unit, "StateDirectory")[0]);
    let set = |name| values(&unit, "Environment").into_iter().find_map(|set| set.strip_prefix(name));
    let database = set("DATABASE_URL=sqlite:");
    assert_eq!(database.is_some_and(|path| path.starts_with(&folder)), cfg!(feature = "orders"), "{database:?}");
    assert!(set("SHUTDOWN_REPORT=").is_some_and(|path| path.starts_with(&folder)));
}

#[test]
fn systemd_takes_both_units_and_finds_a_word_that_it_does_not_know() {
    let Some(analyze) = program("systemd-analyze", "systemd") else { return };
    let folder = installed();
    let verify = || {
        let mut command = Command::new(&analyze);
        command.args(["verify", "--man=no", UNIT_NAME, SOCKET_NAME]).current_dir(folder.path());
        run(command, "")
    };
    let (is_right, said) = verify();
    assert!(is_right && said.is_empty(), "{said}");
    let path = folder.path().join(UNIT_NAME);
    let unit = fs::read_to_string(&path).expect("it was written");
    fs::write(&path, changed(&unit, "PrivateUsers=yes", "PrivateUser=yes")).expect("the folder is ours");
    let (_, said) = verify();
    assert!(said.contains("PrivateUser'"), "{said}");
}

#[test]
fn systemd_calls_the_unit_well_protected() {
    let Some(analyze) = program("systemd-analyze", "systemd, 250 or later") else { return };
    let folder = installed();
    let mut command = Command::new(analyze);
    command.args(["security", "--no-pager", "--offline=yes", MOST_EXPOSED, UNIT_NAME]);
    command.current_dir(folder.path());
    let (is_protected, said) = run(command, "");
    assert!(is_protected && said.contains("Overall exposure level"), "{said}");
}
