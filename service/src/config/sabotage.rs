//! Feature `sabotage`: what this build does wrong on purpose, so that a harness can show that it sees it.

use clap::Args;
use winddown::sabotage::{Fault, choose};

#[derive(Clone, Debug, Args)]
pub(super) struct SabotageSettings {
    /// The fault that this process has, by its name [default: none]
    #[arg(long, env)]
    sabotage: Option<Fault>,
}

impl SabotageSettings {
    /// Says that this is no build for use, and takes the fault on.
    pub(super) fn begin(&self) {
        let fault = self.sabotage.map_or("none", Fault::as_str);
        tracing::error!(
            fault,
            "this build can be told to lose requests (feature sabotage): it is for `chaos controls` alone"
        );
        if let Some(fault) = self.sabotage {
            choose(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{VERSION, tests::refusal};

    #[test]
    fn a_fault_that_is_none_is_refused_with_field_value_and_those_that_there_are() {
        let text = refusal(&["--sabotage", "exit"]);
        for part in ["SABOTAGE", "\"exit\" is no fault", "exit-on-signal, plain-close, no-farewell, "] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[test]
    fn the_version_says_what_build_it_is() {
        assert_eq!(VERSION, concat!(env!("CARGO_PKG_VERSION"), "+sabotage"));
    }
}
