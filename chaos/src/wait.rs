//! Waits that have a bound, and an interrupt that ends them all.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Somebody wants the run to end: every wait fails with this from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Tries every `pause` until there is an answer, for at most `bound`; `None` when there is none by then.
pub fn until<T>(
    bound: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + bound;
    loop {
        check()?;
        let answer = attempt()?;
        if answer.is_some() || Instant::now() >= deadline {
            return Ok(answer);
        }
        thread::sleep(pause);
    }
}

/// Fails when the run is to end.
pub fn check() -> Result<(), Interrupted> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// Turns the first SIGINT or SIGTERM into [`Interrupted`], so that no child outlives the run.
///
/// Children live in process groups of their own, out of the reach of a terminal's Ctrl-C.
pub fn listen_for_interrupts() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("interrupts".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_its_answer_or_with_its_bound() {
        let mut tries = 0;
        let third = until(Duration::from_mins(1), Duration::ZERO, || {
            tries += 1;
            Ok((tries == 3).then_some(tries))
        });
        assert_eq!(third.expect("no try fails"), Some(3));

        let never = until(Duration::ZERO, Duration::ZERO, || Ok(None::<()>));
        assert_eq!(never.expect("no try fails"), None);
    }
}
