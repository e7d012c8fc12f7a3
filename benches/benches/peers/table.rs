//! What was measured, as the table of docs/performance.md and as a plot.

use std::fmt;

use benches::{
    median::{Median, median},
    peers::Peer,
    plot::{Dot, Plot, Row},
};

use crate::measures::{Goal, Line, Measure, Unit};

const HEAD: [&str; 7] = ["", "winddown", "axum::serve", "axum-server", "winddown / axum", "axum-server / axum", "goal"];

#[derive(Debug)]
pub(crate) struct Table(Vec<Measured>);

/// A line, with one value a round of each server.
#[derive(Debug)]
struct Measured {
    line: Line,
    values: [Vec<f64>; Peer::ALL.len()],
}

impl Table {
    /// Without values yet.
    pub(crate) fn of(measures: &[&Measure]) -> Self {
        let lines = measures.iter().flat_map(|measure| measure.lines);
        Self(lines.map(|line| Measured { line: *line, values: Default::default() }).collect())
    }

    /// One value for the line of this index, and for each after it.
    pub(crate) fn add(&mut self, line: usize, peer: Peer, values: &[f64]) {
        for (measured, value) in self.0[line..].iter_mut().zip(values) {
            measured.values[peer as usize].push(*value);
        }
    }

    /// Ratios, of those lines whose goal is one, or which have none.
    pub(crate) fn plot(&self) -> String {
        let relative = self.0.iter().filter(|measured| !matches!(measured.line.goal, Goal::Within(_)));
        let rows = relative.map(|measured| Row {
            name: measured.line.name,
            more_is_better: measured.line.unit == Unit::PerSecond,
            goal: match measured.line.goal {
                Goal::AtLeast(ratio) | Goal::AtMost(ratio) => Some(ratio),
                Goal::Within(_) | Goal::None => None,
            },
            dots: [Peer::Winddown, Peer::AxumServer].map(|peer| Dot { of: peer.name(), ratio: measured.ratio(peer) }),
        });
        Plot { one: Peer::Axum.name(), rows: rows.collect() }.to_string()
    }
}

impl Measured {
    /// Of one server to `axum::serve`, round by round.
    fn ratio(&self, peer: Peer) -> Median {
        let pairs = self.values[peer as usize].iter().zip(&self.values[Peer::Axum as usize]);
        Median::of(&pairs.map(|(value, axum)| value / axum).collect::<Vec<_>>())
    }

    fn cells(&self) -> [String; HEAD.len()] {
        let [winddown, axum, axum_server] =
            Peer::ALL.map(|peer| shown(median(&self.values[peer as usize]), self.line.unit));
        let [ratio, other_ratio] = [Peer::Winddown, Peer::AxumServer].map(|peer| {
            let Median { value, interval: (least, most) } = self.ratio(peer);
            format!("{value:.2} ({least:.2}–{most:.2})")
        });
        [self.line.name.to_owned(), winddown, axum, axum_server, ratio, other_ratio, self.goal()]
    }

    /// What should be, and whether it is.
    fn goal(&self) -> String {
        let ratio = self.ratio(Peer::Winddown).value;
        let time = median(&self.values[Peer::Winddown as usize]);
        let (goal, met) = match self.line.goal {
            Goal::AtLeast(least) => (format!("≥ {least:.2}"), ratio >= least),
            Goal::AtMost(most) => (format!("≤ {most:.2}"), ratio <= most),
            Goal::Within(most) => (format!("≤ {}", shown(most, self.line.unit)), time <= most),
            Goal::None => return "–".to_owned(),
        };
        format!("{goal} {}", if met { "met" } else { "**missed**" })
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => thousands(value),
        Unit::Microseconds if value < 100.0 => format!("{value:.1} µs"),
        Unit::Microseconds => format!("{} µs", thousands(value)),
        Unit::Milliseconds => format!("{value:.1} ms"),
        Unit::Bytes => format!("{} B", thousands(value)),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.0.iter().map(Measured::cells).collect();
        let mut widths = HEAD.map(|cell| cell.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut line = |cells: [&str; HEAD.len()]| {
            for (cell, width) in cells.into_iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        line(HEAD)?;
        line(["---"; HEAD.len()])?;
        rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
    }
}
