//! Whether a stop still does what it is there for: nobody goes without a word, and the process does not outlive its last answer.
//!
//! Neither is a matter of speed. The time of a stop is compared with that of the slowest request in the same stop, so that a slow
//! machine slows down both.

use std::{fmt, thread, time::Duration};

use crate::{clients::Clients, median::median, peers::Peer};

/// Stops of one measurement, and the clients of each: with a request in flight, and idle.
const STOPS: usize = 5;
const BUSY: usize = 200;
const IDLE: usize = 200;

/// The most that a stop may take, in the time from the signal to its last answer, which is a quarter of a second. What is above 1 is
/// the stop's own; the median of the stops counts.
const MOST: f64 = 1.15;

/// Longest wait for each step.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of them.
#[derive(Clone, Debug)]
pub struct Stops {
    clients: usize,
    /// Clients that had neither their answer nor, being idle, a word that they are to leave.
    pub without_a_word: usize,
    /// From the signal to the exit, in the time from the signal to the last answer.
    overheads: Vec<f64>,
}

impl Stops {
    /// Stops `peer` in the middle of its requests, a few times.
    ///
    /// # Errors
    ///
    /// It does not start, answer or end.
    pub fn of(peer: Peer) -> anyhow::Result<Self> {
        let mut stops = Self { clients: 0, without_a_word: 0, overheads: Vec::new() };
        for _ in 0..STOPS {
            stops.stop(peer)?;
        }
        Ok(stops)
    }

    fn stop(&mut self, peer: Peer) -> anyhow::Result<()> {
        let (mut server, busy) = peer.start_with_held(BUSY, PATIENCE)?;
        let idle = Clients::open(server.address(), IDLE)?;
        let signal = server.terminate()?;
        let idle = thread::spawn(move || idle.until_told(PATIENCE));
        let (answered, last) = busy.until_told(PATIENCE)?;
        let (_, exit) = server.wait(PATIENCE)?;
        let (told, _) = idle.join().expect("it does not panic")?;
        self.clients += BUSY + IDLE;
        self.without_a_word += (BUSY - answered.answers) + (IDLE - told.farewells);
        self.overheads.push((exit - signal).as_secs_f64() / (last - signal).as_secs_f64());
        Ok(())
    }

    fn overhead(&self) -> f64 {
        median(&self.overheads)
    }

    /// Whether everybody was told, and the process ended in time.
    pub fn passes(&self) -> bool {
        self.without_a_word == 0 && self.overhead() <= MOST
    }
}

impl fmt::Display for Stops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stops, clients, lost) = (self.overheads.len(), self.clients, self.without_a_word);
        let (overhead, verdict) = (self.overhead(), if self.passes() { "" } else { "   worse" });
        write!(f, "{stops} stops of {clients} clients: {lost} without a word (0), ")?;
        write!(f, "exit after {overhead:.3} of the time to the last answer (at most {MOST}){verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_without_a_word_or_a_process_that_lingers_does_not_pass() {
        let stops =
            |without_a_word, overhead| Stops { clients: 400, without_a_word, overheads: vec![1.0, overhead, 9.0] };
        assert!(stops(0, MOST).passes());
        assert!(!stops(1, 1.0).passes());
        assert!(!stops(0, MOST + 0.01).passes());
    }
}
