//! HTTP/2 clients that are slow to take their answers.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use h2::client::SendRequest;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use winddown::Phase;

use crate::process::{Held, PATIENCE, Process, eventually, no_lame_duck, serve, with_drain};

const LENGTH: usize = 3 << 20;

fn big() -> (Router, Held) {
    let big = get(async |State(held): State<Held>| {
        held.entered.notify_one();
        held.release.notified().await;
        vec![b'x'; LENGTH]
    });
    let held = Held::default();
    (Router::new().route("/big", big).with_state(held.clone()), held)
}

/// A client with room for so many bytes of an answer.
async fn connect(address: SocketAddr, window: u32) -> SendRequest<bytes::Bytes> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("an open socket can be told so");
    let mut client = h2::client::Builder::new();
    client.initial_window_size(window).initial_connection_window_size(window.max(65_535));
    let slow = Slow { stream, pause: Box::pin(sleep(Duration::ZERO)) };
    let (requests, connection) = client.handshake(slow).await.expect("the server speaks HTTP/2");
    tokio::spawn(connection);
    requests
}

/// A socket that is read 16 KiB at a time, with a pause between: some 1.6 MB a second.
struct Slow {
    stream: TcpStream,
    pause: Pin<Box<Sleep>>,
}

impl AsyncRead for Slow {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.pause.as_mut().poll(cx));
        let mut part = [0; 16 << 10];
        let most = part.len().min(buf.remaining());
        let mut part = ReadBuf::new(&mut part[..most]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        self.pause = Box::pin(sleep(Duration::from_millis(10)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn c23_answer_that_its_client_takes_slowly_is_not_reset() {
    let (stop, (router, held)) = (no_lame_duck(), big());
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let mut client = connect(address, 4 << 20).await;
    let request = http::Request::get("http://test/big").body(()).expect("it is well formed");
    let (response, _) = client.send_request(request, true).expect("the connection is open");
    held.entered.notified().await;
    process.signal();
    process.until(Phase::Drain).await;
    held.release.notify_one();
    let mut body = response.await.expect("an answer").into_body();
    let mut length = 0;
    // For each frame the client says that it has room again, which would meet a closed socket.
    while let Some(data) = tokio::time::timeout(PATIENCE, body.data()).await.expect("in time") {
        let data = data.unwrap_or_else(|error| panic!("{error} after {length} bytes"));
        length += data.len();
        body.flow_control().release_capacity(data.len()).expect("it was taken");
    }
    assert_eq!(length, LENGTH);
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.completed), (0, 1));
}

#[tokio::test]
async fn c12_answer_that_the_deadline_cuts_on_http2_is_counted_and_named() {
    let (stop, (router, held)) = (with_drain(Duration::from_millis(500)), big());
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let mut client = connect(address, 65_535).await;
    let request = http::Request::get("http://test/big").body(()).expect("it is well formed");
    let (response, _) = client.send_request(request, true).expect("the connection is open");
    held.release.notify_one();
    // The client never makes room for more than the first window.
    let _body = response.await.expect("an answer").into_body();
    eventually("a request in flight", async || (process.stop.status().requests_in_flight == 1).then_some(())).await;
    process.signal();
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.cut, report.connections.forced), (10, 1, 1));
    assert_eq!(report.cut_requests[0].path, "/big");
}
