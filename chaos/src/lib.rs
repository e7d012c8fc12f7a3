//! Stops a server in the middle of a load and says what became of every request.
//!
//! A run is a [`scenario`], carried out stop by stop ([`stop`]): a server in a process of its own ([`server`]), a load
//! in another ([`load`]), a signal, and two ledgers that are joined afterwards ([`join`]). What a request came to is
//! decided by one table of rules ([`classify`]); what the run came to by another ([`verdict`]). Where orders were placed,
//! a successor on the same database tells them, and they are compared with what the clients know ([`orders`]).
//!
//! A server that keeps no ledger, in whatever language, is only seen from its clients ([`probe`]); several of them are
//! compared that way ([`peers`]).
//! Ledgers that were left elsewhere, by any number of loads and servers, are judged by [`joined`].
//! What a rolling restart costs whose clients only know a load balancer is told by a run of its own ([`roll`]).
//!
//! # Invariants
//!
//! 1. Every process that was started is dead when its handle is dropped, however the run ends.
//! 2. Every wait has a bound, and an interrupt ends all of them ([`wait`]).
//! 3. No failing request is tried again: a loss that shows once is in the verdict.
//! 4. A run that cannot tell says so: `INCONCLUSIVE` is a verdict, and a control that loses nothing is a failure.

pub mod binaries;
pub mod canary;
pub mod classify;
pub mod controls;
pub mod faults;
pub mod health;
pub mod join;
pub mod joined;
mod k6;
pub mod load;
pub mod orders;
pub mod peers;
pub mod probe;
pub mod process;
pub mod progress;
pub mod report;
pub mod roll;
pub mod runner;
pub mod scenario;
pub mod server;
pub mod soak;
pub mod stop;
pub mod story;
pub mod surroundings;
pub mod table;
pub mod verdict;
pub mod wait;
