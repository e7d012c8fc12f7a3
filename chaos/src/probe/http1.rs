//! HTTP/1.1 on a bare socket. Nothing is pooled or repeated, and an end, a reset and half an answer are told apart.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::class::Class;

/// A head has no more headers.
const MOST_HEADERS: usize = 100;

/// A head or a line of a chunk is no longer.
const LONGEST_HEAD: usize = 64 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// What came for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A complete answer, and whether it is the connection's last.
    Answer { status: u16, closes: bool },
    /// It has this class without one.
    Nothing(Class),
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    status: u16,
    closes: bool,
    body: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    ToTheEnd,
}

impl Link {
    /// Connects; [`Class::Refused`] where nobody listens.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Class> {
        let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
            // What is reset had been established, and waited to be accepted.
            io::ErrorKind::ConnectionReset => Class::Reset,
            _ => Class::Refused,
        })?;
        stream.set_nodelay(true).map_err(|_| Class::Reset)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Writes `bytes`. Whether that failed is told by what can still be read: an answer may lie before the reset.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads an answer to a GET or a POST to its very end.
    pub(super) async fn answer(&mut self) -> Reply {
        match self.head().await {
            Ok(head) => self.body(head).await,
            Err(class) => Reply::Nothing(class),
        }
    }

    /// Reads the head of an answer, and passes over those that announce it.
    pub(super) async fn head(&mut self) -> Result<Head, Class> {
        loop {
            while let Some((head, length)) = parse(&self.unread)? {
                self.unread.drain(..length);
                if head.status >= 200 {
                    return Ok(head);
                }
            }
            if self.unread.len() > LONGEST_HEAD {
                return Err(Class::Malformed);
            }
            let begun = !self.unread.is_empty();
            self.fill().await.map_err(|class| if begun && class == Class::Eof { Class::CutShort } else { class })?;
        }
    }

    /// Reads the body behind `head`.
    pub(super) async fn body(&mut self, head: Head) -> Reply {
        let Head { status, closes, body } = head;
        let read = match body {
            Framing::Length(length) => self.pass(length).await,
            Framing::Chunked => self.chunks().await,
            Framing::ToTheEnd => self.until_its_end().await,
        };
        match read {
            Ok(()) => Reply::Answer { status, closes },
            Err(Class::Malformed) => Reply::Nothing(Class::Malformed),
            Err(_) => Reply::Nothing(Class::CutShort),
        }
    }

    /// Whether neither a byte nor an end is there to be read.
    pub(super) fn is_silent(&self) -> bool {
        let mut byte = [0];
        self.unread.is_empty()
            && recv(&self.stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) == Err(rustix::io::Errno::AGAIN)
    }

    /// Whether it is silent for so long.
    pub(super) async fn stays_silent(&self, pause: Duration) -> bool {
        let heard = if pause.is_zero() { false } else { timeout(pause, self.heard()).await.is_ok() };
        !heard && self.is_silent()
    }

    /// Ends with the first byte or the end.
    pub(super) async fn heard(&self) {
        let _ = self.stream.peek(&mut [0]).await;
    }

    async fn chunks(&mut self) -> Result<(), Class> {
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.unread) {
                    Ok(httparse::Status::Complete((line, size))) => {
                        self.unread.drain(..line);
                        break size;
                    }
                    Ok(httparse::Status::Partial) if self.unread.len() <= LONGEST_HEAD => self.fill().await?,
                    _ => return Err(Class::Malformed),
                }
            };
            if size == 0 {
                return self.trailers().await;
            }
            self.pass(usize::try_from(size).map_err(|_| Class::Malformed)?).await?;
            self.pass("\r\n".len()).await?;
        }
    }

    /// Lines, up to an empty one.
    async fn trailers(&mut self) -> Result<(), Class> {
        loop {
            match self.unread.windows(2).position(|two| two == b"\r\n") {
                Some(length) => {
                    self.unread.drain(..length + 2);
                    if length == 0 {
                        return Ok(());
                    }
                }
                None if self.unread.len() > LONGEST_HEAD => return Err(Class::Malformed),
                None => self.fill().await?,
            }
        }
    }

    async fn pass(&mut self, mut length: usize) -> Result<(), Class> {
        loop {
            let here = length.min(self.unread.len());
            self.unread.drain(..here);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn until_its_end(&mut self) -> Result<(), Class> {
        loop {
            self.unread.clear();
            match self.fill().await {
                Ok(()) => {}
                Err(Class::Eof) => return Ok(()),
                Err(class) => return Err(class),
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Class> {
        match self.stream.read_buf(&mut self.unread).await {
            Ok(0) => Err(Class::Eof),
            Ok(_) => Ok(()),
            Err(_) => Err(Class::Reset),
        }
    }
}

/// The head at the beginning of `bytes` and its length, once it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Class> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Class::Malformed),
    };
    let values = |name: &'static str| {
        let named = response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.filter_map(|header| str::from_utf8(header.value).ok())
    };
    let says = |name, word: &str| {
        values(name).flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    let status = response.code.unwrap_or_default();
    let body = match values("content-length").next().map(str::parse) {
        _ if status < 200 || status == 204 || status == 304 => Framing::Length(0),
        _ if says("transfer-encoding", "chunked") => Framing::Chunked,
        Some(Ok(length)) => Framing::Length(length),
        Some(Err(_)) => return Err(Class::Malformed),
        None => Framing::ToTheEnd,
    };
    let kept = response.version == Some(1) || says("connection", "keep-alive");
    let closes = says("connection", "close") || !kept || body == Framing::ToTheEnd;
    Ok(Some((Head { status, closes, body }, length)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    /// What a client makes of a server that writes `pieces` and closes.
    async fn reply(pieces: &[&str]) -> Reply {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("somebody connects");
            stream.set_nodelay(true).expect("a socket can be set so");
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.expect("somebody reads");
                tokio::task::yield_now().await;
            }
        };
        let ask = async { Link::open(address).await.expect("it listens").answer().await };
        tokio::join!(serve, ask).1
    }

    #[tokio::test]
    async fn complete_answers_are_read_to_their_end_however_they_are_framed() {
        let kept = Reply::Answer { status: 200, closes: false };
        let last = Reply::Answer { status: 200, closes: true };
        assert_eq!(reply(&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]).await, kept);
        assert_eq!(reply(&["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 5\r\n\r\nhe", "llo"]).await, kept);
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n";
        assert_eq!(reply(&[chunks]).await, kept);
        assert_eq!(reply(&["HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n"]).await, last);
        assert_eq!(reply(&["HTTP/1.0 200 OK\r\n\r\nhello"]).await, last);
        let announced = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(reply(&[announced]).await, Reply::Answer { status: 204, closes: false });
    }

    #[tokio::test]
    async fn what_is_no_complete_answer_has_a_class_of_its_own() {
        let cut = Reply::Nothing(Class::CutShort);
        assert_eq!(reply(&[]).await, Reply::Nothing(Class::Eof));
        assert_eq!(reply(&["HTTP/1.1 20"]).await, cut);
        assert_eq!(reply(&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell"]).await, cut);
        assert_eq!(reply(&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"]).await, cut);
        assert_eq!(reply(&["220 mail.example ESMTP\r\n"]).await, Reply::Nothing(Class::Malformed));
    }

    #[tokio::test]
    async fn a_reset_is_no_end() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let mut link = Link::open(listener.local_addr().expect("it is bound")).await.expect("it listens");
        link.send(b"GET / HTTP/1.1\r\n\r\n").await;
        drop(listener); // with the connection in its queue
        assert_eq!(link.answer().await, Reply::Nothing(Class::Reset));
    }
}
