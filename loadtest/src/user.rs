//! The life of one user: it asks, reads to the end, writes down what came of it, and asks again.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use goose::goose::{GooseUser, TransactionResult};
use http::Request;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::{
    arrivals::{Due, Timetable},
    config::Config,
    connection::Connection,
    ledger::{Class, Event, Kind, Ledger, LedgerWriter, Protocol},
    request::{Catalogue, Choices, Question},
    terminal::Times,
    upload::Upload,
    verdict::{Reply, Sent, Verdict, closes},
};

/// Between two connects of a user whose connects fail: the ledger shall tell of an outage, not of a busy loop.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// How long a user goes on under a plan before goose is asked whether it is one too many.
const TURN: Duration = Duration::from_millis(100);

/// What all users of a run share.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) config: Config,
    pub(crate) catalogue: Catalogue,
    pub(crate) ledger: Ledger,
    pub(crate) run_id: String,
    /// No request is begun after it.
    pub(crate) until: Instant,
    /// No request is waited for after it.
    pub(crate) last: Instant,
    /// Users that are alive.
    pub(crate) active: AtomicU32,
    /// When requests are due, in the open model.
    pub(crate) timetable: Option<Timetable>,
    /// How long requests take, for a terminal.
    pub(crate) times: Option<Times>,
}

/// One user.
pub(crate) struct User {
    load: Arc<Load>,
    ledger: LedgerWriter,
    choices: Choices,
    /// What it asks for, all its life: a mix of users keeps its shares in flight however fast each kind is answered. In
    /// the open model it only carries what is due, and each request has a kind of its own.
    kind: Kind,
    protocol: Protocol,
    /// Opens a new connection for every request.
    fresh: bool,
    kept: Option<Connection>,
    /// `{run}-{user}-`, the begin of its ids.
    prefix: String,
    asked: u64,
    _alive: Alive,
}

/// A user between two turns, kept by goose with what else it knows of the user.
#[derive(Clone)]
struct Resting(Arc<Mutex<Option<User>>>);

/// A request may be sent.
#[derive(Clone, Copy, Debug)]
enum Go {
    /// The user is free.
    Now,
    /// It is due.
    Due(Due),
}

/// What goose is told about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) verdict: Verdict,
    elapsed: Duration,
    /// The connection takes further requests.
    keeps: bool,
}

/// Lets a goose user ask until the run is over. Under a plan it is only for one turn: goose tells a user that it is one
/// too many between two of them.
pub(crate) async fn live(load: &Arc<Load>, goose: &mut GooseUser) -> TransactionResult {
    let resting = goose.get_session_data::<Resting>().and_then(Resting::wake);
    let mut user = resting.unwrap_or_else(|| User::new(load, goose.weighted_users_index as u32));
    let turn = load.config.test_plan.is_some().then(|| Instant::now() + TURN);
    let until = turn.map_or(load.until, |turn| turn.min(load.until));
    while let Some(go) = user.go(until).await {
        let answers = user.round(go).await;
        for answer in &answers {
            load.times.iter().for_each(|times| times.add(answer.elapsed));
            if !load.config.no_metrics {
                report(goose, user.protocol, answer).await?;
            }
        }
        if load.config.until_refused && answers.iter().any(|answer| answer.verdict.is_refused_connect()) {
            break;
        }
        if !load.config.think.is_zero() {
            sleep(load.config.think).await;
        }
    }
    if let Some(turn) = turn {
        // Behind the end of the run there is nothing to ask, but goose has yet to see it.
        sleep_until(turn).await;
        goose.set_session_data(Resting::new(user));
    }
    Ok(())
}

impl Resting {
    fn new(user: User) -> Self {
        Self(Arc::new(Mutex::new(Some(user))))
    }

    fn wake(&self) -> Option<User> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl User {
    pub(crate) fn new(load: &Arc<Load>, number: u32) -> Self {
        let Config { seed, h2, fresh, .. } = load.config;
        let (protocol, fresh) = role(number, h2, fresh);
        Self {
            load: Arc::clone(load),
            ledger: load.ledger.writer(),
            choices: Choices::new(seed, number.into()),
            kind: load.config.mix.of(number),
            protocol,
            fresh,
            kept: None,
            prefix: format!("{}-{number}-", load.run_id),
            asked: 0,
            _alive: Alive::new(load),
        }
    }

    /// Waits until a request may be sent; `None` when none is to be sent any more.
    async fn go(&self, until: Instant) -> Option<Go> {
        if let Some(timetable) = &self.load.timetable {
            return timetable.next().await.map(Go::Due);
        }
        // goose's switch is how an interrupt from the keyboard reaches the users.
        (Instant::now() < until && !goose::is_killswitch_triggered()).then_some(Go::Now)
    }

    /// One request, or on HTTP/2 some at once; each is in the ledger with its outcome when this returns.
    async fn round(&mut self, go: Go) -> Vec<Answer> {
        let fresh = || Connection::new(self.ledger.next_connection(), self.protocol);
        let mut connection = self.kept.take().unwrap_or_else(fresh);
        let size = match (go, self.protocol) {
            (Go::Due(_), _) | (_, Protocol::H1) => 1,
            (Go::Now, Protocol::H2) => 1 + self.choices.next() % u64::from(self.load.config.h2_streams),
        };
        let asks: Vec<_> = (0..size).map(|_| self.ask(&mut connection, go)).collect();
        let limit = (Instant::now() + self.load.config.request_timeout).min(self.load.last);

        let opened = timeout_at(limit, connection.open(&self.load.config.host, &self.ledger)).await;
        if let Err(verdict) = opened.unwrap_or(Err(Verdict::TIMEOUT)) {
            let answers = asks.iter().map(|ask| ask.end(&self.ledger, verdict, false)).collect();
            if !connection.is_dialled() {
                sleep(RECONNECT_PAUSE).await;
            }
            return answers;
        }
        let answers = if let Some(h2) = connection.as_h2() {
            join_all(asks.iter().map(|ask| self.answer(ask, limit, h2.exchange(self.request(ask))))).await
        } else {
            let h1 = connection.as_h1().expect("a link that is not HTTP/2 is HTTP/1");
            let ask = asks.first().expect("a round asks at least once");
            vec![self.answer(ask, limit, h1.exchange(self.request(ask))).await]
        };
        if !self.fresh && answers.iter().all(|answer| answer.keeps) {
            connection.reused = true;
            self.kept = Some(connection);
        }
        answers
    }

    /// A round of the closed model.
    #[cfg(test)]
    pub(crate) async fn round_now(&mut self) -> Vec<Answer> {
        self.round(Go::Now).await
    }

    #[cfg(test)]
    pub(crate) async fn kept_connection_ends(&mut self) {
        let kept = self.kept.as_mut().and_then(Connection::as_h1);
        kept.expect("a whole response was read on HTTP/1").ended().await;
    }

    /// Chooses a question and writes the intent down.
    fn ask(&mut self, connection: &mut Connection, go: Go) -> Ask {
        let kind = match go {
            Go::Now => self.kind,
            Go::Due(due) => self.load.config.mix.of(due.number as u32),
        };
        let question = self.load.catalogue.question(kind, &mut self.choices);
        let mut id = String::with_capacity(self.prefix.len() + 10);
        id.push_str(&self.prefix);
        write!(id, "{}", self.asked).expect("writing to memory does not fail");
        self.asked += 1;
        let Connection { number, protocol, requests, reused, .. } = *connection;
        connection.requests += 1;
        let intended = self.ledger.write(Event::Intent {
            connection: number,
            sequence: requests,
            reused,
            protocol,
            kind: question.kind,
            id: &id,
        });
        let begun = match go {
            Go::Now => intended,
            Go::Due(due) => due.at,
        };
        Ask { question, reused, id, begun }
    }

    fn request(&self, ask: &Ask) -> Request<Upload> {
        self.load.catalogue.request(ask.question, self.protocol, self.fresh, &ask.id)
    }

    async fn answer(&self, ask: &Ask, limit: Instant, exchange: impl Future<Output = Reply>) -> Answer {
        let Ok(reply) = timeout_at(limit, exchange).await else {
            return ask.end(&self.ledger, Verdict::TIMEOUT, false);
        };
        let sent = Sent { question: ask.question, protocol: self.protocol, reused: ask.reused, id: &ask.id };
        let verdict = Verdict::of_reply(&self.load.catalogue, sent, &reply);
        let keeps = match &reply {
            Reply::Response(parts, Ok(_)) => {
                self.protocol == Protocol::H2 || (parts.version == http::Version::HTTP_11 && !closes(&parts.headers))
            }
            Reply::Response(_, Err(_)) | Reply::Overlong(_) | Reply::Unsent | Reply::Nothing(_) => false,
        };
        ask.end(&self.ledger, verdict, keeps)
    }
}

/// A question whose intent is in the ledger.
struct Ask {
    question: Question,
    reused: bool,
    id: String,
    /// From when its time is counted: `CLOCK_MONOTONIC`, in nanoseconds.
    begun: u64,
}

impl Ask {
    fn end(&self, ledger: &LedgerWriter, verdict: Verdict, keeps: bool) -> Answer {
        let Verdict { class, status, detail } = verdict;
        let ended = ledger.write(Event::Outcome { class, status, detail, id: &self.id });
        let elapsed = Duration::from_nanos(ended.saturating_sub(self.begun));
        Answer { kind: self.question.kind, verdict, elapsed, keeps }
    }
}

/// Spreads the roles evenly over the users, so that every prefix of them has the shares that were asked for.
fn role(number: u32, h2: u32, fresh: u32) -> (Protocol, bool) {
    let below = |n: u32, percent: u32| u64::from(n) * u64::from(percent) / 100;
    if below(number + 1, h2) > below(number, h2) {
        return (Protocol::H2, false);
    }
    let rank = number - below(number, h2) as u32;
    (Protocol::H1, below(rank + 1, fresh) > below(rank, fresh))
}

async fn report(goose: &mut GooseUser, protocol: Protocol, answer: &Answer) -> TransactionResult {
    let Answer { kind, verdict: Verdict { class, status, detail }, elapsed, .. } = *answer;
    let method = if matches!(kind, Kind::Upload | Kind::Order) { "POST" } else { "GET" };
    let name = match (kind, protocol) {
        (Kind::Fast, Protocol::H1) => "fast h1",
        (Kind::Fast, Protocol::H2) => "fast h2",
        (Kind::Slow, Protocol::H1) => "slow h1",
        (Kind::Slow, Protocol::H2) => "slow h2",
        (Kind::Stream, Protocol::H1) => "stream h1",
        (Kind::Stream, Protocol::H2) => "stream h2",
        (Kind::Upload, Protocol::H1) => "upload h1",
        (Kind::Upload, Protocol::H2) => "upload h2",
        (Kind::Order, Protocol::H1) => "order h1",
        (Kind::Order, Protocol::H2) => "order h2",
        (Kind::Get, Protocol::H1) => "get h1",
        (Kind::Get, Protocol::H2) => "get h2",
        (Kind::Events, Protocol::H1) => "events h1",
        (Kind::Events, Protocol::H2) => "events h2",
        (Kind::Panic, Protocol::H1) => "panic h1",
        (Kind::Panic, Protocol::H2) => "panic h2",
        (Kind::PanicBody, Protocol::H1) => "panic_body h1",
        (Kind::PanicBody, Protocol::H2) => "panic_body h2",
        (Kind::Block, Protocol::H1) => "block h1",
        (Kind::Block, Protocol::H2) => "block h2",
        (Kind::Never, Protocol::H1) => "never h1",
        (Kind::Never, Protocol::H2) => "never h2",
    };
    let error = (class != Class::Ok).then(|| format!("{class} {}", detail.unwrap_or("-")));
    goose.record_custom_request_duration(method, name, elapsed, error.is_none(), status, error.as_deref()).await
}

/// Counts a user for as long as it lives, however it ends.
struct Alive(Arc<Load>);

impl Alive {
    fn new(load: &Arc<Load>) -> Self {
        load.active.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundred_users_have_the_shares_that_were_asked_for() {
        let roles: Vec<_> = (0..100).map(|number| role(number, 25, 20)).collect();
        assert_eq!(roles.iter().filter(|role| role.0 == Protocol::H2).count(), 25);
        assert_eq!(roles.iter().filter(|role| role.1).count(), 15);
        assert!(roles[..8].iter().any(|role| role.0 == Protocol::H2));
        assert!((0..100).all(|number| role(number, 100, 100) == (Protocol::H2, false)));
        assert!((0..100).all(|number| role(number, 0, 100) == (Protocol::H1, true)));
    }
}
