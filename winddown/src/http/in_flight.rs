//! One request that is being answered: what is known of it, and the guard whose end is its end.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, uri::PathAndQuery};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    audit::{Event, Outcome},
    http::{admission::Token, timing::Clock},
    sabotage::{self, Fault},
    server::{connection::Connection, connections::Listed},
    totals::Totals,
};

/// Longest part of a path or an id that is shown; a client chooses their length.
const SHOWN: usize = 128;

/// Where a request says its id. As a constant, for a name that is looked up as text is first read letter by letter.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is known of a request in flight. Shared by its guard, by its connection, which lists it, and by the extensions of
/// the request; so it is one share that each has, and not several.
#[derive(Debug)]
pub(crate) struct RequestInfo {
    pub(crate) connection: Arc<Connection>,
    pub(crate) started: Instant,
    pub(crate) method: Method,
    /// That of its route, from there on.
    pub(crate) clock: OnceLock<Arc<Clock>>,
    path: Option<PathAndQuery>,
    id: Option<HeaderValue>,
    /// It is in the account of what was cut.
    cut: AtomicBool,
}

impl RequestInfo {
    pub(crate) fn of<B>(request: &Request<B>, connection: Arc<Connection>) -> Self {
        Self {
            connection,
            started: Instant::now(),
            method: request.method().clone(),
            clock: OnceLock::new(),
            path: request.uri().path_and_query().cloned(),
            id: request.headers().get(REQUEST_ID).cloned(),
            cut: AtomicBool::new(false),
        }
    }

    /// What goes on behind the answer of this request: the same to whoever looks, and another one to whoever counts.
    fn behind(&self) -> Self {
        Self {
            connection: self.connection.clone(),
            started: self.started,
            method: self.method.clone(),
            clock: self.clock.clone(),
            path: self.path.clone(),
            id: self.id.clone(),
            cut: AtomicBool::new(false),
        }
    }

    /// Counts it as cut, once: the deadline names it, and its end, if that still comes, must not again.
    pub(crate) fn cut(&self, totals: &Totals) {
        if !self.cut.swap(true, Relaxed) {
            totals.cut(RequestStatus::of(self));
        }
    }

    /// The request's id as one word, `-` without one.
    pub(crate) fn id(&self) -> &str {
        let id = self.id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("-");
        // Visible ASCII only (`to_str`), so that a cut falls on a character; a space would end the word early.
        let id = &id[..id.len().min(SHOWN)];
        if id.is_empty() || id.contains([' ', '\t']) { "-" } else { id }
    }
}

/// A request in flight, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestStatus {
    /// The server that it came to.
    pub server: String,
    /// The client's address; of a Unix socket, its process.
    pub peer: String,
    /// Its method.
    pub method: String,
    /// The route that matched; absent where none did, or none has yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The path as the client sent it, cut to 128 bytes. Without its query, which may hold what is nobody's business.
    pub path: String,
    /// Its `x-request-id`, `-` without one.
    pub id: String,
    /// How long ago its head arrived.
    #[serde(rename = "age_seconds", serialize_with = "crate::report::seconds")]
    pub age: Duration,
}

impl RequestStatus {
    pub(crate) fn of(request: &RequestInfo) -> Self {
        let connection = &request.connection;
        // A CONNECT has no path, but an authority (RFC 9110 §7.1).
        let path = request.path.as_ref().map_or("*", PathAndQuery::path);
        Self {
            server: connection.server().name.clone(),
            peer: connection.peer().to_string(),
            method: request.method.as_str().chars().take(SHOWN).collect(),
            route: request.clock.get().and_then(|clock| clock.route()).map(str::to_owned),
            path: path.chars().take(SHOWN).collect(),
            id: request.id().to_owned(),
            age: request.started.elapsed(),
        }
    }
}

/// The guard of one admitted request. It moves from the handler into the response body.
#[derive(Debug)]
pub(crate) struct InFlight {
    request: Arc<RequestInfo>,
    status: Option<u16>,
    complete: bool,
    token: Token,
    /// It is not the request itself, whose beginning and end are in the audit log, but goes on behind its answer. Boxed, for
    /// few do, and the guard is moved with every answer.
    behind: Option<Box<(Listed, TaskTrackerToken)>>,
}

impl InFlight {
    /// Counts the request, and notes it before its handler can run.
    pub(crate) fn begin(request: Arc<RequestInfo>, token: Token) -> Self {
        let connection = &request.connection;
        let enter = || Event::Enter { connection: connection.id(), id: request.id() };
        if !sabotage::is(Fault::EnterOmitted) {
            connection.server().audit(enter);
        }
        if sabotage::is(Fault::EnterTwice) {
            connection.server().audit(enter);
        }
        Self::counted(request, token, None)
    }

    /// Counts what goes on behind the answer of a request.
    pub(crate) fn behind(request: &RequestInfo) -> Self {
        let server = request.connection.server();
        let behind = server.connections.hold(request.connection.clone());
        Self::counted(Arc::new(request.behind()), server.gate.enter(request.connection.id()), Some(behind.into()))
    }

    fn counted(request: Arc<RequestInfo>, token: Token, behind: Option<Box<(Listed, TaskTrackerToken)>>) -> Self {
        let server = request.connection.server();
        if behind.is_none() && !server.admin {
            server.totals().entered(&token);
        }
        request.connection.enter(request.clone());
        Self { request, status: None, complete: false, token, behind }
    }

    /// The handler has returned a response; `whole` says that no body is to follow it.
    pub(crate) fn answered(&mut self, status: u16, whole: bool) {
        self.status = Some(status);
        self.complete = whole || self.request.method == Method::HEAD;
        let connection = self.connection();
        let done = || Event::HandlerDone { connection: connection.id(), status, id: self.request.id() };
        connection.server().audit(done);
    }

    /// Whether an answer with this status ends HTTP/1 on the connection: an upgrade, or a tunnel (RFC 9110 §9.3.6).
    pub(crate) fn agrees_to_upgrade(&self, status: StatusCode) -> bool {
        let tunnel = self.request.method == Method::CONNECT && status.is_success();
        tunnel || status == StatusCode::SWITCHING_PROTOCOLS
    }

    /// The last byte of the body was handed to the transport.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.request.connection
    }

    /// Whether the time is over in which it could end by itself.
    pub(crate) fn is_aborted(&self) -> bool {
        self.connection().tokens().aborted.is_cancelled()
    }

    fn outcome(&self) -> Outcome {
        if self.complete {
            Outcome::Complete
        } else if self.connection().tokens().cancelled.is_cancelled() {
            Outcome::Cut
        } else {
            Outcome::Aborted
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let (connection, outcome) = (&self.request.connection, self.outcome());
        let server = connection.server();
        if let (Some(status), Some(clock), false) = (self.status, self.request.clock.get(), server.admin) {
            clock.record(&self.request.method, status, self.request.started.elapsed().as_secs_f64());
        }
        let complete = outcome == Outcome::Complete;
        let stopping = server.gate.leave(connection.id());
        if !server.admin && stopping {
            server.totals().ended(&self.token, complete);
            if outcome == Outcome::Cut {
                self.request.cut(server.totals());
            }
        }
        connection.leave(&self.request);
        if self.behind.is_none() {
            server.audit(|| Event::BodyEnd { connection: connection.id(), outcome, id: self.request.id() });
        }
    }
}
