//! The client of HTTP/2 by prior knowledge. It is h2 itself: what it says of a stream, it says of that stream.

use std::{future::poll_fn, net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::{net::TcpStream, time::timeout};

use super::{class::Class, clients::Client};

/// A server that speaks HTTP/2 has answered by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Whether the server answers HTTP/2 by prior knowledge.
pub(super) async fn is_spoken(address: SocketAddr, path: &str) -> bool {
    let ask = async { exchange(&mut connect(address).await.ok()?, address, path).await.ok() };
    timeout(ANSWERS_WITHIN, ask).await.is_ok_and(|status| status.is_some())
}

impl Client {
    /// Opens stream upon stream, and a new connection when the server wants no more on the old one.
    pub(super) async fn h2(mut self) -> Class {
        let (address, path) = (self.target.address, self.target.path.clone());
        let mut seen = Class::Refused;
        while !self.is_over() {
            let mut connection = match connect(address).await {
                Ok(connection) => connection,
                Err(class) => return seen.max(class),
            };
            while !self.is_over() {
                let class = match exchange(&mut connection, address, &path).await {
                    Ok(status) => Class::of_status(status, self.target.usual),
                    Err(Failure::Unsent) => break,
                    Err(Failure::Sent(class)) => class,
                };
                seen = seen.max(class);
                match class {
                    _ if seen.is_dropped() => return seen,
                    Class::Unprocessed => break,
                    _ => self.is_served(),
                }
            }
        }
        seen
    }
}

#[derive(Debug)]
enum Failure {
    /// Not one byte was written.
    Unsent,
    /// The request was written, and came to this.
    Sent(Class),
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, Class> {
    let stream = TcpStream::connect(address).await.map_err(|_| Class::Refused)?;
    stream.set_nodelay(true).map_err(|_| Class::Refused)?;
    // Before the first request nothing has been asked, and nothing can be lost.
    let (sender, connection) = Builder::new().enable_push(false).handshake(stream).await.map_err(|_| Class::Refused)?;
    // Its error reaches every stream that it carries; it ends with the last sender.
    tokio::spawn(connection);
    Ok(sender)
}

/// The status of a complete answer.
async fn exchange(connection: &mut SendRequest<Bytes>, address: SocketAddr, path: &str) -> Result<u16, Failure> {
    poll_fn(|cx| connection.poll_ready(cx)).await.map_err(|_| Failure::Unsent)?;
    let request = Request::get(format!("http://{address}{path}")).body(()).map_err(|_| Failure::Unsent)?;
    let (response, _) = connection.send_request(request, true).map_err(|_| Failure::Unsent)?;
    let response = response.await.map_err(|error| Failure::Sent(class(&error)))?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| Failure::Sent(Class::CutShort))?;
        let released = body.flow_control().release_capacity(data.len());
        released.map_err(|_| Failure::Sent(Class::CutShort))?;
    }
    Ok(status)
}

/// Of a stream without an answer. h2 gives a GOAWAY to the streams above its last-stream-id, and to no other.
fn class(error: &h2::Error) -> Class {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if error.is_remote() && (refused || error.is_go_away()) {
        return Class::Unprocessed;
    }
    match error.get_io() {
        Some(io) if io.kind() == std::io::ErrorKind::ConnectionReset => Class::Reset,
        _ if error.is_reset() => Class::Reset,
        _ => Class::Eof,
    }
}
