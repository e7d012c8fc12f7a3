//! Programs that a test needs, and that this machine may not have.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    thread,
};

/// Where a program is. `None`, and a word on the terminal, where it is missing; with `REQUIRE_REAL_PARTS=1` that is a
/// failure.
pub(crate) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let places = env::var_os("PATH").unwrap_or_default();
    // Debian has those of administrators in a folder that is not everybody's.
    let places = env::split_paths(&places).chain(["/usr/sbin".into()]);
    let found = places.map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        let required = env::var_os("REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
        assert!(!required, "REQUIRE_REAL_PARTS is 1, and this needs {name}, of the package {package}");
        // Past the test harness, which shows nothing of a test that passes.
        let test = thread::current().name().unwrap_or_default().to_owned();
        let _ = io::stderr()
            .write_all(format!("{test} is skipped: it needs {name}, of the package {package}\n").as_bytes());
    }
    found
}
