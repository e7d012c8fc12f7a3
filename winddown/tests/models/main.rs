//! The library's own code for what races with a stop, on loom's types: every order of two or three threads that the
//! memory model allows.
//!
//! `cargo test -p winddown --test models`; with `LOOM_LOG=1` and `-- --nocapture` loom tells the order that fails.

#[path = "../../src/http/admission.rs"]
mod admission;
mod counting;
mod doors;
mod stages;
#[path = "../../src/totals.rs"]
#[allow(unreachable_pub, dead_code, reason = "it is public in the library, and more of it is used there")]
mod totals;

use std::{
    fmt::Debug,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// What the library takes from `std`.
mod sync {
    pub(crate) use loom::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize},
    };

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
        mutex.lock().expect("no model panics while it holds a lock")
    }
}

/// What the modelled files name besides.
mod http {
    pub(crate) use crate::admission;

    pub(crate) mod in_flight {
        #[derive(Clone, Debug)]
        pub(crate) struct RequestStatus;
    }
}

/// More than any model here has: one that grows beyond it must become smaller.
const MOST_ORDERS: usize = 200_000;

/// Runs `model` in every order. Each run says what came of it, and all of `outcomes` must have been seen and no other: a
/// model in which nothing races proves nothing.
fn in_every_order<T: Debug + PartialEq + Send + 'static>(
    model: impl Fn() -> T + Send + Sync + 'static,
    outcomes: impl IntoIterator<Item = T>,
) {
    let (orders, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (count, see) = (orders.clone(), seen.clone());
    loom::model(move || {
        assert!(count.fetch_add(1, Relaxed) < MOST_ORDERS, "too many orders for a test");
        let outcome = model();
        let mut seen = see.lock().expect("a model that fails is not run again");
        if !seen.contains(&outcome) {
            seen.push(outcome);
        }
    });
    println!("{} orders", orders.load(Relaxed));
    let seen = seen.lock().expect("no model failed");
    let outcomes: Vec<_> = outcomes.into_iter().collect();
    assert!(seen.iter().all(|outcome| outcomes.contains(outcome)), "{seen:?} were seen, and allowed only {outcomes:?}");
    assert!(outcomes.iter().all(|outcome| seen.contains(outcome)), "only {seen:?} were seen of {outcomes:?}");
}
