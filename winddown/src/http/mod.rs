//! What every request passes: admission, the in-flight guard, the clock.
//!
//! ```text
//! hyper ─► RequestService ─► Door, Gate: admitted? ──no──► 503, Retry-After, Connection: close
//!                               │yes
//!                               ▼
//!                            InFlight ─► router (with the route's name noted) ─► handler
//!                               │                                                  │ response
//!                               └───────────────► TrackedBody ◄────────────────────┘
//!                                                  its end is the request's end
//! ```

pub(crate) mod admin;
pub(crate) mod admission;
pub(crate) mod body;
pub(crate) mod draining;
pub(crate) mod events;
pub(crate) mod hold;
pub(crate) mod in_flight;
pub(crate) mod peer;
mod rejection;
pub(crate) mod scrape;
pub(crate) mod service;
pub(crate) mod timing;
#[cfg(feature = "ws")]
pub(crate) mod websocket;
