//! What a picture of a stop is made from: kept small while the joined ledger passes by, whatever its size.

use std::collections::BTreeMap;

use crate::{classify::Class, join::Joined};

/// The histogram has so many bars.
pub(super) const BUCKETS: usize = 240;

/// Of requests before the signal so much is shown, or a quarter of the stop when that is more.
const BEFORE_MS: f64 = 250.0;

/// After the exit the picture goes on for so long, or for a sixth of the stop, so that the refused are seen.
const AFTER_MS: f64 = 60.0;

/// With more requests in the picture than this they are only counted.
const DRAWN: usize = 100_000;

/// So many failing requests of a stop are told in the picture; `ledger.jsonl` has them all.
const TOLD: usize = 100;

/// One stop around its signal.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Where the picture begins, in milliseconds after the signal.
    pub(super) from: f64,
    /// Where it ends.
    pub(super) to: f64,
    /// The phases of the server, by their beginnings.
    pub(super) phases: Vec<(f64, String)>,
    /// What else happened.
    pub(super) marks: Vec<Mark>,
    /// Requests of each class by when they ended, in [`BUCKETS`] equal parts of the picture.
    pub(super) ended: BTreeMap<Class, Vec<u32>>,
    /// Each request in the picture; empty when they are too many.
    pub(super) bars: Vec<Bar>,
    /// The first requests that fail, whose `bars` have no part in the rest.
    pub(super) told: Vec<Told>,
    is_crowded: bool,
    first_refused: Option<f64>,
}

/// A moment with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Milliseconds after the signal.
    pub ms: f64,
    /// What happened.
    pub text: String,
}

/// A request as a line in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) connection: u64,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) class: Class,
    pub(super) is_in_flight: bool,
}

/// A failing request with its story.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) bar: Bar,
    pub(super) story: String,
}

impl Timeline {
    /// An empty picture of a stop that took `exit_ms`.
    pub fn new(exit_ms: f64) -> Self {
        Self { from: -BEFORE_MS.max(exit_ms / 4.0), to: exit_ms + AFTER_MS.max(exit_ms / 6.0), ..Self::default() }
    }

    /// Names a moment.
    pub fn mark(&mut self, ms: f64, text: impl Into<String>) {
        self.marks.push(Mark { ms, text: text.into() });
    }

    /// A phase of the server began.
    pub fn phase(&mut self, ms: f64, name: &str) {
        self.phases.push((ms, name.to_owned()));
    }

    /// Takes what the picture needs of a request.
    pub fn add(&mut self, joined: &Joined<'_>) {
        let ended = joined.ended_ms.unwrap_or(f64::MAX);
        if ended < self.from || joined.sent_ms > self.to {
            return;
        }
        if joined.class == Class::Refused {
            let first = self.first_refused.unwrap_or(f64::MAX);
            self.first_refused = Some(first.min(ended));
        }
        if ended <= self.to {
            let bucket = ((ended - self.from) / (self.to - self.from) * BUCKETS as f64) as usize;
            self.ended.entry(joined.class).or_insert_with(|| vec![0; BUCKETS])[bucket.min(BUCKETS - 1)] += 1;
        }
        let bar = Bar {
            connection: joined.connection,
            from: joined.sent_ms.max(self.from),
            to: ended.min(self.to),
            class: joined.class,
            is_in_flight: joined.is_in_flight(),
        };
        match &joined.story {
            Some(story) if self.told.len() < TOLD => self.told.push(Told { bar, story: story.to_string() }),
            _ if self.is_crowded => {}
            _ => self.bars.push(bar),
        }
        if self.bars.len() > DRAWN {
            self.is_crowded = true;
            self.bars = Vec::new();
        }
    }

    /// To be called when all requests have been added.
    pub fn finish(&mut self) {
        if let Some(ms) = self.first_refused {
            self.mark(ms, "first connect refused");
        }
        self.marks.sort_by(|a, b| a.ms.total_cmp(&b.ms));
        self.phases.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.told.sort_by(|a, b| a.bar.from.total_cmp(&b.bar.from));
    }

    /// The connections' lanes, or nothing when they are more than `most`: one that begins after another has ended takes its lane.
    pub(super) fn lanes(&self, most: usize) -> Option<BTreeMap<u64, usize>> {
        if self.is_crowded {
            return None;
        }
        let mut spans = BTreeMap::<u64, (f64, f64)>::new();
        for bar in self.bars.iter().chain(self.told.iter().map(|told| &told.bar)) {
            let (from, to) = spans.entry(bar.connection).or_insert((bar.from, bar.to));
            (*from, *to) = (from.min(bar.from), to.max(bar.to));
        }
        let mut by_time: Vec<_> = spans.into_iter().collect();
        by_time.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0));
        let (mut lanes, mut ends) = (BTreeMap::new(), Vec::<f64>::new());
        for (connection, (from, to)) in by_time {
            let lane = ends.iter().position(|end| *end <= from).unwrap_or(ends.len());
            match ends.get_mut(lane) {
                Some(end) => *end = to,
                None => ends.push(to),
            }
            lanes.insert(connection, lane);
        }
        (ends.len() <= most).then_some(lanes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::classify::Weight;

    /// A request of class `class` on `connection` in that time.
    pub(in crate::report) fn joined(id: &str, class: Class, connection: u64, sent: f64, ended: f64) -> Joined<'_> {
        let story = (class.weight() != Weight::Allowed).then(|| crate::story::tests::story(id, class));
        Joined {
            id,
            class,
            kind: "slow",
            protocol: "h1",
            connection,
            sequence: 0,
            reused: true,
            sent_ms: sent,
            ended_ms: Some(ended),
            client: Some("ok"),
            status: Some(200),
            detail: None,
            server: Vec::new(),
            story,
        }
    }

    #[test]
    fn only_what_lies_around_the_signal_is_kept() {
        let mut timeline = Timeline::new(600.0);
        assert_eq!((timeline.from, timeline.to), (-250.0, 700.0));
        for (sent, ended) in [(-900.0, -800.0), (-300.0, 10.0), (1_200.0, 1_300.0)] {
            timeline.add(&joined("r", Class::Ok, 1, sent, ended));
        }
        let bar = Bar { connection: 1, from: -250.0, to: 10.0, class: Class::Ok, is_in_flight: true };
        assert_eq!(timeline.bars, [bar]);
        assert_eq!(timeline.ended[&Class::Ok].iter().sum::<u32>(), 1);
    }

    #[test]
    fn the_first_refused_connect_is_a_mark_and_marks_are_in_order() {
        let mut timeline = Timeline::new(100.0);
        timeline.mark(90.0, "exit");
        for at in [60.0, 50.0] {
            timeline.add(&joined("r", Class::Refused, 1, at, at));
        }
        timeline.finish();
        let marks: Vec<_> = timeline.marks.iter().map(|mark| (mark.ms, mark.text.as_str())).collect();
        assert_eq!(marks, [(50.0, "first connect refused"), (90.0, "exit")]);
    }

    #[test]
    fn a_connection_takes_the_lane_of_one_that_has_ended_and_too_many_are_not_drawn() {
        let mut timeline = Timeline::new(100.0);
        for (connection, sent, ended) in [(1, 0.0, 10.0), (2, 5.0, 20.0), (3, 10.0, 30.0), (2, 20.0, 25.0)] {
            timeline.add(&joined("r", Class::Ok, connection, sent, ended));
        }
        assert_eq!(timeline.lanes(2), Some(BTreeMap::from([(1, 0), (2, 1), (3, 0)])));
        assert_eq!(timeline.lanes(1), None);
    }

    #[test]
    fn a_crowd_is_counted_and_its_failures_are_still_told() {
        let mut timeline = Timeline::new(100.0);
        for _ in 0..=DRAWN {
            timeline.add(&joined("r", Class::Ok, 1, 0.0, 10.0));
        }
        timeline.add(&joined("lost", Class::Lost, 2, -1.0, 50.0));
        timeline.finish();
        assert_eq!((timeline.bars.len(), timeline.told.len(), timeline.lanes(200)), (0, 1, None));
        assert_eq!(timeline.ended[&Class::Ok].iter().sum::<u32>() as usize, DRAWN + 1);
    }
}
