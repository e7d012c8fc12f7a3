//! Programs that are run to their end.

use std::{
    env,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

/// From the start of a command to its end; the longest is a build from nothing on a small machine.
const LONGEST: Duration = Duration::from_mins(30);

/// A program with nothing of cargo's that belongs to the run of this one.
pub(crate) fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    for (variable, _) in env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") || text == "CARGO" {
            command.env_remove(variable);
        }
    }
    command
}

/// What it says on standard output.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    run_and_hear(command).map(|(output, _)| output)
}

/// What it says on standard output, and on standard error. It fails if the command does, with both.
pub(crate) fn run_and_hear(command: &mut Command) -> anyhow::Result<(String, String)> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let told = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().with_context(|| format!("cannot start {told}"))?;
    let read = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text); // what was read until then is told
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let output = read(Box::new(child.stdout.take().context("it was asked for")?));
    let errors = read(Box::new(child.stderr.take().context("it was asked for")?));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("{told} was still running after {LONGEST:?}");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    anyhow::ensure!(status.success(), "{told}: {status}\n{output}\n{errors}");
    Ok((output, errors))
}

/// A clean clone of HEAD, without what is ignored or not committed.
pub(crate) fn clone(root: &Path, to: &Path) -> anyhow::Result<()> {
    run(tool("git").args(["clone", "--quiet"]).arg(root).arg(to)).map(drop)
}
