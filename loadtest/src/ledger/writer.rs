//! Writing a ledger from many users at once.
//!
//! Each user appends to a buffer of its own, under a lock that nobody else wants but the flusher thread, and that one
//! only every [`FLUSH_INTERVAL`]. The load generator is not what gets killed, so memory is safe enough a place.
//!
//! A ledger without a file counts and forgets: what it saves is what keeping one costs.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Class, Event, Record, boot::Boot, now};

/// A record reaches the file at the latest after this time.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// A ledger that is being written. Dropping it finishes it; [`Ledger::finish`] also tells whether that worked.
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    flusher: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

/// Appends records for one user. Cheap to clone: a clone shares its buffer and so its order.
#[derive(Clone, Debug)]
pub struct LedgerWriter {
    shared: Arc<Shared>,
    /// `None` when there is no file.
    buffer: Option<Arc<Mutex<Vec<u8>>>>,
}

/// How far the load has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests with an intent and no outcome.
    pub in_flight: u64,
    /// Requests with an outcome.
    pub done: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// There is a file.
    keeps: bool,
    buffers: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    intents: AtomicU64,
    outcomes: [AtomicU64; Class::ALL.len()],
    connections: AtomicU64,
    finished: Mutex<bool>,
    finish: Condvar,
}

impl Ledger {
    /// Creates the file at `path`, or empties it, notes the clock, and starts the flusher.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        writeln!(file, "{}", Record { at: now(), event: Boot::present().clock() })?;
        let shared = Arc::new(Shared { keeps: true, ..Shared::default() });
        let flusher = thread::Builder::new().name("ledger".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.flush_until_finished(file)
        })?;
        Ok(Self { shared, flusher: Mutex::new(Some(flusher)) })
    }

    /// A ledger that is kept nowhere, and only counts.
    pub fn counting() -> Self {
        Self { shared: Arc::default(), flusher: Mutex::new(None) }
    }

    /// A writer for one more user.
    pub fn writer(&self) -> LedgerWriter {
        let buffer = self.shared.keeps.then(Arc::<Mutex<Vec<u8>>>::default);
        lock(&self.shared.buffers).extend(buffer.clone());
        LedgerWriter { shared: Arc::clone(&self.shared), buffer }
    }

    /// How far the load has come.
    pub fn progress(&self) -> Progress {
        // Outcomes first: read the other way round, an outcome in between would make the difference negative.
        let done = self.shared.outcomes.iter().map(|count| count.load(Ordering::Acquire)).sum();
        let intents = self.shared.intents.load(Ordering::Acquire);
        Progress { in_flight: intents - done, done }
    }

    /// How many requests ended in which class; classes that did not occur are left out.
    pub fn outcomes(&self) -> Vec<(Class, u64)> {
        let counts = self.shared.outcomes.iter().map(|count| count.load(Ordering::Acquire));
        Class::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Writes what is still in memory and closes the file. What is written afterwards is lost.
    pub fn finish(&self) -> io::Result<()> {
        *lock(&self.shared.finished) = true;
        self.shared.finish.notify_one();
        let Some(flusher) = lock(&self.flusher).take() else { return Ok(()) };
        flusher.join().unwrap_or_else(|_| Err(io::Error::other("the ledger's flusher panicked")))
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            eprintln!("loadtest: the ledger is incomplete: {error}");
        }
    }
}

impl LedgerWriter {
    /// Appends one event, stamped with the present time, which it returns.
    pub fn write(&self, event: Event<'_>) -> u64 {
        let at = if let Some(buffer) = &self.buffer {
            let mut buffer = lock(buffer);
            // Under the lock, so that the clones of a writer keep the order of their times.
            let at = now();
            Record { at, event }.append_to(&mut buffer);
            buffer.push(b'\n');
            at
        } else {
            now()
        };
        match event {
            Event::Intent { .. } => self.shared.intents.fetch_add(1, Ordering::Release),
            Event::Outcome { class, .. } => self.shared.outcomes[class as usize].fetch_add(1, Ordering::Release),
            Event::Clock { .. } | Event::Connected { .. } => 0,
        };
        at
    }

    /// A number for a connection that is about to be dialled, unique in this ledger.
    pub fn next_connection(&self) -> u64 {
        self.shared.connections.fetch_add(1, Ordering::Relaxed)
    }
}

impl Shared {
    fn flush_until_finished(&self, mut file: File) -> io::Result<()> {
        let mut batch = Vec::new();
        loop {
            let finished = lock(&self.finished);
            let finished = *self
                .finish
                .wait_timeout_while(finished, FLUSH_INTERVAL, |finished| !*finished)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            for buffer in lock(&self.buffers).iter() {
                batch.append(&mut lock(buffer));
            }
            file.write_all(&batch)?;
            batch.clear();
            if finished {
                return Ok(());
            }
        }
    }
}

/// A buffer that a panicking user left behind still holds whole lines.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Class, Kind, Protocol, read};

    #[test]
    fn records_of_many_threads_never_share_a_line_and_all_arrive() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("client.ledger");
        let ledger = Ledger::create(&path).expect("a new file in a temporary folder opens");
        thread::scope(|scope| {
            for _ in 0..4 {
                let writer = ledger.writer();
                scope.spawn(move || {
                    let connection = writer.next_connection();
                    for sequence in 0..500 {
                        let (reused, protocol, kind, id) = (sequence > 0, Protocol::H1, Kind::Fast, "run-1-2");
                        writer.write(Event::Intent { connection, sequence, reused, protocol, kind, id });
                        writer.write(Event::Outcome { class: Class::Ok, status: Some(200), detail: None, id });
                    }
                });
            }
        });
        assert_eq!(ledger.progress(), Progress { in_flight: 0, done: 2000 });
        ledger.finish().expect("a temporary folder has room");

        let mut reader = read(&path).expect("the ledger was just written");
        let (mut intents, mut outcomes) = (0, 0);
        while let Some(record) = reader.next_record().expect("every line is a record") {
            match record.event {
                Event::Intent { .. } => intents += 1,
                Event::Outcome { .. } => outcomes += 1,
                Event::Clock { .. } | Event::Connected { .. } => {}
            }
        }
        assert_eq!((intents, outcomes), (2000, 2000));
    }
}
