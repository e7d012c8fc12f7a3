//! Programs that a test needs, and that this machine may not have.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

/// Where a program is. `None`, and a word on the terminal, where it is missing; with `REQUIRE_REAL_PARTS=1` that is a
/// failure.
pub(crate) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let places = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&places).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.or_else(|| missing(&format!("{name}, of the package {package}")))
}

/// A command behind which a program runs as process 1 of a PID namespace of its own. `None` as for [`program`].
pub(crate) fn in_a_pid_namespace() -> Option<Command> {
    const OPTIONS: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let unshare = program("unshare", "util-linux")?;
    let command = |user: &[&str]| {
        let mut command = Command::new(&unshare);
        command.args(user).args(OPTIONS).stdin(Stdio::null());
        command
    };
    let works = |user: &[&str]| command(user).arg("true").stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    let ways: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    let way = ways.into_iter().find(|user| works(user));
    way.map(command).or_else(|| missing("root or user namespaces, for a PID namespace"))
}

/// As [`program`] says it of a program.
pub(crate) fn missing<T>(part: &str) -> Option<T> {
    let required = env::var_os("REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
    assert!(!required, "REQUIRE_REAL_PARTS is 1, and this needs {part}");
    // Past the test harness, which shows nothing of a test that passes.
    let test = thread::current().name().unwrap_or_default().to_owned();
    let _ = io::stderr().write_all(format!("{test} is skipped: it needs {part}\n").as_bytes());
    None
}
