//! The regression gate: what `benches/benches/instructions.rs` counts, held against what it counted when the baseline was made.
//!
//! Instructions and allocations are the hard part, because they repeat: times on a shared machine do not, and a gate that cries
//! wolf is switched off. What Valgrind counts depends on the compiler, the C library and itself; with others than the baseline's,
//! instructions are shown and not judged, and allocations are judged all the same.
//!
//! Beside them stand a few stops: everybody must have had a word, and the process must not outlive its last answer by much.
//!
//! Wall clock is compared beside it, in pairs of base and head, and only advises.

mod baseline;
mod measure;
mod pairs;
mod stops;
mod tree;
mod verdict;

pub use self::{
    baseline::{Baseline, Tools},
    measure::{Counts, measure},
    pairs::{Comparison, PAIRS},
    stops::Stops,
    tree::Tree,
    verdict::{Judgement, Verdict},
};
