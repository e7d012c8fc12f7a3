//! The real process, real sockets, real signals: the cases of a clean stop that need all three.
//!
//! A test is named after its number in the list of drain cases, so that one can go from the case to its proof.
//! What must be so before a signal is sent is waited for (readiness, an entry in the audit log, a phase), never
//! slept for; a bound on the time after it is there to catch a hang or a full wait for a deadline, and is generous.

mod admin_page;
mod balancer;
mod beside;
mod browser;
mod certificates;
mod collector;
mod container;
mod databases;
mod exits;
mod final_metrics;
mod flush;
mod frames;
mod handlers;
mod handoff;
mod harness;
mod history;
mod http1;
mod http2;
mod image;
mod last_words;
mod limits;
mod live;
mod load;
mod logs;
mod metrics;
mod names;
mod observe;
mod orders;
mod parts;
mod process;
mod prometheus;
#[path = "../../../dashboards/src/promql.rs"]
mod promql;
mod queries;
mod restarts;
mod scrapes;
mod signals;
mod spans;
mod storms;
mod stream;
mod systemd;
mod tls;
mod traces;
mod unix;
mod uploads;
mod waits;
mod wire;
