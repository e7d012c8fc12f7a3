//! The only place that touches the operating system's signals.
//!
//! They are received on a thread of their own, outside the runtime: a runtime whose workers are all blocked would never
//! learn that it was asked to stop, and nobody would start its watchdog.

use std::{fmt, future::poll_fn, io, pin::Pin, thread};

use futures_core::Stream;
use serde::Serialize;
use signal_hook::iterator::{Handle, Signals as Pending};
use tokio_util::task::AbortOnDropHandle;

/// A signal that asks for the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// `SIGTERM`: supervisors, `kill`.
    Term,
    /// `SIGINT`: Ctrl-C.
    Int,
    /// `SIGQUIT`: Ctrl-\, and nginx's habit.
    Quit,
    /// `SIGHUP`: the terminal is gone.
    Hup,
}

impl Signal {
    /// Every signal that is listened for.
    pub const ALL: [Self; 4] = [Self::Term, Self::Int, Self::Quit, Self::Hup];

    /// Its number, the same on every Unix.
    pub const fn number(self) -> u8 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Term => 15,
        }
    }

    /// Its name without `SIG`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Hup => "HUP",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where stop signals come from: the operating system, see [`signals`], or any stream.
pub struct Signals {
    source: Source,
}

enum Source {
    System(Pending),
    Stream(Pin<Box<dyn Stream<Item = Signal> + Send>>),
}

/// Installs handlers for TERM, INT, QUIT and HUP. Call it before anything else starts: until then these signals
/// kill the process, and as process 1 of a container they would do nothing at all.
///
/// What arrives before [`Shutdown::run_until`](crate::Shutdown::run_until) is kept for it.
///
/// # Errors
///
/// The kernel refuses a handler.
pub fn signals() -> io::Result<Signals> {
    let pending = Pending::new(Signal::ALL.map(|signal| i32::from(signal.number())))?;
    Ok(Signals { source: Source::System(pending) })
}

impl Signals {
    /// Signals from a stream, for tests and for programs with other ideas. When it ends, no more come.
    pub fn from_stream(stream: impl Stream<Item = Signal> + Send + 'static) -> Self {
        Self { source: Source::Stream(Box::pin(stream)) }
    }

    /// Hands every signal to `receive`, until what is returned is dropped.
    pub(crate) fn forward(self, receive: impl Fn(Signal) + Send + 'static) -> io::Result<Forwarding> {
        match self.source {
            Source::System(mut pending) => {
                let handle = pending.handle();
                let of_number = |number| Signal::ALL.into_iter().find(|signal| i32::from(signal.number()) == number);
                let forward = move || pending.forever().filter_map(of_number).for_each(receive);
                thread::Builder::new().name("winddown-signals".into()).spawn(forward)?;
                Ok(Forwarding::System(handle))
            }
            Source::Stream(mut stream) => Ok(Forwarding::Stream(AbortOnDropHandle::new(tokio::spawn(async move {
                while let Some(signal) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    receive(signal);
                }
            })))),
        }
    }
}

/// See [`Signals::forward`].
#[derive(Debug)]
pub(crate) enum Forwarding {
    System(Handle),
    #[expect(dead_code, reason = "held for its drop")]
    Stream(AbortOnDropHandle<()>),
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        if let Self::System(handle) = self {
            handle.close();
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}
