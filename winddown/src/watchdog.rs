//! The end that nothing can hold up: an operating-system thread outside the runtime.
//!
//! Timers of the runtime do not fire when every worker is blocked, and that is when a hard deadline is needed most.

use std::{
    io::Write,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    sabotage::{self, Fault},
    sys,
};

/// How long the last words may take. Standard error may be a pipe that nobody reads, the report's disk may hang.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The thread. Dropping this disarms it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    alarm: Alarm,
}

/// Arms the watchdog, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Alarm {
    orders: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    EndAt(Instant),
    Disarm,
}

impl Watchdog {
    /// Starts the thread while there is still nothing to guard: a process in trouble may not get one.
    ///
    /// When an armed deadline passes, it says `last_words` and ends the process with `exit_code`.
    pub(crate) fn start(exit_code: u8, last_words: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let watch = move || {
            if deadline_passes(&received) {
                say_and_exit(exit_code, last_words);
            }
        };
        thread::Builder::new().name("winddown-watchdog".into()).spawn(watch)?;
        Ok(Self { alarm: Alarm { orders } })
    }

    pub(crate) fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }
}

impl Alarm {
    /// Sets the deadline. The first one stands.
    pub(crate) fn end_at(&self, deadline: Instant) {
        if sabotage::is(Fault::NoDeadline) {
            return;
        }
        // The thread is gone only once it was disarmed, and then there is nothing left to guard.
        let _ = self.orders.send(Message::EndAt(deadline));
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.alarm.orders.send(Message::Disarm);
    }
}

fn deadline_passes(orders: &mpsc::Receiver<Message>) -> bool {
    let Ok(Message::EndAt(deadline)) = orders.recv() else { return false };
    loop {
        match orders.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Message::EndAt(_)) => {}
            Ok(Message::Disarm) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => return true,
        }
    }
}

/// Runs `last_words`, for no longer than [`LAST_WORDS`], and ends the process.
pub(crate) fn say_and_exit(exit_code: u8, last_words: impl FnOnce() + Send + 'static) -> ! {
    let (said, wait) = mpsc::channel();
    let speaker = thread::Builder::new().spawn(move || {
        last_words();
        let _ = std::io::stderr().flush();
        let _ = said.send(());
    });
    if speaker.is_ok() {
        let _ = wait.recv_timeout(LAST_WORDS);
    }
    sys::exit_now(exit_code.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(given: impl IntoIterator<Item = Message>) -> bool {
        let (orders, received) = mpsc::channel();
        for order in given {
            orders.send(order).expect("the receiver is here");
        }
        let keep = orders;
        let passes = deadline_passes(&received);
        drop(keep);
        passes
    }

    #[test]
    fn the_first_deadline_stands_and_passes() {
        let now = Instant::now();
        assert!(orders([Message::EndAt(now), Message::EndAt(now + Duration::from_hours(1))]));
    }

    #[test]
    fn a_watchdog_that_was_disarmed_ends_nothing() {
        assert!(!orders([Message::EndAt(Instant::now() + Duration::from_hours(1)), Message::Disarm]));
        assert!(!orders([Message::Disarm]));
    }
}
