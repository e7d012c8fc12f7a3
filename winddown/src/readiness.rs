//! What probes are told: started, ready, alive.
//!
//! Readiness is the one that a stop takes away, at T0 and before anything else: a balancer needs time to look away.
//! Liveness stays: a process that drains is not to be killed for it.

use crate::{
    lifecycle::{Lifecycle, Phase},
    sabotage::{self, Fault},
};
use std::sync::Arc;

/// Answers the three probes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    lifecycle: Arc<Lifecycle>,
}

impl Readiness {
    pub(crate) fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self { lifecycle }
    }

    /// Whether start-up is over. Stays true through a stop; a stop that came before never makes it so.
    pub fn is_started(&self) -> bool {
        self.lifecycle.status().started
    }

    /// Whether new traffic is wanted: started, and no stop asked for.
    pub fn is_ready(&self) -> bool {
        if sabotage::is(Fault::StaysReady) {
            return self.is_started();
        }
        self.phase() == Phase::Running && self.lifecycle.status().stop.is_none()
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        self.lifecycle.status().phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Cause;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn c44_readiness_goes_at_t0_and_start_up_stays_done() {
        let lifecycle = Arc::new(Lifecycle::new());
        let readiness = Readiness::new(lifecycle.clone());
        assert!(!readiness.is_started() && !readiness.is_ready());
        lifecycle.enter(Phase::Running, None);
        assert!(readiness.is_started() && readiness.is_ready());
        lifecycle.stop(Cause::Requested { reason: "test".into() }, Duration::from_secs(1));
        assert!(readiness.is_started() && !readiness.is_ready(), "before the first phase of the stop has begun");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_stopped_while_it_starts_was_never_started() {
        let lifecycle = Arc::new(Lifecycle::new());
        lifecycle.enter(Phase::LameDuck, None);
        assert!(!Readiness::new(lifecycle).is_started());
    }
}
