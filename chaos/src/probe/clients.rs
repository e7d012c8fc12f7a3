//! The clients of each profile: what they do before the signal, and what they see of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{
    class::Class,
    http1::{Link, Reply},
    profile::Profile,
};

/// Clients that act after the signal do so at moments of their own, so far apart.
const APART: Duration = Duration::from_millis(4);

/// An upload: half of it before the signal, then piece by piece.
pub(super) const HALF_OF_AN_UPLOAD: usize = 32 << 10;
const PIECES: usize = 8;
const BETWEEN_PIECES: Duration = Duration::from_millis(20);

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// No signal yet.
    Loaded,
    /// The signal has been sent.
    Signalled,
    /// The server is gone, or has to be killed.
    Over,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// The status of a GET while the server runs.
    pub(super) usual: u16,
    pub(super) stream: Option<String>,
    pub(super) upload: String,
    /// The status of a POST while the server runs.
    pub(super) usual_of_upload: u16,
    pub(super) websocket: Option<String>,
}

/// One client.
pub(super) struct Client {
    pub(super) target: Arc<Target>,
    pub(super) number: u32,
    pub(super) stage: watch::Receiver<Stage>,
    /// How many clients have come so far that a signal meets them.
    pub(super) steady: Arc<AtomicU32>,
    pub(super) is_steady: bool,
}

impl Client {
    /// Runs to its first loss, or until nobody listens any more.
    pub(super) async fn run(self, profile: Profile) -> Class {
        match profile {
            Profile::New => self.ask("close", Duration::ZERO).await,
            Profile::Busy | Profile::Think => self.ask("keep-alive", profile.think()).await,
            Profile::Silent => self.late(0).await,
            Profile::Partial => self.late("GET / HTTP/1.1\r\nHo".len()).await,
            Profile::Pipelined => self.pipelined().await,
            Profile::Stream => self.stream().await,
            Profile::Upload => self.upload().await,
            Profile::H2 => self.h2().await,
            Profile::Websocket => self.websocket().await,
        }
    }

    async fn ask(mut self, connection: &str, think: Duration) -> Class {
        let request = self.target.get(&self.target.path, connection);
        let mut seen = Class::Refused;
        while !self.is_over() {
            let mut link = match Link::open(self.target.address).await {
                Ok(link) => link,
                Err(class) => return seen.max(class),
            };
            loop {
                link.send(request.as_bytes()).await;
                let (class, closes) = judge(link.answer().await, self.target.usual);
                seen = seen.max(class);
                if seen.is_dropped() {
                    return seen;
                }
                self.is_served();
                // An end that is seen before the next request is no loss; an unasked 408 is such an end.
                if closes || connection == "close" || self.is_over() || !link.stays_silent(think).await {
                    break;
                }
            }
        }
        seen
    }

    /// Sends the first `early` bytes of a request before the signal and the others after it.
    async fn late(mut self, early: usize) -> Class {
        let request = self.target.get(&self.target.path, "close");
        let (early, late) = request.as_bytes().split_at(early);
        let mut link = match Link::open(self.target.address).await {
            Ok(link) => link,
            Err(class) => return class,
        };
        link.send(early).await;
        self.is_served();
        self.signalled().await;
        if !link.stays_silent(APART * self.number).await {
            return match link.answer().await {
                Reply::Nothing(_) => Class::Closed,
                answer @ Reply::Answer { .. } => judge(answer, self.target.usual).0,
            };
        }
        link.send(late).await;
        judge(link.answer().await, self.target.usual).0
    }

    async fn pipelined(mut self) -> Class {
        const DEPTH: usize = 3;

        let requests = self.target.get(&self.target.path, "keep-alive").repeat(DEPTH);
        let mut seen = Class::Refused;
        while !self.is_over() {
            let mut link = match Link::open(self.target.address).await {
                Ok(link) => link,
                Err(class) => return seen.max(class),
            };
            'connection: while !self.is_over() && link.is_silent() {
                link.send(requests.as_bytes()).await;
                for asked in 1..=DEPTH {
                    let (class, closes) = judge(link.answer().await, self.target.usual);
                    seen = seen.max(class);
                    if seen.is_dropped() {
                        return seen;
                    }
                    if closes {
                        // Whoever says `close` processes nothing that lies behind (RFC 9112, 9.6).
                        seen = if asked < DEPTH { seen.max(Class::Unprocessed) } else { seen };
                        break 'connection;
                    }
                }
                self.is_served();
            }
        }
        seen
    }

    async fn stream(mut self) -> Class {
        let path = self.target.stream.as_deref().unwrap_or(&self.target.path);
        let request = self.target.get(path, "close");
        let mut seen = Class::Refused;
        while !self.is_over() {
            let mut link = match Link::open(self.target.address).await {
                Ok(link) => link,
                Err(class) => return seen.max(class),
            };
            link.send(request.as_bytes()).await;
            let reply = match link.head().await {
                Ok(head) => {
                    self.is_served();
                    link.body(head).await
                }
                Err(class) => Reply::Nothing(class),
            };
            // Its status is not known beforehand, but it is no error of the server's.
            seen = seen.max(judge(reply, 200).0);
            if seen.is_dropped() {
                return seen;
            }
        }
        seen
    }

    async fn upload(mut self) -> Class {
        let mut link = match Link::open(self.target.address).await {
            Ok(link) => link,
            Err(class) => return class,
        };
        link.send(&self.target.half_of_an_upload()).await;
        self.is_served();
        self.signalled().await;
        let pieces = vec![b'x'; HALF_OF_AN_UPLOAD];
        for piece in pieces.chunks(HALF_OF_AN_UPLOAD / PIECES) {
            // An answer need not wait for the end of the body.
            if !link.stays_silent(BETWEEN_PIECES).await {
                break;
            }
            link.send(piece).await;
        }
        judge(link.answer().await, self.target.usual_of_upload).0
    }

    /// From now on a signal meets this client.
    pub(super) fn is_served(&mut self) {
        if !self.is_steady {
            self.is_steady = true;
            self.steady.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        *self.stage.borrow() == Stage::Over
    }

    async fn signalled(&mut self) {
        // Who sends the stages outlives its clients.
        let _ = self.stage.wait_for(|stage| *stage >= Stage::Signalled).await;
    }
}

impl Target {
    fn get(&self, path: &str, connection: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n\r\n", self.address)
    }

    /// The head of a POST and half of its body.
    pub(super) fn half_of_an_upload(&self) -> Vec<u8> {
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n\r\n",
            self.upload,
            self.address,
            2 * HALF_OF_AN_UPLOAD
        )
        .into_bytes();
        request.resize(request.len() + HALF_OF_AN_UPLOAD, b'x');
        request
    }
}

/// The class of `reply`, and whether the connection ends with it.
fn judge(reply: Reply, usual: u16) -> (Class, bool) {
    match reply {
        Reply::Answer { status, closes } => (Class::of_status(status, usual), closes),
        Reply::Nothing(class) => (class, true),
    }
}
