//! The synchronisation that whatever races with a stop is built from: the standard library's.
//!
//! `tests/models` includes `http/admission.rs` and `totals.rs` as they are, gives them loom's types by this name, and runs
//! them in every order that the memory model allows. So these files take no other atomics and locks.

pub(crate) use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize},
};

use std::sync::{MutexGuard, PoisonError};

/// Locks also what a panic has poisoned: every value behind a mutex of this crate is changed by a single push, insert or
/// assignment, so a panic of another thread leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
