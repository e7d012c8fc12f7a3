//! What lies in `deploy/`, held against the service that it deploys.

mod kubernetes;
#[expect(dead_code, reason = "it knows other parts, too")]
#[path = "../shutdown/parts.rs"]
mod parts;
mod systemd;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const BINARY: &str = env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME")));
const NAME: &str = env!("CARGO_PKG_NAME");

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What `service check-config --strict` says of a file, and whether it is right without a warning.
fn check(flag: &str, file: &str) -> (bool, String) {
    let mut command = Command::new(BINARY);
    command.args(["check-config", "--strict", flag, "-"]).env_clear();
    run(command, file)
}

/// Runs a command to its end: whether it succeeded, and what it said.
fn run(mut command: Command, input: &str) -> (bool, String) {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("it is a program");
    // It may be gone already, without a look at its input.
    let _ = child.stdin.take().expect("it is a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("our own child can be waited for");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A file with something in it replaced, which must be there.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "there is no {from} to change");
    text.replace(from, to)
}
