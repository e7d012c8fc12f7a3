//! The picture of one stop, as SVG: marks and phases, what ended when, and a lane for each connection.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::timeline::{BUCKETS, Bar, Timeline};
use crate::classify::Class;

/// More connections at once than this are only counted.
const MOST_LANES: usize = 200;

/// The unit is a CSS pixel; a narrow window scrolls.
const WIDTH: f64 = 1160.0;
const LEFT: f64 = 10.0;
const RIGHT: f64 = 10.0;

/// The names of phases and marks stand in rows of this height.
const ROW: f64 = 17.0;
const HISTOGRAM: f64 = 70.0;
const GAP: f64 = 10.0;
const AXIS: f64 = 26.0;

/// All lanes together are about this high, each within bounds.
const LANES: f64 = 360.0;
const LANE: (f64, f64) = (2.5, 7.0);

/// About the width of a letter, so that names do not lie on each other.
const LETTER: f64 = 6.6;

/// `text`, for an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() && control != '\n' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// The picture of `timeline`, with `label` for who cannot see it.
pub(super) fn draw(timeline: &Timeline, label: &str) -> String {
    let lanes = timeline.lanes(MOST_LANES);
    let mut picture = Picture { timeline, text: String::new(), y: 0.0 };
    picture.marks();
    picture.phases();
    let top = picture.y;
    picture.histogram(if lanes.is_some() { HISTOGRAM } else { HISTOGRAM + LANES });
    if let Some(lanes) = &lanes {
        picture.lanes(lanes);
    }
    picture.axis(top);
    let (height, body, label) = (picture.y, picture.text, escape(label));
    format!(r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="group" aria-label="{label}">{body}</svg>"#)
}

struct Picture<'a> {
    timeline: &'a Timeline,
    text: String,
    /// Where the next part begins.
    y: f64,
}

impl Picture<'_> {
    fn x(&self, ms: f64) -> f64 {
        let Timeline { from, to, .. } = self.timeline;
        LEFT + (ms.clamp(*from, *to) - from) / (to - from) * (WIDTH - LEFT - RIGHT)
    }

    fn put(&mut self, element: fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(element);
    }

    /// Their names, in as many rows as they need; the lines below are drawn with the axis.
    fn marks(&mut self) {
        let mut rows = Vec::<f64>::new();
        for mark in &self.timeline.marks {
            let text = format!("{} {}", mark.text, milliseconds(mark.ms));
            let width = text.chars().count() as f64 * LETTER;
            let (x, is_late) = (self.x(mark.ms), self.x(mark.ms) + width > WIDTH - RIGHT);
            let x = if is_late { x - 5.0 } else { x + 5.0 };
            let from = if is_late { x - width } else { x };
            let row = rows.iter().position(|end| *end < from).unwrap_or(rows.len());
            let end = from + width + LETTER;
            match rows.get_mut(row) {
                Some(last) => *last = end,
                None => rows.push(end),
            }
            let (y, anchor) = ((row as f64 + 0.75) * ROW, if is_late { "end" } else { "start" });
            self.put(format_args!(
                r#"<text class="name" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
                escape(&text)
            ));
        }
        self.y += rows.len() as f64 * ROW + 4.0;
    }

    fn phases(&mut self) {
        if self.timeline.phases.is_empty() {
            return;
        }
        let ends = self.timeline.phases.iter().skip(1).map(|(ms, _)| *ms).chain([self.timeline.to]);
        for ((from, name), to) in self.timeline.phases.iter().zip(ends) {
            let (x, width) = (self.x(*from), self.x(to) - self.x(*from));
            if to < self.timeline.from || name == "stopped" {
                continue;
            }
            let (y, title) = (self.y, escape(&format!("{name}: {} to {}", milliseconds(*from), milliseconds(to))));
            let name = escape(name);
            self.put(format_args!(
                r#"<g class="phase {name}"><title>{title}</title><rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{ROW}"/>"#,
                width.max(1.0)
            ));
            if name.chars().count() as f64 * LETTER + 8.0 < width {
                self.put(format_args!(r#"<text x="{:.1}" y="{:.1}">{name}</text>"#, x + 4.0, y + 12.5));
            }
            self.text.push_str("</g>");
        }
        self.y += ROW + GAP;
    }

    /// What ended when, by class; the failing lie on top.
    fn histogram(&mut self, height: f64) {
        self.y += ROW;
        let total = |bucket: usize| self.timeline.ended.values().map(|counts| counts[bucket]).sum::<u32>();
        let most = (0..BUCKETS).map(total).max().unwrap_or_default().max(1);
        let step = (WIDTH - LEFT - RIGHT) / BUCKETS as f64;
        let scale = |count: u32| f64::from(count) / f64::from(most) * height;
        let mut below = vec![0_u32; BUCKETS];
        for (class, counts) in &self.timeline.ended {
            let mut path = String::new();
            for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let (x, y) = (LEFT + bucket as f64 * step, self.y + height - scale(below[bucket]));
                // One lost request must be seen beside a thousand that were not.
                let high = scale(*count).max(if class.is_dropped() { 3.0 } else { 0.0 });
                let _ = write!(path, "M{x:.1} {y:.1}h{0:.1}v-{high:.1}h-{0:.1}z", step - 0.4);
                below[bucket] += count;
            }
            let sum: u32 = counts.iter().sum();
            self.path(*class, "ended", &path, &format!("{sum} {} ended here", class.label()));
        }
        let (y, ms) = (self.y - 6.0, (self.timeline.to - self.timeline.from) / BUCKETS as f64);
        self.put(format_args!(
            r#"<text class="note" x="{LEFT}" y="{y:.1}">ended, per {ms:.1} ms: at most {most}</text>"#
        ));
        self.y += height + GAP;
    }

    /// A line in time for each request; those of a connection lie behind each other.
    fn lanes(&mut self, lanes: &BTreeMap<u64, usize>) {
        let count = lanes.values().max().map_or(0, |last| last + 1);
        let pitch = (LANES / count.max(1) as f64).clamp(LANE.0, LANE.1);
        let middle = |bar: &Bar, y: f64| y + (lanes[&bar.connection] as f64 + 0.5) * pitch;
        let mut kinds = BTreeMap::<(bool, Class), Vec<&Bar>>::new();
        for bar in &self.timeline.bars {
            kinds.entry((bar.is_in_flight, bar.class)).or_default().push(bar);
        }
        let width = pitch * 0.7;
        self.put(format_args!(r#"<g stroke-width="{width:.1}">"#));
        for ((is_in_flight, class), bars) in &mut kinds {
            bars.sort_by(|a, b| {
                (lanes[&a.connection], a.from).partial_cmp(&(lanes[&b.connection], b.from)).expect("no time is NaN")
            });
            let mut path = String::new();
            for (y, from, to) in
                joined_lines(bars.iter().map(|bar| (middle(bar, self.y), self.x(bar.from), self.x(bar.to))))
            {
                let _ = write!(path, "M{from:.1} {y:.1}h{:.1}", to - from);
            }
            let (label, n) = (class.label(), bars.len());
            let title =
                if *is_in_flight { format!("{n} {label}, in flight at the signal") } else { format!("{n} {label}") };
            self.path(*class, if *is_in_flight { "line flight" } else { "line" }, &path, &title);
        }
        for told in &self.timeline.told {
            let (y, from, to) = (middle(&told.bar, self.y), self.x(told.bar.from), self.x(told.bar.to));
            let (class, story) = (css(told.bar.class), escape(&told.story));
            self.put(format_args!(
                r#"<g class="told {class}" tabindex="0" role="img" aria-label="{story}"><title>{story}</title><path class="line flight {class}" d="M{from:.1} {y:.1}h{:.1}"/><circle class="ended {class}" cx="{to:.1}" cy="{y:.1}" r="{:.1}"/></g>"#,
                (to - from).max(1.0), width.max(4.0)
            ));
        }
        self.text.push_str("</g>");
        self.y += count as f64 * pitch + GAP;
    }

    /// Milliseconds below, and the marks through everything that stands above from `top` on.
    fn axis(&mut self, top: f64) {
        let Timeline { from, to, .. } = *self.timeline;
        let (step, bottom) = (tick(to - from), self.y);
        let mut ms = (from / step).ceil() * step;
        while ms <= to {
            let (x, y) = (self.x(ms), bottom + 16.0);
            self.put(format_args!(
                r#"<path class="tick" d="M{x:.1} {top:.1}V{bottom:.1}"/><text class="axis" x="{x:.1}" y="{y:.1}" text-anchor="middle">{ms:.0}</text>"#
            ));
            ms += step;
        }
        let (end, y) = (WIDTH - RIGHT, bottom + 16.0);
        self.put(format_args!(r#"<text class="axis" x="{end}" y="{y:.1}" text-anchor="end">ms</text>"#));
        for mark in &self.timeline.marks {
            let (x, class) = (self.x(mark.ms), if mark.ms == 0.0 { "mark signal" } else { "mark" });
            let title = escape(&format!("{} {}", mark.text, milliseconds(mark.ms)));
            self.put(format_args!(r#"<path class="{class}" d="M{x:.1} 0V{bottom:.1}"><title>{title}</title></path>"#));
        }
        self.y += AXIS;
    }

    fn path(&mut self, class: Class, look: &str, path: &str, title: &str) {
        let (class, title) = (css(class), escape(title));
        self.put(format_args!(r#"<path class="{look} {class}" d="{path}"><title>{title}</title></path>"#));
    }
}

/// The class of the style sheet for requests of `class`.
pub(super) fn css(class: Class) -> String {
    class.label().replace(' ', "-")
}

/// Lines of `(y, from, to)`, sorted, with those made one that no eye can tell apart: thousands of quick requests are a few lines.
fn joined_lines(lines: impl Iterator<Item = (f64, f64, f64)>) -> Vec<(f64, f64, f64)> {
    let mut joined = Vec::<(f64, f64, f64)>::new();
    for (y, from, to) in lines {
        let to = to.max(from + 0.8);
        match joined.last_mut() {
            Some((last_y, _, last)) if (*last_y - y).abs() < 0.1 && from - *last < 0.7 => *last = last.max(to),
            _ => joined.push((y, from, to)),
        }
    }
    joined
}

fn milliseconds(ms: f64) -> String {
    if ms == 0.0 { "0 ms".to_owned() } else { format!("{ms:+.1} ms") }
}

/// 1, 2 or 5 times a power of ten, so that about ten of them are in `span`.
fn tick(span: f64) -> f64 {
    let power = 10_f64.powf((span / 10.0).max(1.0).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| span / step <= 12.0).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::timeline::tests::joined;

    #[test]
    fn nothing_that_a_client_or_a_server_says_is_markup() {
        let hostile = r#"</title></svg><script>alert("1")</script>'&"#;
        let mut timeline = Timeline::new(100.0);
        timeline.phase(0.0, hostile);
        timeline.mark(5.0, hostile);
        timeline.add(&joined(hostile, Class::Lost, 1, -1.0, 50.0));
        timeline.finish();
        let picture = draw(&timeline, hostile);
        assert!(!picture.contains("<script") && !picture.contains(hostile), "{picture}");
        assert_eq!(
            picture.matches("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;").count() % 2,
            1,
            "{picture}"
        );
    }

    #[test]
    fn a_failing_request_can_be_reached_by_keyboard_and_tells_its_story() {
        let mut timeline = Timeline::new(100.0);
        timeline.add(&joined("r1", Class::Lost, 1, -1.0, 50.0));
        let picture = draw(&timeline, "stop 1");
        assert!(
            picture.contains(r#"<g class="told lost" tabindex="0" role="img" aria-label="lost   r1   slow"#),
            "{picture}"
        );
    }

    #[test]
    fn quick_requests_behind_each_other_are_one_line() {
        let lines = [(1.0, 0.0, 2.0), (1.0, 2.5, 3.0), (1.0, 5.0, 5.1), (2.0, 5.2, 6.0)];
        assert_eq!(joined_lines(lines.into_iter()), [(1.0, 0.0, 3.3), (1.0, 5.0, 5.8), (2.0, 5.2, 6.0)]);
    }

    #[test]
    fn ticks_are_round_and_about_ten() {
        for (span, step) in [(320.0, 50.0), (1_400.0, 200.0), (10.0, 1.0), (25_000.0, 5_000.0)] {
            assert!((tick(span) - step).abs() < 1e-9, "{span}: {}", tick(span));
        }
    }
}
