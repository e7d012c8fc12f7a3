//! Which controls there are: who does what wrong, under which load, and what it must be seen as.

use super::{Control, Culprit, Sign, lies::Lie};
use crate::{classify::Class, server::Server};

/// A load, its settings of the service, and what must hold of it: a scenario without its name. The service's settings come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bed {
    /// Names its clean run.
    pub name: &'static str,
    /// TOML.
    pub text: &'static str,
}

/// Whatever may be in flight, but orders.
const MIXED: Bed = Bed {
    name: "mixed",
    text: "\
[load]
users = 60
mix = { fast = 40, slow = 30, stream = 30 }
h2 = 25
fresh = 50
[expect]
min_in_flight = 16
[service]
GRACE_PERIOD = \"6s\"
LAME_DUCK = \"300ms\"
",
};

/// Clients that have a next request for their connection when nobody has told them to leave it.
const KEPT: Bed = Bed {
    name: "kept",
    text: "\
[load]
users = 100
mix = { fast = 80, slow = 20 }
[expect]
min_in_flight = 16
[service]
GRACE_PERIOD = \"6s\"
LAME_DUCK = \"0s\"
",
};

/// Streams of HTTP/2.
const STREAMS: Bed = Bed {
    name: "streams",
    text: "\
[load]
users = 30
mix = { fast = 40, slow = 60 }
h2 = 100
[expect]
min_in_flight = 16
[service]
GRACE_PERIOD = \"6s\"
LAME_DUCK = \"300ms\"
",
};

/// Orders, and a successor that tells them.
pub(super) const ORDERS: Bed = Bed {
    name: "orders",
    text: "\
[load]
users = 40
mix = { fast = 20, slow = 20, order = 60 }
[expect]
min_in_flight = 16
[service]
GRACE_PERIOD = \"6s\"
LAME_DUCK = \"300ms\"
SETTLE_LEASE = \"1s\"
",
};

/// Requests that do not end before the deadline, and are cut there.
const STUCK: Bed = Bed {
    name: "stuck",
    text: "\
[load]
users = 40
mix = { fast = 40, slow = 60 }
slow_ms = \"60000..60000\"
[expect]
min_in_flight = 16
exit_code = 10
[service]
GRACE_PERIOD = \"3s\"
LAME_DUCK = \"0s\"
",
};

/// The same, and a second signal that ends them long before it.
const FORCED: Bed = Bed {
    name: "forced",
    text: "\
[[faults]]
when = \"signal+1200ms\"
signal = \"TERM\"
[load]
users = 40
mix = { fast = 40, slow = 60 }
slow_ms = \"60000..60000\"
[expect]
min_in_flight = 16
exit_code = 143
[service]
GRACE_PERIOD = \"6s\"
LAME_DUCK = \"0s\"
",
};

/// All of them, those of the service by the name of the fault.
pub const CONTROLS: &[Control] = &[
    fault("exit-on-signal", "the process ends at the signal", Sign::Class(Class::Lost), MIXED),
    fault("plain-close", "the listener is closed with its queue", Sign::Class(Class::Unseen), MIXED),
    fault("no-farewell", "idle connections are closed without a word", Sign::Class(Class::Unseen), KEPT),
    fault("handler-only", "a body under way does not hold the drain", Sign::Class(Class::Truncated), MIXED),
    fault("answer-unsent", "an answer that is ready is not sent", Sign::Class(Class::Ghost), MIXED),
    fault("body-broken", "a streamed body breaks off in the drain", Sign::Class(Class::Truncated), MIXED),
    fault("body-ends-early", "it ends cleanly, and too early", Sign::Class(Class::Truncated), MIXED),
    fault("goaway-too-low", "GOAWAY disowns streams that are served", Sign::Class(Class::Lie), STREAMS),
    fault("rejected-afterwards", "a 503 after the handler has run", Sign::Class(Class::Lie), MIXED),
    fault("failed-afterwards", "a 500 after the handler has run", Sign::Class(Class::Error), MIXED),
    fault("rejected-bare", "a 503 without Retry-After", Sign::Class(Class::BadRejection), KEPT),
    fault("drain-is-open", "requests are admitted behind the drain", Sign::Class(Class::Late), MIXED),
    fault("released-first", "the database closes before its users", Sign::Class(Class::BadRejection), ORDERS),
    fault("order-forgotten", "an acknowledged order is not kept", Sign::Reason("acknowledged and lost"), ORDERS),
    fault("stays-ready", "readiness outlives the signal", Sign::Reason("readiness never failed"), MIXED),
    fault("no-deadline", "the deadline cuts nothing", Sign::Reason("did not end in time"), STUCK),
    fault(
        "second-signal-ignored",
        "a second signal forces nothing",
        Sign::Reason("exit code 10, expected 143"),
        FORCED,
    ),
    fault("wrong-exit-code", "a clean stop ends as a failed one", Sign::Reason("exit code 1, expected 0"), MIXED),
    fault("enter-omitted", "the server's ledger omits requests", Sign::Class(Class::Unlogged), MIXED),
    fault("enter-twice", "the server's ledger repeats requests", Sign::Class(Class::Dup), MIXED),
    Control {
        name: "axum-serve",
        what: "stock axum::serve, which stops gracefully",
        culprit: Culprit::Stock(Server::Naive),
        sign: Sign::Class(Class::Unseen),
        bed: MIXED,
    },
    Control {
        name: "axum-server",
        what: "stock axum-server, which does, too",
        culprit: Culprit::Stock(Server::AxumServer),
        sign: Sign::Class(Class::Unseen),
        bed: MIXED,
    },
    Control {
        name: "retrying-proxy",
        what: "a proxy sends every request twice",
        culprit: Culprit::Client(Lie::Repeats),
        sign: Sign::Class(Class::Dup),
        bed: KEPT,
    },
    Control {
        name: "forgetful-ledger",
        what: "the client's ledger loses outcomes",
        culprit: Culprit::Client(Lie::Forgets),
        sign: Sign::Class(Class::Unresolved),
        bed: KEPT,
    },
];

const fn fault(name: &'static str, what: &'static str, sign: Sign, bed: Bed) -> Control {
    Control { name, what, culprit: Culprit::Service, sign, bed }
}
