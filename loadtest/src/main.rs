//! `loadtest`: see the library.

use std::{
    env,
    io::{self, Write},
    os::fd::AsFd,
    process::ExitCode,
    thread,
    time::Duration,
};

use loadtest::{Config, LATE, OVERTIME, run};

/// The command line was refused (`EX_CONFIG`).
const REFUSED: u8 = 78;

fn main() -> ExitCode {
    let config = match Config::from_command_line(env::args_os()) {
        Ok(config) => config,
        Err(error) => {
            // Nothing is left to do about a standard error that is closed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS };
        }
    };
    end_without_fail(config.length() + OVERTIME);
    match load(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn load(config: Config) -> anyhow::Result<()> {
    let progress = config.progress.then(claim_stdout).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = runtime.block_on(run(config, progress))?;
    // A task that hangs must not keep the process: the ledger is complete.
    runtime.shutdown_background();
    let words: Vec<_> = summary.outcomes.iter().map(|(class, count)| format!("{class} {count}")).collect();
    eprintln!("loadtest: {}", if words.is_empty() { "no request".into() } else { words.join(", ") });
    if let Some(times) = summary.punctuality.filter(|times| times.late + times.never > 0) {
        eprintln!(
            "loadtest: of {} requests that were due, {} were begun more than {} ms late (at most {} ms) and {} never: raise --users or lower --rate",
            times.due,
            times.late,
            LATE.as_millis(),
            times.latest.as_millis(),
            times.never,
        );
    }
    Ok(())
}

/// Takes standard output for the progress lines; whatever else is printed there, goose's chatter, goes to standard
/// error from now on.
fn claim_stdout() -> io::Result<Box<dyn Write + Send>> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(Box::new(std::fs::File::from(stdout)))
}

/// A thread outside the runtime holds the promise about the end of the process, whatever the runtime is busy with.
fn end_without_fail(limit: Duration) {
    thread::spawn(move || {
        thread::sleep(limit);
        eprintln!("loadtest: not ended {} s after the end of the run, giving up", OVERTIME.as_secs());
        std::process::exit(1);
    });
}
