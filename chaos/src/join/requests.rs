//! The requests of a join, in little memory: ten million records are two million requests of some 150 bytes each.

use loadtest::ledger::{Class as Client, Kind, Protocol};
use string_interner::{StringInterner, Symbol, backend::StringBackend, symbol::SymbolU32};
use winddown::audit::Outcome;

/// Words that lie behind each other in one piece of memory, each once, and are numbered as they come.
type Words = StringInterner<StringBackend<SymbolU32>>;

/// Every request that a client has announced.
#[derive(Debug, Default)]
pub(super) struct Requests {
    ids: Words,
    /// By the numbers of their ids.
    entries: Vec<Entry>,
    /// Of all requests, as the servers tell them; those of one request are chained.
    steps: Vec<Link>,
    details: Words,
}

/// A request by its number, which counts them in the order of their intents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(SymbolU32);

#[derive(Debug)]
struct Entry {
    intent: Intent,
    end: Option<End>,
    last_step: u32,
}

/// An [`Answer`] without its word.
#[derive(Debug)]
struct End {
    at: u64,
    class: Client,
    status: Option<u16>,
    detail: Option<SymbolU32>,
}

#[derive(Debug)]
struct Link {
    at: u64,
    step: Step,
    previous: u32,
}

/// In the place of a step that is not there.
const NONE: u32 = u32::MAX;

/// One request, by both ledgers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// Its `x-request-id`.
    pub(crate) id: &'a str,
    pub(crate) intent: &'a Intent,
    pub(crate) outcome: Option<Answer<'a>>,
    last_step: u32,
    steps: &'a [Link],
}

#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) at: u64,
    pub(crate) connection: u64,
    pub(crate) sequence: u64,
    pub(crate) reused: bool,
    pub(crate) protocol: Protocol,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) at: u64,
    pub(crate) class: Client,
    pub(crate) status: Option<u16>,
    pub(crate) detail: Option<&'a str>,
}

/// What a server did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Entered,
    HandlerDone(u16),
    BodyEnd(Outcome),
    Rejected,
}

impl Requests {
    /// One more; the number of the other one where the id is taken.
    pub(super) fn announce(&mut self, id: &str, intent: Intent) -> Result<(), Number> {
        let number = self.ids.get_or_intern(id);
        if number.to_usize() < self.entries.len() {
            return Err(Number(number));
        }
        self.entries.push(Entry { intent, end: None, last_step: NONE });
        Ok(())
    }

    /// The request of this id.
    pub(super) fn find(&self, id: &str) -> Option<Number> {
        self.ids.get(id).map(Number)
    }

    /// What its client says of its end; `false` where it has said so before.
    #[must_use]
    pub(super) fn end(&mut self, number: Number, answer: Answer<'_>) -> bool {
        let Answer { at, class, status, detail } = answer;
        let detail = detail.map(|detail| self.details.get_or_intern(detail));
        self.entries[number.index()].end.replace(End { at, class, status, detail }).is_none()
    }

    /// One more step of a server.
    pub(super) fn step(&mut self, number: Number, at: u64, step: Step) {
        let this = u32::try_from(self.steps.len()).expect("memory ends long before four billion steps");
        let previous = std::mem::replace(&mut self.entries[number.index()].last_step, this);
        self.steps.push(Link { at, step, previous });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many steps the servers have told so far.
    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// All of them, in the order of their intents.
    pub(super) fn iter(&self) -> impl Iterator<Item = Request<'_>> {
        self.ids.iter().zip(&self.entries).map(|((_, id), entry)| {
            let word = |detail| self.details.resolve(detail).expect("it was numbered here");
            let outcome = entry.end.as_ref().map(|&End { at, class, status, detail }| Answer {
                at,
                class,
                status,
                detail: detail.map(word),
            });
            Request { id, intent: &entry.intent, outcome, last_step: entry.last_step, steps: &self.steps }
        })
    }
}

impl Number {
    pub(super) fn index(self) -> usize {
        self.0.to_usize()
    }
}

impl<'a> Request<'a> {
    /// What the servers did with it, and when, the last first.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (u64, Step)> + use<'a> {
        self.numbered_steps().map(|(_, at, step)| (at, step))
    }

    /// The same with their places among the steps of all requests.
    pub(super) fn numbered_steps(&self) -> impl Iterator<Item = (usize, u64, Step)> + use<'a> {
        let (steps, mut next) = (self.steps, self.last_step);
        std::iter::from_fn(move || {
            let place = next as usize;
            let link = steps.get(place)?;
            next = link.previous;
            Some((place, link.at, link.step))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_request_stays_small() {
        let per_request = size_of::<Entry>() + 3 * size_of::<Link>();
        assert!(per_request <= 112, "{per_request} bytes without the id");
    }
}
