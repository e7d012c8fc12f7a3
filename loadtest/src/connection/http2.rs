//! HTTP/2 by h2 itself: what it says of a stream, it says of that stream.
//!
//! hyper asks the connection once more after it has opened a stream, and passes off a GOAWAY that has come in between
//! as the stream's own end, though the stream was sent and may be served. h2 gives a stream the peer's GOAWAY only if
//! the stream lies above its last-stream-id; one that does not, and then loses its connection, ends in an I/O error.

use std::{
    future::{pending, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{Request, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::net::TcpStream;

use super::read;
use crate::{upload::Upload, verdict::Reply};

/// Wide enough, both of them, that the client is never what a response waits for: h2 also measures by the second how
/// many small frames it may hold.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;

/// HTTP/2 is driven by a task of its own: several requests wait for it at once.
pub(crate) struct H2(SendRequest<Bytes>);

impl H2 {
    pub(super) async fn handshake(stream: TcpStream) -> Result<Self, h2::Error> {
        let mut settings = Builder::new();
        settings.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = settings.enable_push(false).handshake(stream).await?;
        // Its error reaches every request that it carries; it ends with the last sender.
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Makes sure that streams can be opened: that no GOAWAY has arrived and no end.
    pub(super) async fn ready(&mut self) -> Result<(), h2::Error> {
        poll_fn(|cx| self.0.poll_ready(cx)).await
    }

    /// Sends `request` on a stream of its own and reads the response to its very end.
    pub(crate) async fn exchange(&self, request: Request<Upload>) -> Reply {
        let (mut head, upload) = request.into_parts();
        let ends = upload.is_end_stream();
        if !ends && let Some(length) = upload.size_hint().exact() {
            head.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        // Either there is a stream from here on, or not one byte is written.
        let opened = self.0.clone().send_request(Request::from_parts(head, ()), ends);
        let Ok((response, stream)) = opened else { return Reply::Unsent };
        tokio::select! {
            biased;
            // It need not wait for the upload. What is left of that is dropped, which resets the stream.
            reply = receive(response) => reply,
            reply = async { send(stream, upload).await; pending().await } => reply,
        }
    }
}

/// Sends `upload` as the windows allow, to its end or to the stream's: of that the response tells.
async fn send(mut stream: SendStream<Bytes>, mut upload: Upload) {
    while let Some(Ok(frame)) = upload.frame().await {
        let mut data = frame.into_data().unwrap_or_default();
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            while stream.capacity() == 0 {
                let Some(Ok(_)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
            }
            let part = data.split_to(stream.capacity().min(data.len()));
            if stream.send_data(part, data.is_empty() && upload.is_end_stream()).is_err() {
                return;
            }
        }
    }
}

async fn receive(response: ResponseFuture) -> Reply {
    match response.await {
        Ok(response) => read(response.map(Incoming)).await,
        Err(error) => Reply::Nothing(error.into()),
    }
}

/// The body of a response; its window opens again with every frame that is taken.
struct Incoming(RecvStream);

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let data = ready!(self.0.poll_data(cx)).transpose()?;
        if let Some(data) = &data {
            self.0.flow_control().release_capacity(data.len())?;
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }
}
