//! The last descriptors of a process are not for its clients: an admin port that cannot accept a probe has the process killed,
//! and a handler that cannot open a file serves nobody.
//!
//! The kernel gives out the lowest number that is free, so the number of a new descriptor tells how many are taken.

use std::os::fd::{AsFd, AsRawFd};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, getrlimit},
};

/// So many are kept back, or an eighth of all where that is less.
const KEPT_BACK: u64 = 16;

/// Whether a new descriptor is one of those that are kept back.
pub(super) fn is_of_the_last(new: &impl AsFd) -> bool {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return false };
    let number = u64::try_from(new.as_fd().as_raw_fd()).expect("an open descriptor is not negative");
    number + KEPT_BACK.min(limit / 8) >= limit
}

/// Whether the next one would be. Tried with a copy of one that is open.
pub(super) fn are_scarce(open: &impl AsFd) -> bool {
    fcntl_dupfd_cloexec(open, 0).map_or(true, |next| is_of_the_last(&next))
}
