//! Stops servers in the middle of a load and says what was lost.
//!
//! Exit codes: 0 pass · 1 fail · 2 inconclusive · 78 a scenario, a ledger or the command line is refused · 130 interrupted.

mod command;

use std::process::ExitCode;

use chaos::{joined, probe, roll, scenario::ScenarioError, verdict::Verdict, wait::Interrupted};
use clap::Parser;

use crate::command::Command;

const REFUSED: u8 = 78;
const INTERRUPTED: u8 = 130;

/// Stops servers in the middle of a load and says what was lost.
///
/// Exit codes: 0 pass, 1 fail, 2 inconclusive, 78 a scenario, a ledger or the command line is refused, 130 interrupted.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) => {
            let _ = help.print();
            return ExitCode::from(if help.use_stderr() { REFUSED } else { 0 });
        }
    };
    match cli.command.carry_out() {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("chaos: interrupted, everything that was started has been stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(if is_refusal(&error) { REFUSED } else { Verdict::Inconclusive.exit_code() })
        }
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    error.is::<ScenarioError>()
        || error.is::<probe::Refused>()
        || error.is::<joined::Refused>()
        || error.is::<roll::Missing>()
}
