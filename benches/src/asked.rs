//! What a bench without a harness is asked for: by Cargo, by a runner of tests, or by itself, which starts servers so.

use std::env;

use anyhow::Context;

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// A server: this process is a child of the bench.
    Server(Vec<String>),
    /// The names of tests, of which there are none.
    Names,
    /// Measurements. `cargo bench` asks so.
    Bench,
    /// A small run that shows that the bench still works. `cargo test` asks so, by saying nothing.
    Test,
}

impl Asked {
    /// What this process is asked for.
    pub fn now() -> Self {
        let mut args = env::args().skip(1).peekable();
        if args.next_if(|arg| arg == SERVE).is_some() {
            return Self::Server(args.collect());
        }
        let args: Vec<_> = args.collect();
        let given = |arg: &str| args.iter().any(|other| other == arg);
        match () {
            () if given("--list") => Self::Names,
            () if given("--bench") => Self::Bench,
            () => Self::Test,
        }
    }
}

/// Asks for a server.
pub(crate) const SERVE: &str = "--serve";

/// A size of the bench, from the environment.
pub fn setting(name: &str, default: usize) -> anyhow::Result<usize> {
    let Ok(value) = env::var(name) else { return Ok(default) };
    let number = value.parse().ok().filter(|number| *number > 0);
    number.with_context(|| {
        format!("{name} is {value:?}, and must be a whole number from 1 on; without it, {default} is taken")
    })
}
