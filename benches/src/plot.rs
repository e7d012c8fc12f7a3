//! Ratios as a picture: for each row dots with their intervals, around 1. SVG, readable on light and dark.

use std::fmt;

use crate::median::Median;

/// Several rows on one axis.
#[derive(Debug)]
pub struct Plot {
    /// What a ratio of 1 is.
    pub one: &'static str,
    pub rows: Vec<Row>,
}

#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub more_is_better: bool,
    /// The ratio that the first dot should reach.
    pub goal: Option<f64>,
    pub dots: [Dot; 2],
}

#[derive(Debug)]
pub struct Dot {
    pub of: &'static str,
    pub ratio: Median,
}

const WIDTH: f64 = 860.0;
/// Where the axis begins and ends.
const LEFT: f64 = 290.0;
const RIGHT: f64 = 830.0;
const TOP: f64 = 64.0;
const ROW: f64 = 44.0;

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,\"Segoe UI\",Helvetica,Arial,\"DejaVu Sans\",sans-serif;fill:#1a202c}\
.back{fill:#fff}.note{font-size:11.5px;fill:#4a5568}.end{text-anchor:end}.mid{text-anchor:middle}\
.grid{stroke:#e2e8f0}.one{stroke:#4a5568;stroke-width:1.5}.goal{stroke:#c05621;stroke-width:2}\
.s0{stroke:#2b6cb0;fill:#2b6cb0;stroke-width:2.5}.s1{stroke:#718096;fill:#718096;stroke-width:2.5}\
@media(prefers-color-scheme:dark){text{fill:#e2e8f0}.back{fill:#0d1117}.note{fill:#a0aec0}.grid{stroke:#2d3748}\
.one{stroke:#a0aec0}.goal{stroke:#f6ad55}.s0{stroke:#63b3ed;fill:#63b3ed}.s1{stroke:#a0aec0;fill:#a0aec0}}\
text.s0,text.s1{stroke:none}";

/// Where the axis ends at the latest. Ratios beyond are drawn at its end.
const MOST: f64 = 2.5;

/// The axis: from where to where, and the step between its marks.
#[derive(Clone, Copy, Debug)]
struct Axis {
    least: f64,
    most: f64,
    step: f64,
}

impl Axis {
    /// One that has room for all.
    fn of(rows: &[Row]) -> Self {
        let dots = rows.iter().flat_map(|row| &row.dots);
        let shown = dots.flat_map(|dot| [dot.ratio.interval.0, dot.ratio.interval.1]);
        let shown = shown.chain(rows.iter().filter_map(|row| row.goal));
        let (least, most) = shown.fold((1.0, 1.0), |(least, most): (f64, f64), at| (least.min(at), most.max(at)));
        let most = most.min(MOST);
        // At most ten marks.
        let steps = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
        let step = steps.into_iter().find(|step| (most - least) / step <= 9.0).unwrap_or(10.0);
        Self { least: (least / step).floor() * step, most: (most / step).ceil() * step, step }
    }

    fn x(&self, ratio: f64) -> f64 {
        LEFT + (ratio.min(self.most) - self.least) / (self.most - self.least) * (RIGHT - LEFT)
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        let (least, step) = (self.least, self.step);
        (0..=((self.most - least) / step).round() as usize).map(move |mark| least + mark as f64 * step)
    }
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axis = Axis::of(&self.rows);
        let bottom = TOP + ROW * self.rows.len() as f64;
        let height = bottom + 46.0;
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\" aria-label=\"Ratios to {}, with their 95 % intervals\">",
            self.one
        )?;
        writeln!(f, "<style>{STYLE}</style>\n<rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>")?;
        self.legend(f)?;
        for mark in axis.marks() {
            let x = axis.x(mark);
            writeln!(f, "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>")?;
            writeln!(f, "<text class=\"note mid\" x=\"{x:.1}\" y=\"{}\">{mark:.2}</text>", bottom + 18.0)?;
        }
        let (x, y) = (axis.x(1.0), bottom + 36.0);
        writeln!(f, "<line class=\"one\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>")?;
        writeln!(f, "<text class=\"note mid\" x=\"{x:.1}\" y=\"{y}\">{} = 1</text>", self.one)?;
        for (index, row) in self.rows.iter().enumerate() {
            row.draw(f, axis, TOP + ROW * index as f64)?;
        }
        writeln!(f, "</svg>")
    }
}

impl Plot {
    fn legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(row) = self.rows.first() else { return Ok(()) };
        let mut x = LEFT;
        for (series, dot) in row.dots.iter().enumerate() {
            writeln!(f, "<circle class=\"s{series}\" cx=\"{}\" cy=\"26\" r=\"4\"/>", x + 5.0)?;
            writeln!(f, "<text x=\"{}\" y=\"30\">{}</text>", x + 16.0, dot.of)?;
            x += 120.0;
        }
        writeln!(f, "<line class=\"goal\" x1=\"{}\" y1=\"19\" x2=\"{}\" y2=\"33\"/>", x + 5.0, x + 5.0)?;
        writeln!(f, "<text x=\"{}\" y=\"30\">goal of {}</text>", x + 16.0, row.dots[0].of)
    }
}

impl Row {
    fn draw(&self, f: &mut fmt::Formatter<'_>, axis: Axis, top: f64) -> fmt::Result {
        let better = if self.more_is_better { "more is better →" } else { "← less is better" };
        let x = LEFT - 20.0;
        writeln!(f, "<text class=\"end\" x=\"{x}\" y=\"{}\">{}</text>", top + 20.0, self.name)?;
        writeln!(f, "<text class=\"note end\" x=\"{x}\" y=\"{}\">{better}</text>", top + 35.0)?;
        if let Some(goal) = self.goal {
            let (x, from, to) = (axis.x(goal), top + 8.0, top + ROW - 8.0);
            writeln!(f, "<line class=\"goal\" x1=\"{x:.1}\" y1=\"{from}\" x2=\"{x:.1}\" y2=\"{to}\"/>")?;
        }
        for (series, dot) in self.dots.iter().enumerate() {
            let Median { value, interval: (least, most) } = dot.ratio;
            let y = top + 16.0 + 13.0 * series as f64;
            let (x, from, to) = (axis.x(value), axis.x(least), axis.x(most));
            writeln!(f, "<line class=\"s{series}\" x1=\"{from:.1}\" y1=\"{y}\" x2=\"{to:.1}\" y2=\"{y}\"/>")?;
            writeln!(f, "<circle class=\"s{series}\" cx=\"{x:.1}\" cy=\"{y}\" r=\"4\"/>")?;
        }
        Ok(())
    }
}
