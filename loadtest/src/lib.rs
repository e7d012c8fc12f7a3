//! HTTP load whose every request is accounted for.
//!
//! goose schedules the users and writes the reports; each user carries its requests over its own raw connection,
//! because a pooling client repeats a request behind the caller's back and scores a response at its headers. What
//! was meant and what came of it goes into a [`ledger`], one line each, for a checker to join with the server's own.
//! Who only reads it leaves out the default feature `run`, and with it all that sends.

pub mod ledger;

#[cfg(feature = "run")]
mod arrivals;
#[cfg(all(test, feature = "run"))]
mod classes;
#[cfg(feature = "run")]
mod config;
#[cfg(feature = "run")]
mod connection;
#[cfg(feature = "run")]
mod request;
#[cfg(feature = "run")]
mod run;
#[cfg(feature = "run")]
mod terminal;
#[cfg(feature = "run")]
mod upload;
#[cfg(feature = "run")]
mod user;
#[cfg(feature = "run")]
mod verdict;

#[cfg(feature = "run")]
pub use arrivals::{LATE, Punctuality};
#[cfg(feature = "run")]
pub use config::{Arrivals, BadValue, Config, Host, Mix, Rate, RunId, SlowMs, StreamShape, TestPlan};
#[cfg(feature = "run")]
pub use run::{OVERTIME, RunError, Summary, run};
