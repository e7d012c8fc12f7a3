//! Which clock a ledger's times were read from.

use std::{fs, time::SystemTime};

use super::Event;

/// What a process says of its clock in the first record of its ledger.
///
/// `CLOCK_MONOTONIC` is one clock for all processes of one boot of a machine, and says nothing to any other. The kernel
/// gives each boot a word of its own, by which ledgers of one machine are known, and joined without a correction.
#[derive(Debug)]
pub(super) struct Boot(Option<String>);

impl Boot {
    /// This machine's. Linux alone has a word for it.
    pub(super) fn present() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let word = boot.trim();
        Self((!word.is_empty() && !word.contains(' ')).then(|| word.to_owned()))
    }

    /// The event that tells it, with what the wall clock says now.
    pub(super) fn clock(&self) -> Event<'_> {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Event::Clock { wall, boot: self.0.as_deref() }
    }
}
