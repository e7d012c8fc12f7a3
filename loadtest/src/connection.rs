//! One raw connection of one user.
//!
//! No pool and no retry stand between a request and its fate: a connection is dialled for a request that is already in
//! the ledger, and what the connection does to that request is what the ledger says.

mod http2;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    config::Host,
    ledger::{Event, LedgerWriter, Protocol},
    upload::Upload,
    verdict::{Failure, Reply, Verdict},
};

pub(crate) use http2::H2;

/// Longer than any answer that is asked for.
const LONGEST_BODY: usize = 64 << 20;

/// A connection, from its number in the ledger on.
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) protocol: Protocol,
    /// Requests that it was meant to carry.
    pub(crate) requests: u64,
    /// It has carried a whole response.
    pub(crate) reused: bool,
    link: Option<Link>,
}

enum Link {
    H1(Box<H1>),
    H2(H2),
}

/// HTTP/1 is driven by the very task that waits for the response: no wake-up of a second task for each request.
pub(crate) struct H1 {
    sender: http1::SendRequest<Upload>,
    /// `None` once the connection has ended.
    driver: Option<http1::Connection<TokioIo<TcpStream>, Upload>>,
}

impl Connection {
    /// A connection that is dialled when it is first needed.
    pub(crate) fn new(number: u64, protocol: Protocol) -> Self {
        Self { number, protocol, requests: 0, reused: false, link: None }
    }

    /// Dials unless that has happened, and makes sure that the connection takes another request.
    pub(crate) async fn open(&mut self, host: &Host, ledger: &LedgerWriter) -> Result<(), Verdict> {
        if self.link.is_none() {
            self.link = Some(self.dial(host, ledger).await?);
        }
        let ready = match self.link.as_mut().expect("just dialled") {
            Link::H1(h1) => drive(&mut h1.driver, h1.sender.ready()).await.is_ok(),
            Link::H2(h2) => h2.ready().await.is_ok(),
        };
        if ready { Ok(()) } else { Err(Verdict::UNSENT) }
    }

    /// Whether dialling it has worked, whatever became of it since.
    pub(crate) fn is_dialled(&self) -> bool {
        self.link.is_some()
    }

    async fn dial(&self, host: &Host, ledger: &LedgerWriter) -> Result<Link, Verdict> {
        let stream = TcpStream::connect(host.address()).await.map_err(|error| Verdict::of_connect(&error));
        if stream.as_ref().err().is_none_or(Verdict::is_reset_connect) {
            ledger.write(Event::Connected { connection: self.number, protocol: self.protocol });
        }
        let stream = stream?;
        stream.set_nodelay(true).map_err(|error| Verdict::of_connect(&error))?;
        let failed = |error| Verdict::of_failure(&error);
        match self.protocol {
            Protocol::H1 => {
                let handshake = http1::handshake(TokioIo::new(stream)).await;
                let (sender, driver) = handshake.map_err(|error| failed(error.into()))?;
                Ok(Link::H1(Box::new(H1 { sender, driver: Some(driver) })))
            }
            Protocol::H2 => H2::handshake(stream).await.map(Link::H2).map_err(|error| failed(error.into())),
        }
    }

    /// The one HTTP/1 exchange that can be under way, if this is HTTP/1.
    pub(crate) fn as_h1(&mut self) -> Option<&mut H1> {
        match &mut self.link {
            Some(Link::H1(h1)) => Some(h1),
            _ => None,
        }
    }

    /// What opens HTTP/2 streams, any number at once, if this is HTTP/2.
    pub(crate) fn as_h2(&self) -> Option<&H2> {
        match &self.link {
            Some(Link::H2(h2)) => Some(h2),
            _ => None,
        }
    }
}

impl H1 {
    /// Sends `request` and reads the response to its very end.
    pub(crate) async fn exchange(&mut self, request: Request<Upload>) -> Reply {
        let Self { sender, driver } = self;
        let exchange = async {
            match sender.try_send_request(request).await {
                Ok(response) => read(response).await,
                Err(mut error) => match error.take_message() {
                    Some(_) => Reply::Unsent,
                    None => Reply::Nothing(error.into_error().into()),
                },
            }
        };
        drive(driver, exchange).await
    }
}

#[cfg(test)]
impl H1 {
    /// Waits until the connection has been seen to end.
    pub(crate) async fn ended(&mut self) {
        if let Some(driver) = self.driver.take() {
            // Its error is a way of ending too.
            let _ = driver.await;
        }
    }
}

/// Polls `future` to its end, and the connection that it waits for with it.
async fn drive<F: Future>(driver: &mut Option<http1::Connection<TokioIo<TcpStream>, Upload>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // The connection first, or a request would be written to one whose end has already been reported. A second
        // round, because what the future did is the connection's to send, and that costs no wake-up.
        for _ in 0..2 {
            if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
                *driver = None;
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

/// Reads the body of `response` to its very end.
async fn read<B>(response: Response<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
    Failure: From<B::Error>,
{
    let (parts, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) if body.len() + data.len() > LONGEST_BODY => return Reply::Overlong(parts),
            Ok(Ok(data)) => body.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(error) => return Reply::Response(parts, Err(error.into())),
        }
    }
    Reply::Response(parts, Ok(body))
}
