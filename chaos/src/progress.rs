//! What is happening right now, on standard error: one line that changes on a terminal, a line a step elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// No eye reads faster.
const REFRESH: Duration = Duration::from_millis(100);

/// Tells what is happening.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    steps: bool,
    stop: String,
    shown: Option<Instant>,
}

impl Progress {
    /// Tells it on standard error.
    pub fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), steps: true, stop: String::new(), shown: None }
    }

    /// Tells the steps to a terminal only, and milestones elsewhere: of a thousand stops a log wants no more.
    pub fn of_many() -> Self {
        let mut progress = Self::new();
        progress.steps = false;
        progress
    }

    /// From now on it is about this stop.
    pub fn begin(&mut self, stop: String) {
        self.stop = stop;
    }

    /// A step begins.
    pub fn step(&mut self, what: &str) {
        if self.terminal {
            self.show(what);
        } else if self.steps {
            eprintln!("{}: {what}", self.stop);
        }
    }

    /// Something that stays to be read, elsewhere than on a terminal.
    pub fn milestone(&self, what: &str) {
        if !self.terminal {
            eprintln!("{}: {what}", self.stop);
        }
    }

    /// How far the step has come. Only a terminal shows it.
    pub fn now(&mut self, what: &str) {
        if self.terminal && self.shown.is_none_or(|shown| shown.elapsed() >= REFRESH) {
            self.show(what);
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            eprint!("\r\x1b[2K");
        }
    }

    fn show(&mut self, what: &str) {
        eprint!("\r\x1b[2K{}: {what}", self.stop);
        let _ = io::stderr().flush();
        self.shown = Some(Instant::now());
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
