//! What a regression would be, made on purpose: a gate that was never seen to fail proves nothing.

use std::{env, hint::black_box};

/// The variable that asks for it: `instructions` or `allocation`.
pub const INJECT: &str = "GATE_INJECT";

/// Steps that take about a fiftieth of a request's instructions.
const STEPS: u32 = 60;

/// Slower by so much at every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Injected {
    steps: u32,
    allocates: bool,
}

impl Injected {
    /// What the environment asks for: nothing, as a rule.
    pub fn from_env() -> Self {
        match env::var(INJECT).as_deref() {
            Ok("instructions") => Self { steps: STEPS, ..Self::default() },
            Ok("allocation") => Self { allocates: true, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// Once for each request.
    pub fn happen(&self) {
        for step in 0..self.steps {
            black_box(step);
        }
        if self.allocates {
            drop(black_box(Box::new(0_u8)));
        }
    }
}
