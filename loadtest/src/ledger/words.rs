//! The words of the ledger that come from a fixed set.

use std::fmt;

/// A set of words that stand for the variants of an enum.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word that stands for it in the ledger.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The variant that `word` stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What a client alone can say of a request's end.
    Class {
        /// A complete, correct response.
        Ok = "ok",
        /// A complete 503 with `Retry-After` and, on HTTP/1, `Connection: close`.
        Rejected = "rejected",
        /// A complete 503 that lacks one of them.
        BadRejection = "bad_rejection",
        /// A complete 408 with `Connection: close` on a connection that had carried a request: not processed.
        Farewell = "farewell",
        /// The connect was refused, or the request was handed back unsent.
        Refused = "refused",
        /// HTTP/2 says that the stream was not processed: GOAWAY below it, or REFUSED_STREAM.
        H2Nack = "h2_nack",
        /// The connection ended before a complete response head.
        NoResponse = "no_response",
        /// The head arrived; the body is short, corrupt, or ended cleanly too early.
        Truncated = "truncated",
        /// No complete response within the request's time.
        Timeout = "timeout",
        /// Anything else: another status, a connect that failed but was not refused.
        Error = "error",
    }
}

words! {
    /// What is spoken on a connection.
    Protocol {
        /// HTTP/1.1.
        H1 = "h1",
        /// HTTP/2 over cleartext, with prior knowledge.
        H2 = "h2",
    }
}

words! {
    /// What a request asks for.
    Kind {
        /// `GET /hello`.
        Fast = "fast",
        /// `GET /work/{ms}`.
        Slow = "slow",
        /// `GET /stream?chunks=&every_ms=`.
        Stream = "stream",
        /// `POST /echo`.
        Upload = "upload",
        /// `POST /orders`, under a key that is the request's id.
        Order = "order",
        /// `GET` of any path of any server; only the framing tells whether the response is complete.
        Get = "get",
        /// `GET /events`: server-sent events, until the server ends them in an orderly way.
        Events = "events",
        /// `GET /fault/panic`: a handler that panics, and is answered with 500 all the same.
        Panic = "panic",
        /// `GET /fault/panic-body`: a body that panics, and must be seen to break off.
        PanicBody = "panic_body",
        /// `GET /fault/block/{ms}`: a handler that keeps its thread to itself.
        Block = "block",
        /// `GET /fault/never`: a handler that never ends.
        Never = "never",
    }
}
