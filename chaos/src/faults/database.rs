//! A database that cannot be written to: the lock of its writer, held by somebody who does not write.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::{server::DATABASE_FILE, wait};

/// The service's own writes are over in this time.
const TAKE_BOUND: Duration = Duration::from_secs(2);

/// In the shared memory of a database in WAL mode, the byte that its only writer holds
/// (`WAL_WRITE_LOCK`, <https://www.sqlite.org/walformat.html#wal_locks>).
const WRITE_LOCK: libc::off_t = 120;

/// The lock; dropping it gives it back.
pub(super) struct Lock {
    _shared_memory: File,
}

impl Lock {
    /// Takes it in the database of the service that runs in `folder`.
    pub(super) fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(format!("{DATABASE_FILE}-shm"));
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}: the service keeps no orders", path.display()))?;
        let lock = libc::flock {
            l_type: libc::F_WRLCK as _,
            l_whence: libc::SEEK_SET as _,
            l_start: WRITE_LOCK,
            l_len: 1,
            l_pid: 0,
        };
        let taken =
            wait::until(TAKE_BOUND, Duration::from_millis(1), || match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
                Ok(_) => Ok(Some(())),
                Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
                Err(error) => Err(error).context("cannot lock the database"),
            })?;
        taken
            .with_context(|| format!("the database was not free within {}", humantime::format_duration(TAKE_BOUND)))?;
        Ok(Self { _shared_memory: file })
    }
}
