//! The synchronisation that whatever races with a stop is built from: the standard library's.
//!
//! `tests/models` includes `http/admission.rs` and `totals.rs` as they are, gives them loom's types by this name, and runs
//! them in every order that the memory model allows. So these files take no other atomics and locks.

pub(crate) use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize},
};
