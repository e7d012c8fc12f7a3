//! Phases as a number that is shown as a word: their place in the life of a process.

use winddown::Phase;

use crate::{
    names,
    panel::{Panel, Unit},
    query::{Query, max, with},
};

/// The place of the phase that each instance is in; of several in a group, of the one that is furthest.
pub(crate) fn place(by: &str) -> String {
    let one = |(place, phase): (usize, &Phase)| {
        let is_in = with(names::LIFECYCLE_PHASE, &format!("phase=\"{phase}\""));
        format!("{is_in} * {place}")
    };
    let each: Vec<_> = Phase::ALL.iter().enumerate().map(one).collect();
    max(by, &each.join(" or "))
}

/// Shows places as phases.
pub(crate) fn named(panel: Panel) -> Panel {
    let word = |(place, phase): (usize, &Phase)| (place.to_string(), phase.as_str(), color(*phase));
    panel.words(Phase::ALL.iter().enumerate().map(word)).neutral()
}

pub(crate) fn timeline(title: &'static str, description: &'static str) -> Panel {
    named(Panel::timeline(title, Unit::Count, description)).query(Query::range("{{instance}}", place("job, instance")))
}

/// Those that a stop goes through and that have a budget, in order.
pub(crate) fn of_a_stop() -> impl Iterator<Item = Phase> {
    Phase::ALL.into_iter().filter(Phase::is_of_the_stop)
}

fn color(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "blue",
        Phase::Running => "green",
        Phase::LameDuck => "yellow",
        Phase::Drain => "orange",
        Phase::Background => "dark-orange",
        Phase::Release => "purple",
        Phase::Flush => "dark-purple",
        Phase::Stopped => "#6e6e6e",
    }
}
