//! What became of every request, by the ledgers of all sides.
//!
//! Most classes need no order in time. Those that do are told by the server's own clock where it says when it sent a
//! request away, cut it, or began it. Only where it says nothing does the client's word count, and between machines that
//! one is uncertain by the skew of their clocks: such a request is judged at both ends of it.

use std::{collections::BTreeMap, time::Duration};

use winddown::audit::Outcome;

use super::{Client, Intent, Join, Request, Step};
use crate::{
    classify::{Class, Connection, Counts, Facts, Moment, Weight, classify},
    story::Story,
};

/// So many failing requests of each class are told in full.
const STORIES: usize = 5;

/// What a time is when nothing happened.
const NEVER: u64 = u64::MAX;

/// When the servers were told to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct When {
    /// The signal, by the clock of the servers' machine; left out, each server's own ledger says it.
    pub signal: Option<u64>,
    /// How far the wall clocks of two machines may lie apart.
    pub clock_skew: Duration,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Requests that were sent before the signal and ended after it, whatever the clocks' skew.
    pub in_flight: u64,
    /// How many came to which class.
    pub counts: Counts,
    /// Of those that fail or cast doubt on the run the first of each class, then the second of each, and so on.
    pub stories: Vec<Story>,
    /// Requests that only a server knows.
    pub foreign: u64,
    /// Requests that ended so close to a signal that the clocks' skew decides whether they fail. They are counted in the
    /// class that does not.
    pub undated: u64,
}

/// When a server did what.
#[derive(Clone, Copy, Debug)]
struct Times {
    signal: u64,
    /// From here on it may send requests away.
    drain: u64,
    /// From here on it must not begin one.
    closed: u64,
}

/// A request, and what became of it.
pub(super) struct Judged<'a> {
    pub(super) request: Request<'a>,
    client: &'a Client,
    pub(super) class: Class,
    is_certain: bool,
    met: Met,
}

/// The servers that a request may have met, all in one.
#[derive(Clone, Copy, Debug)]
struct Met {
    signal: u64,
    drain: u64,
    in_flight: bool,
    /// How far its client's times may be off theirs.
    skew: u64,
}

impl Join {
    /// Says what became of every request, when the signal was sent at `signal`, on the machine that all of them ran on.
    pub fn judge(&self, signal: u64) -> Judgement {
        self.judge_when(When { signal: Some(signal), clock_skew: Duration::ZERO })
    }

    /// Says what became of every request.
    pub fn judge_when(&self, when: When) -> Judgement {
        let mut judgement = Judgement { foreign: self.foreign, ..Judgement::default() };
        let mut told = BTreeMap::<Class, Vec<_>>::new();
        for Judged { request, client, class, is_certain, met } in self.judged(when) {
            *judgement.counts.entry(class).or_default() += 1;
            judgement.in_flight += u64::from(met.in_flight);
            judgement.undated += u64::from(!is_certain);
            if class.weight() != Weight::Allowed {
                let told = told.entry(class).or_default();
                told.push((request, client, met.signal));
                if told.len() > 100 * STORIES {
                    keep_the_first(told);
                }
            }
        }
        told.values_mut().for_each(keep_the_first);
        for nth in 0..STORIES {
            let told = told.iter().filter_map(|(class, told)| Some((class, told.get(nth)?)));
            judgement.stories.extend(told.map(|(class, &(request, client, signal))| {
                let zero = if signal == NEVER { request.intent.at } else { signal };
                Story::new(request, *class, client.ledger.sees_connections(), zero)
            }));
        }
        judgement
    }

    /// Every request with what became of it, in the order of the intents.
    pub(super) fn judged(&self, when: When) -> impl Iterator<Item = Judged<'_>> {
        let servers: Vec<_> = self.servers.iter().map(|server| server.times(when.signal)).collect();
        self.requests().enumerate().map(move |(place, request)| {
            let client = self.client_of(place);
            let met = self.met(&request, client, &servers, when);
            let (class, is_certain) = self.class(&request, client, &servers, met);
            Judged { request, client, class, is_certain, met }
        })
    }

    /// What the servers are to the request: those that know it, or any when none does.
    fn met(&self, request: &Request<'_>, client: &Client, servers: &[Times], when: When) -> Met {
        let mut met = Met { signal: NEVER, drain: NEVER, in_flight: false, skew: 0 };
        let mut count_in = |place: usize| {
            let (clock, Times { signal, drain, .. }) = (self.servers[place].clock, servers[place]);
            let same = client.clock.is_none_or(|of_client| of_client.is_of(clock));
            let skew = if same { 0 } else { when.clock_skew.as_nanos() as u64 };
            let ended = request.outcome.map_or(NEVER, |outcome| outcome.at.saturating_sub(skew));
            met.in_flight |= signal != NEVER && request.intent.at.saturating_add(skew) < signal && ended >= signal;
            met.signal = met.signal.min(signal);
            met.drain = met.drain.min(drain);
            met.skew = met.skew.max(skew);
        };
        let mut known = request.numbered_steps().map(|(step, ..)| self.server_of(step)).peekable();
        if known.peek().is_some() {
            known.for_each(&mut count_in);
        } else {
            (0..servers.len()).for_each(&mut count_in);
        }
        met
    }

    /// Its class, and whether it is certain.
    fn class(&self, request: &Request<'_>, client: &Client, servers: &[Times], met: Met) -> (Class, bool) {
        let mut facts = self.facts(request, client, servers);
        let by_server = request.steps().filter(|(_, step)| is_an_end(*step)).map(|(at, _)| at).max();
        let (said, skew) = match (by_server, request.outcome) {
            (Some(at), _) => (at, 0),
            (None, Some(outcome)) => (outcome.at, met.skew),
            (None, None) => (NEVER, 0),
        };
        let mut class_at = |said: u64| {
            facts.said = match said {
                said if said < met.signal => Moment::Running,
                said if said < met.drain => Moment::LameDuck,
                _ => Moment::Drain,
            };
            classify(facts)
        };
        let (early, late) = (class_at(said.saturating_sub(skew)), class_at(said.saturating_add(skew)));
        match (early.weight(), late.weight()) {
            (Weight::Allowed, Weight::Failing) => (early, false),
            (Weight::Failing, Weight::Allowed) => (late, false),
            _ => (late, true),
        }
    }

    /// All but the moment.
    fn facts(&self, request: &Request<'_>, client: &Client, servers: &[Times]) -> Facts {
        let mut facts = Facts {
            client: request.outcome.map(|outcome| outcome.class),
            said: Moment::Running,
            connection: match request.intent {
                _ if !client.ledger.sees_connections() => Connection::Unknown,
                Intent { reused: true, .. } => Connection::Kept,
                Intent { connection, .. } if client.connected.contains(connection) => Connection::Fresh,
                Intent { .. } => Connection::Absent,
            },
            entered: 0,
            entered_late: false,
            handler_done: false,
            cut: false,
        };
        for (place, at, step) in request.numbered_steps() {
            match step {
                Step::Entered => {
                    facts.entered += 1;
                    facts.entered_late |= at > servers[self.server_of(place)].closed;
                }
                Step::HandlerDone(_) => facts.handler_done = true,
                Step::BodyEnd(outcome) => facts.cut |= outcome == Outcome::Cut,
                Step::Rejected => {}
            }
        }
        facts
    }
}

/// Whether a server says by it that it sent the request away, or cut it.
const fn is_an_end(step: Step) -> bool {
    matches!(step, Step::Rejected | Step::BodyEnd(Outcome::Cut))
}

impl Judged<'_> {
    /// Its story, around `signal`.
    pub(super) fn story(&self, signal: u64) -> Story {
        Story::new(self.request, self.class, self.client.ledger.sees_connections(), signal)
    }
}

fn keep_the_first(told: &mut Vec<(Request<'_>, &Client, u64)>) {
    told.sort_by_key(|(request, ..)| (request.intent.at, request.id));
    told.truncate(STORIES);
}

impl super::Server {
    /// A server without phases has no lame duck: it may send requests away from the signal on.
    fn times(&self, signal: Option<u64>) -> Times {
        let signal = signal.map(|signal| self.clock.place(signal)).or_else(|| self.signal()).unwrap_or(NEVER);
        let drain = self.phase("drain").unwrap_or(signal);
        Times { signal, drain, closed: self.phase("background").unwrap_or(NEVER) }
    }
}

impl Judgement {
    /// How many requests came to `class`.
    pub fn count(&self, class: Class) -> u64 {
        self.counts.get(&class).copied().unwrap_or_default()
    }
}
