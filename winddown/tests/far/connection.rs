//! One connection of a client, in whatever namespace the calling thread is in.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::PATIENCE;

pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    used: bool,
}

/// One complete response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Connection {
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new(), used: false })
    }

    /// Whether it has carried a response.
    pub(crate) fn is_used(&self) -> bool {
        self.used
    }

    /// Whether the peer has neither said anything nor closed it.
    pub(crate) fn is_silent(&self) -> bool {
        self.stream.set_nonblocking(true).expect("an open socket has flags");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("an open socket has flags");
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(crate) fn send(&mut self, id: &str) -> io::Result<()> {
        self.stream.write_all(format!("GET /{id} HTTP/1.1\r\nHost: far\r\n\r\n").as_bytes())
    }

    /// Reads one response: whole, or else what came, and how the connection ended.
    pub(crate) fn response(&mut self) -> Result<Response, String> {
        let mut block = [0; 4096];
        loop {
            if let Some((response, length)) = parse(&self.received) {
                self.received.drain(..length);
                self.used = true;
                return Ok(response);
            }
            let end = match self.stream.read(&mut block) {
                Ok(0) => "FIN".to_owned(),
                Ok(length) => {
                    self.received.extend_from_slice(&block[..length]);
                    continue;
                }
                Err(error) => error.to_string(),
            };
            return Err(format!("{:?}, then {end}", String::from_utf8_lossy(&self.received)));
        }
    }
}

impl Response {
    pub(crate) fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

/// The first response in `bytes` and its length, if it is complete.
fn parse(bytes: &[u8]) -> Option<(Response, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8(bytes[..head].into()).expect("a response head is ASCII").to_lowercase();
    let (_, length) = text.split_once("\r\ncontent-length: ").expect("every response here has a length");
    let length: usize = length.lines().next().and_then(|length| length.parse().ok()).expect("a number");
    let body = bytes[head..].get(..length)?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line leads");
    let body = String::from_utf8(body.into()).expect("every body here is text");
    Some((Response { status, head: text, body }, head + length))
}
