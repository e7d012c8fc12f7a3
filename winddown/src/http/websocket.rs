//! WebSockets that say goodbye: axum's, told by the library when the service stops.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake},
    time::Duration,
};

use atomic_waker::AtomicWaker;
use axum::{
    Error,
    extract::{
        FromRequestParts,
        ws::{self, CloseFrame, Message, close_code},
    },
    response::Response,
};
use futures_core::Stream;
use futures_sink::Sink;
use http::request::Parts;
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use crate::http::draining::Draining;

/// Longest wait for the peer's close frame after ours: many round trips, and a small part of any drain.
const PEERS_CLOSE: Duration = Duration::from_secs(1);

/// What a client reads in our close frame.
const REASON: &str = "this instance is shutting down; connect again";

/// An extractor in place of [`axum::extract::ws::WebSocketUpgrade`]: the same connection, and a good end for it.
///
/// - The WebSocket is in flight: waited for by the drain, listed with its path and age, named when it is cut.
/// - When the service stops, the peer is sent 1001, "going away" (RFC 6455 §7.4.1), at a moment of its own, so that not all
///   reconnect at once: in the second half of the lame duck, or within [`Transport::close_jitter`].
/// - Then its own close frame is waited for, 1 s at the most. A handler that returns in peace says 1000 in the same way.
///
/// Route it with [`any`](axum::routing::any): over HTTP/2 a WebSocket comes as CONNECT (RFC 8441).
///
/// ```
/// use axum::{Router, response::Response, routing::any};
/// use winddown::{WebSocket, WebSocketUpgrade};
///
/// async fn ws(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(echo)
/// }
///
/// async fn echo(mut socket: WebSocket) {
///     while let Some(Ok(message)) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
/// }
/// # let _: Router = Router::new().route("/ws", any(ws));
/// ```
///
/// [`Transport::close_jitter`]: crate::Transport::close_jitter
#[must_use]
pub struct WebSocketUpgrade {
    upgrade: ws::WebSocketUpgrade,
    draining: Draining,
}

impl WebSocketUpgrade {
    /// Changes what axum's own extractor can be told: protocols, sizes of messages and buffers.
    pub fn configure(self, configure: impl FnOnce(ws::WebSocketUpgrade) -> ws::WebSocketUpgrade) -> Self {
        Self { upgrade: configure(self.upgrade), ..self }
    }

    /// Answers the request, and runs `callback` on the WebSocket.
    #[must_use = "the response makes the WebSocket"]
    pub fn on_upgrade<F, Fut>(self, callback: F) -> Response
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { upgrade, draining } = self;
        let hold = draining.hold();
        upgrade.on_upgrade(async move |socket| {
            tokio::select! {
                biased;
                () = draining.aborted() => {}
                () = converse(socket, &draining, callback) => {}
            }
            drop(hold);
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = ws::rejection::WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Ok(draining) = Draining::from_request_parts(parts, state).await;
        Ok(Self { upgrade: ws::WebSocketUpgrade::from_request_parts(parts, state).await?, draining })
    }
}

/// Runs the handler, then closes what it has let go.
async fn converse<Fut: Future<Output = ()>>(
    socket: ws::WebSocket,
    draining: &Draining,
    handler: impl FnOnce(WebSocket) -> Fut,
) {
    let goodbye = Box::pin(draining.clone().goodbye());
    let conversation = Conversation { socket, goodbye, closing: None, tasks: Arc::default() };
    let (give_back, let_go) = oneshot::channel();
    handler(WebSocket { conversation: Some(conversation), give_back: Some(give_back) }).await;
    // The handler may have moved it into a task of its own.
    if let Ok(conversation) = let_go.await {
        conversation.close(if draining.is_draining() { close_code::AWAY } else { close_code::NORMAL }).await;
    }
}

/// A WebSocket of a [`WebSocketUpgrade`]: a stream and a sink of messages, as axum's is.
///
/// After the goodbye nothing can be sent any more, and what the peer had sent before it closed is still received. The
/// goodbye is said while the WebSocket is read from or written to; a handler that does neither for long must watch
/// [`Draining`] for itself, and let go.
pub struct WebSocket {
    /// `None` only while it is dropped.
    conversation: Option<Conversation>,
    give_back: Option<oneshot::Sender<Conversation>>,
}

impl WebSocket {
    /// The next message; `None` when the conversation is over. Cancel safe.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        poll_fn(|cx| self.conversation().poll_next(cx)).await
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// The peer is gone, or the goodbye was said: it will connect again, elsewhere.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        poll_fn(|cx| self.conversation().poll_ready(cx)).await?;
        self.conversation().start_send(message)?;
        poll_fn(|cx| self.conversation().poll_flush(cx)).await
    }

    fn conversation(&mut self) -> &mut Conversation {
        self.conversation.as_mut().expect("it is there until the drop")
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        if let (Some(conversation), Some(give_back)) = (self.conversation.take(), self.give_back.take()) {
            let _ = give_back.send(conversation); // refused after an abort, when nobody is to be told anything
        }
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.conversation().poll_next(cx)
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.conversation().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.conversation().start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.conversation().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.conversation().poll_close(cx)
    }
}

/// The WebSocket itself and how far its end has come.
///
/// After a `split` two tasks poll it, one to read and one to write. Reading writes, too (pongs, close frames), and both wait for
/// the goodbye: so whatever is waited for wakes both.
struct Conversation {
    socket: ws::WebSocket,
    goodbye: Pin<Box<dyn Future<Output = ()> + Send>>,
    closing: Option<Closing>,
    tasks: Arc<Tasks>,
}

/// We have closed, or are about to.
struct Closing {
    /// Our close frame, until it is on its way.
    frame: Option<Message>,
    until: Pin<Box<Sleep>>,
}

#[derive(Default)]
struct Tasks {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Conversation {
    fn say(&mut self, code: u16) {
        let reason = if code == close_code::AWAY { REASON } else { "" };
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        self.closing = Some(Closing { frame: Some(frame), until: Box::pin(sleep(PEERS_CLOSE)) });
    }

    /// Says goodbye when it is time. Ready when the time for the peer's own is over. An error shows at the next read.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.is_none() && self.goodbye.as_mut().poll(cx).is_ready() {
            self.say(close_code::AWAY);
        }
        let Some(Closing { frame, until }) = &mut self.closing else { return Poll::Pending };
        if frame.is_some() && Pin::new(&mut self.socket).poll_ready(cx).is_ready() {
            let frame = frame.take().expect("just seen");
            let _ = Pin::new(&mut self.socket).start_send(frame);
        }
        let _ = Pin::new(&mut self.socket).poll_flush(cx);
        until.as_mut().poll(cx)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        self.tasks.reader.register(cx.waker());
        let waker = self.tasks.clone().into();
        let cx = &mut Context::from_waker(&waker);
        // First: a peer that goes on and on must not keep us.
        if self.poll_goodbye(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.socket).poll_next(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write(cx, Sink::poll_ready)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if matches!(message, Message::Close(_)) {
            self.closing = Some(Closing { frame: None, until: Box::pin(sleep(PEERS_CLOSE)) });
        }
        Pin::new(&mut self.socket).start_send(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write(cx, Sink::poll_flush)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write(cx, Sink::poll_close)
    }

    /// Writing ends with an error when the goodbye is due and the peer reads nothing, or has had its time.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut ws::WebSocket>, &mut Context<'_>) -> Poll<Result<(), Error>>,
    ) -> Poll<Result<(), Error>> {
        self.tasks.writer.register(cx.waker());
        let waker = self.tasks.clone().into();
        let cx = &mut Context::from_waker(&waker);
        let over = self.poll_goodbye(cx).is_ready();
        if over || self.closing.as_ref().is_some_and(|closing| closing.frame.is_some()) {
            return Poll::Ready(Err(Error::new(REASON)));
        }
        write(Pin::new(&mut self.socket), cx)
    }

    /// Closes, unless that has begun, and waits for the peer to do so, too.
    async fn close(mut self, code: u16) {
        if self.closing.is_none() {
            self.say(code);
        }
        while let Some(Ok(_)) = poll_fn(|cx| self.poll_next(cx)).await {}
    }
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade").field("upgrade", &self.upgrade).finish_non_exhaustive()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}
