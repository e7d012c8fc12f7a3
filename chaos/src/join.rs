//! Joins the client's ledger with the server's on the request id.
//!
//! One pass over each file, one table in memory, no sampling: the cost is linear in the number of requests.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::Context;
use loadtest::ledger::{self, Class as Client, Kind, Protocol};
use winddown::audit::{self, Outcome};

use crate::{
    classify::{Class, Connection, Counts, Facts, Moment, Weight, classify},
    orders::Told,
    story::Story,
};

/// So many failing requests of each class are told in full.
const STORIES: usize = 5;

/// Both ledgers of one stop, joined.
#[derive(Debug, Default)]
pub struct Join {
    requests: HashMap<Box<str>, Request>,
    connected: HashSet<u64>,
    phases: Vec<(u64, String)>,
    foreign: u64,
}

/// What became of the requests of one stop.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Requests that were sent before the signal and ended after it.
    pub in_flight: u64,
    /// How many came to which class.
    pub counts: Counts,
    /// Of those that fail or cast doubt on the run the first of each class, then the second of each, and so on.
    pub stories: Vec<Story>,
    /// Requests that only the server knows.
    pub foreign: u64,
}

/// One request, by both ledgers.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) intent: Intent,
    pub(crate) outcome: Option<Answer>,
    pub(crate) server: Vec<(u64, Step)>,
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

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) at: u64,
    pub(crate) class: Client,
    pub(crate) status: Option<u16>,
    pub(crate) detail: Option<Box<str>>,
}

/// What the server did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Entered,
    HandlerDone(u16),
    BodyEnd(Outcome),
    Rejected,
}

impl Join {
    /// Reads both ledgers.
    pub fn read(client: &Path, server: &Path) -> anyhow::Result<Self> {
        let mut join = Self::default();
        join.read_client(client).with_context(|| format!("cannot read the client's ledger {}", client.display()))?;
        join.read_server(server).with_context(|| format!("cannot read the server's ledger {}", server.display()))?;
        Ok(join)
    }

    fn read_client(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut ledger = ledger::read(path)?;
        while let Some(ledger::Record { at, event }) = ledger.next_record()? {
            match event {
                ledger::Event::Connected { connection, .. } => {
                    self.connected.insert(connection);
                }
                ledger::Event::Intent { connection, sequence, reused, protocol, kind, id } => {
                    let intent = Intent { at, connection, sequence, reused, protocol, kind };
                    let request = Request { intent, outcome: None, server: Vec::new() };
                    anyhow::ensure!(self.requests.insert(id.into(), request).is_none(), "id {id} is used twice");
                }
                ledger::Event::Outcome { class, status, detail, id } => {
                    let request = self.requests.get_mut(id).with_context(|| format!("id {id} ends unannounced"))?;
                    anyhow::ensure!(request.outcome.is_none(), "id {id} ends twice");
                    request.outcome = Some(Answer { at, class, status, detail: detail.map(Into::into) });
                }
            }
        }
        Ok(())
    }

    fn read_server(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(path)?;
        // Without its newline the last line was cut short by a crash, and a cut id is an id too.
        for (number, line) in text.split_inclusive('\n').enumerate().filter(|(_, line)| line.ends_with('\n')) {
            let record = audit::Record::parse(line.trim_end_matches('\n'))
                .with_context(|| format!("line {} is not an audit record: {line:?}", number + 1))?;
            self.add(record);
        }
        Ok(())
    }

    fn add(&mut self, audit::Record { at, event }: audit::Record<'_>) {
        let (id, step) = match event {
            audit::Event::Phase(phase) => return self.phases.push((at, phase.to_owned())),
            audit::Event::Enter { id, .. } => (id, Step::Entered),
            audit::Event::HandlerDone { status, id, .. } => (id, Step::HandlerDone(status)),
            audit::Event::BodyEnd { outcome, id, .. } => (id, Step::BodyEnd(outcome)),
            audit::Event::Rejected { id, .. } => (id, Step::Rejected),
        };
        match self.requests.get_mut(id) {
            Some(request) => request.server.push((at, step)),
            // Whoever else asks, such as a probe, sends no id.
            None if id == "-" => {}
            None => self.foreign += u64::from(matches!(step, Step::Entered | Step::Rejected)),
        }
    }

    /// What the clients were told of each order that they wanted to place, by its key.
    pub fn orders(&self) -> impl Iterator<Item = (&str, Told)> {
        let orders = self.requests.iter().filter(|(_, request)| request.intent.kind == Kind::Order);
        orders.map(|(id, request)| {
            (&**id, Told::by(request.outcome.as_ref().map(|outcome| (outcome.class, outcome.status))))
        })
    }

    /// Says what became of every request, when the signal was sent at `signal`.
    pub fn judge(&self, signal: u64) -> Judgement {
        let mut judgement = Judgement { foreign: self.foreign, ..Judgement::default() };
        let mut told = BTreeMap::<Class, Vec<_>>::new();
        for (id, request) in &self.requests {
            let class = classify(self.facts(request, signal));
            *judgement.counts.entry(class).or_default() += 1;
            judgement.in_flight += u64::from(request.is_in_flight_at(signal));
            if class.weight() != Weight::Allowed {
                told.entry(class).or_default().push((request.intent.at, id, request));
            }
        }
        for told in told.values_mut() {
            told.sort_by_key(|(at, id, _)| (*at, *id));
        }
        for nth in 0..STORIES {
            let told = told.iter().filter_map(|(class, told)| Some((class, told.get(nth)?)));
            judgement.stories.extend(told.map(|(class, (_, id, request))| Story::new(id, *class, request, signal)));
        }
        judgement
    }

    fn facts(&self, request: &Request, signal: u64) -> Facts {
        let is = |wanted: fn(Step) -> bool| request.server.iter().filter(|(_, step)| wanted(*step)).count();
        let said = request.outcome.as_ref().map_or(u64::MAX, |outcome| outcome.at);
        // A server without phases has no lame duck: it may send requests away from the signal on.
        let drain = self.phase("drain").unwrap_or(signal);
        let entered = request.server.iter().filter(|(_, step)| *step == Step::Entered).map(|(at, _)| *at).max();
        Facts {
            client: request.outcome.as_ref().map(|outcome| outcome.class),
            said: match said {
                said if said < signal => Moment::Running,
                said if said < drain => Moment::LameDuck,
                _ => Moment::Drain,
            },
            connection: match request.intent {
                Intent { reused: true, .. } => Connection::Kept,
                Intent { connection, .. } if self.connected.contains(&connection) => Connection::Fresh,
                Intent { .. } => Connection::Absent,
            },
            entered: is(|step| step == Step::Entered) as u32,
            entered_late: entered.zip(self.phase("background")).is_some_and(|(entered, closed)| entered > closed),
            handler_done: is(|step| matches!(step, Step::HandlerDone(_))) > 0,
            cut: is(|step| step == Step::BodyEnd(Outcome::Cut)) > 0,
        }
    }

    fn phase(&self, name: &str) -> Option<u64> {
        self.phases.iter().find(|(_, phase)| phase == name).map(|(at, _)| *at)
    }
}

impl Request {
    fn is_in_flight_at(&self, signal: u64) -> bool {
        self.intent.at < signal && self.outcome.as_ref().is_none_or(|outcome| outcome.at >= signal)
    }
}

impl Judgement {
    /// How many requests came to `class`.
    pub fn count(&self, class: Class) -> u64 {
        self.counts.get(&class).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNAL: u64 = 1_000;

    /// Joins one request: `client` is its outcome (time and words), `server` the audit log.
    fn judge(intent: &str, client: &str, server: &str) -> Judgement {
        let outcome = if client.is_empty() { String::new() } else { format!("{client} r1\n") };
        join(&format!("850 connected 7 h1\n900 intent 7 0 {intent} r1\n{outcome}"), server).judge(SIGNAL)
    }

    fn join(client: &str, server: &str) -> Join {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (ledger, audit) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
        fs::write(&ledger, client).expect("a temporary folder has room");
        fs::write(&audit, server).expect("a temporary folder has room");
        Join::read(&ledger, &audit).expect("the ledgers are well formed")
    }

    #[test]
    fn each_class_is_told_from_two_small_ledgers() {
        let phases = "1001 phase lame_duck\n1500 phase drain\n3000 phase background\n";
        let cases = [
            (
                Class::Ok,
                "1100 outcome ok 200 -",
                "910 enter 3 r1\n950 handler_done 3 200 r1\n999 body_end 3 complete r1\n",
            ),
            (Class::Unlogged, "1100 outcome ok 200 -", ""),
            (Class::Rejected, "1600 outcome rejected 503 -", "1590 rejected 3 r1\n"),
            (Class::BadRejection, "1400 outcome rejected 503 -", "1390 rejected 3 r1\n"),
            (Class::Farewell, "1100 outcome farewell 408 -", ""),
            (Class::Refused, "1600 outcome refused - econnrefused", ""),
            (Class::H2Nack, "1600 outcome h2_nack - goaway", ""),
            (Class::Unseen, "1100 outcome no_response - reset", ""),
            (Class::Lost, "1100 outcome no_response - eof", "910 enter 3 r1\n"),
            (Class::Lost, "1100 outcome timeout - -", "910 enter 3 r1\n"),
            (Class::Ghost, "1100 outcome no_response - eof", "910 enter 3 r1\n950 handler_done 3 200 r1\n"),
            (Class::Truncated, "1100 outcome truncated 200 eof", "910 enter 3 r1\n950 handler_done 3 200 r1\n"),
            (Class::Lie, "1600 outcome rejected 503 -", "910 enter 3 r1\n"),
            (Class::Late, "3100 outcome ok 200 -", "3001 enter 3 r1\n3002 handler_done 3 200 r1\n"),
            (Class::Dup, "1100 outcome ok 200 -", "910 enter 3 r1\n920 enter 4 r1\n"),
            (Class::DeadlineCut, "2600 outcome no_response - eof", "910 enter 3 r1\n2590 body_end 3 cut r1\n"),
            (Class::DeadlineCut, "2600 outcome truncated 200 eof", "910 enter 3 r1\n2590 body_end 3 cut r1\n"),
            (Class::Error, "1100 outcome error 500 -", "910 enter 3 r1\n"),
            (Class::Unresolved, "", "910 enter 3 r1\n"),
        ];
        for (class, client, server) in cases {
            let judgement = judge("reused h1 slow", client, &format!("{server}{phases}"));
            assert_eq!(judgement.counts, Counts::from([(class, 1)]), "{client} / {server}");
            assert_eq!(judgement.stories.len(), usize::from(class.weight() != Weight::Allowed));
            assert_eq!(judgement.in_flight, 1, "{client}");
        }
        let fresh = judge("fresh h1 fast", "1100 outcome farewell 408 -", "");
        assert_eq!(fresh.count(Class::BadRejection), 1);
    }

    #[test]
    fn in_flight_is_what_the_signal_found_between_intent_and_outcome() {
        let client = "\
            100 connected 1 h1\n\
            200 intent 1 0 fresh h1 fast before\n300 outcome ok 200 - before\n\
            900 intent 1 1 reused h1 slow across\n1200 outcome ok 200 - across\n\
            1300 intent 1 2 reused h1 fast after\n1400 outcome refused - eof after\n";
        let judgement = join(client, "210 enter 1 before\n910 enter 1 across\n").judge(SIGNAL);
        assert_eq!(judgement.in_flight, 1);
        assert_eq!(judgement.counts, Counts::from([(Class::Ok, 2), (Class::Refused, 1)]));
    }

    #[test]
    fn the_stories_begin_with_one_of_each_class_that_fails() {
        let requests = (10..30).map(|number| {
            let class = if number == 29 { "no_response" } else { "truncated" };
            format!("{number} intent 1 0 fresh h1 slow r{number}\n{number} outcome {class} - eof r{number}\n")
        });
        let client: String = std::iter::once("1 connected 1 h1\n".to_owned()).chain(requests).collect();
        let judgement = join(&client, "").judge(SIGNAL);
        let told: Vec<_> = judgement.stories.iter().map(|story| (story.class, story.id.as_str())).collect();
        assert_eq!(told[..3], [(Class::Unseen, "r29"), (Class::Truncated, "r10"), (Class::Truncated, "r11")]);
        assert_eq!(told.len(), 1 + STORIES);
        assert_eq!(
            judgement.stories[0].to_string(),
            "unseen   r29   slow, h1, fresh connection 1, request 0\n      -0.001 ms  client  is about to send it\n      -0.001 ms  client  says no_response, eof\n"
        );
    }

    #[test]
    fn requests_that_only_the_server_knows_are_counted_and_probes_are_not() {
        let judgement = join("1 connected 1 h1\n", "5 enter 1 -\n6 enter 2 stranger\n7 body_end 2 complete stranger\n");
        assert_eq!(judgement.judge(SIGNAL).foreign, 1);
    }

    #[test]
    fn what_the_clients_know_of_their_orders_is_told_by_key_and_nothing_of_other_requests() {
        let client = "\
            1 connected 1 h1\n\
            2 intent 1 0 fresh h1 order placed\n3 outcome ok 201 - placed\n\
            4 intent 1 1 reused h1 fast hello\n5 outcome ok 200 - hello\n\
            6 intent 1 2 reused h1 order open\n";
        let join = join(client, "");
        let mut orders: Vec<_> = join.orders().collect();
        orders.sort_by_key(|(key, _)| *key);
        assert_eq!(orders, [("open", Told::Nothing), ("placed", Told::Acknowledged)]);
    }

    #[test]
    fn a_last_line_that_a_kill_cut_short_is_left_out_and_any_other_is_an_error() {
        assert_eq!(judge("fresh h1 slow", "1100 outcome no_response - eof", "910 enter 3 r1").count(Class::Unseen), 1);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (ledger, audit) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
        fs::write(&ledger, "").expect("a temporary folder has room");
        fs::write(&audit, "910 enter\n").expect("a temporary folder has room");
        let error = Join::read(&ledger, &audit).expect_err("a broken line in the middle is no crash");
        assert!(format!("{error:#}").contains("line 1 is not an audit record"), "{error:#}");
    }
}
