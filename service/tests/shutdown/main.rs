//! The real process, real sockets, real signals: the cases of a clean stop that need all three.
//!
//! A test is named after its number in the list of drain cases, so that one can go from the case to its proof.
//! What must be so before a signal is sent is waited for (readiness, an entry in the audit log, a phase), never
//! slept for; a bound on the time after it is there to catch a hang or a full wait for a deadline, and is generous.

mod admin_page;
mod balancer;
mod beside;
mod browser;
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "it is there for TLS, too"))]
mod certificates;
mod collector;
mod container;
#[cfg(feature = "orders")]
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
#[cfg(feature = "orders")]
mod orders;
mod parts;
mod process;
#[cfg_attr(not(feature = "orders"), expect(dead_code, reason = "it is there for every query, too"))]
mod prometheus;
#[path = "../../../dashboards/src/promql.rs"]
mod promql;
#[cfg(feature = "orders")]
mod queries;
mod restarts;
mod scrapes;
mod signals;
mod spans;
mod storms;
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "it is there for TLS, too"))]
mod stream;
mod systemd;
#[cfg(feature = "tls")]
mod tls;
mod traces;
mod unix;
mod uploads;
mod waits;
mod wire;
