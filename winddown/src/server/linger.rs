//! The lingering close: how long a socket is read behind our FIN.
//!
//! A socket that is closed while unread bytes arrive answers with RST, and an RST can take from the client a response
//! that it has not read yet (RFC 9112 §9.6); what the kernel still has for the client, it throws away. So the shutdown sends
//! FIN, then reads and discards until the peer's FIN. Two bounds keep it short: silence for a few of the connection's own
//! round trips, and [`LINGER`] in all. Neither holds while the client is still taking what was written.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::sys::Outgoing;

/// Longest time for which a peer that goes on sending is read after we have said our last word.
const LINGER: Duration = Duration::from_secs(1);

/// Shortest silence that ends the linger, for peers next door; farther ones have four of their round trips.
const LINGER_SILENCE: Duration = Duration::from_millis(25);

/// The silence that ends it for a peer whose upload was answered before its end: it may think between two writes, and it
/// reads no answer before it has written.
const LINGER_UPLOAD: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Linger {
    /// However much the peer says.
    until: Instant,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    /// There was something that the peer had no room for.
    backlog: bool,
    /// What the peer's kernel had taken when it was last looked at, and since when.
    acknowledged: Option<u64>,
    since: Instant,
}

impl Linger {
    pub(super) fn new(round_trip: Option<Duration>, upload_was_cut: bool) -> Self {
        let shortest = if upload_was_cut { LINGER_UPLOAD } else { LINGER_SILENCE };
        let (now, silence) = (Instant::now(), (round_trip.unwrap_or_default() * 4).clamp(shortest, LINGER));
        let timer = Box::pin(sleep_until(now + silence));
        Self { until: now + LINGER, silence, timer, backlog: false, acknowledged: None, since: now }
    }

    /// The peer has said something.
    pub(super) fn heard(&mut self) {
        let silent = Instant::now() + self.silence;
        self.timer.as_mut().reset(silent.min(self.until));
    }

    pub(super) fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }

    pub(super) fn is_over(&self) -> bool {
        self.timer.is_elapsed() || self.until <= Instant::now()
    }

    /// Whether the peer is still taking what was written, so that it lingers on: as long as it takes something within
    /// `patience`, and until it has had time to say so when it has taken the last.
    pub(super) fn goes_on(&mut self, outgoing: Option<Outgoing>, patience: Duration) -> bool {
        let Some(outgoing) = outgoing else { return false };
        let now = Instant::now();
        let takes =
            self.acknowledged.replace(outgoing.acknowledged).is_some_and(|before| before != outgoing.acknowledged);
        if takes {
            self.since = now;
        }
        let waits = now.saturating_duration_since(self.since);
        let goes_on = if outgoing.unsent {
            waits < patience
        } else {
            // The last of a backlog, which the peer may have to make room for.
            (self.backlog && (takes || outgoing.in_flight)) && waits < LINGER
        };
        self.backlog |= outgoing.unsent;
        if goes_on {
            self.until = now + LINGER;
            self.heard();
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn outgoing(acknowledged: u64, unsent: bool) -> Outgoing {
        Outgoing { acknowledged, unsent, in_flight: unsent }
    }

    async fn over(linger: &mut Linger) {
        std::future::poll_fn(|cx| linger.poll_silence(cx)).await;
        assert!(linger.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_when_everything_is_taken() {
        let (mut linger, began) = (Linger::new(None, false), Instant::now());
        over(&mut linger).await;
        assert!(!linger.goes_on(Some(outgoing(1, false)), PATIENCE));
        assert_eq!(began.elapsed(), LINGER_SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_goes_on_sending_is_read_no_longer_than_the_bound() {
        let (mut linger, began) = (Linger::new(None, false), Instant::now());
        while !linger.is_over() {
            tokio::time::advance(LINGER_SILENCE / 2).await;
            linger.heard();
        }
        assert!(began.elapsed() >= LINGER && began.elapsed() < LINGER * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_its_answer_slowly_is_waited_for() {
        let (mut linger, began) = (Linger::new(None, false), Instant::now());
        for taken in 0..100 {
            over(&mut linger).await;
            assert!(linger.goes_on(Some(outgoing(taken, true)), PATIENCE), "after {:?}", began.elapsed());
        }
        over(&mut linger).await;
        assert!(linger.goes_on(Some(outgoing(100, false)), PATIENCE), "it has just taken the last");
        over(&mut linger).await;
        assert!(!linger.goes_on(Some(outgoing(100, false)), PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_any_more_is_given_up() {
        let (mut linger, began) = (Linger::new(None, false), Instant::now());
        over(&mut linger).await;
        while linger.goes_on(Some(outgoing(7, true)), PATIENCE) {
            over(&mut linger).await;
        }
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 2);
    }
}
