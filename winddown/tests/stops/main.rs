//! Any stop: budgets, start-up steps, hooks, tasks and signals at random, on a paused clock, beside a model of what must
//! come of them.
//!
//! `PROPTEST_CASES=20000 cargo test -p winddown --test stops --release` looks longer.

mod checks;
mod model;
mod plan;
mod process;

use proptest::prelude::*;

use crate::{
    model::foretell,
    plan::plan,
    process::{run, shutdown},
};

#[test]
fn any_stop_is_the_one_that_was_foretold() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256);
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 5_000,
        max_shrink_time: 20_000, // ms
        max_global_rejects: cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(plan in plan())| {
        let budget = *shutdown(&plan).build().expect("it fits").budget();
        let Some(foretold) = foretell(&plan, &budget) else {
            return Err(TestCaseError::reject("two events at once"));
        };
        let seen = run(&plan, &foretold.asks);
        checks::all(&plan, &budget, &foretold, &seen);
        if foretold.forced.is_some() {
            let patient = run(&plan, &plan.asks[..1]);
            checks::never_longer(&seen.report, &patient.report);
        }
    });
}
