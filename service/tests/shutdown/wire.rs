//! An HTTP/1.1 client that hides nothing: no pool, no retry, and every way for a connection to end told apart.

use std::{
    io::{self, ErrorKind, Read, Write},
    time::Duration,
};

use crate::stream::{Stream, Target};

/// One connection and what was read from it ahead of time.
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    unread: Vec<u8>,
}

/// One complete response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In good order; on TLS that takes a close_notify as well.
    Fin,
    Reset,
    /// On TLS, with no close_notify: anybody on the way could have done that.
    Torn,
    /// It did not end in all the time that a test waits.
    Silence,
}

/// The connection ended before a response was complete.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) end: End,
    pub(crate) received: String,
}

impl Wire {
    pub(crate) fn connect(to: &Target) -> io::Result<Self> {
        to.connect("http/1.1").map(Self::over)
    }

    pub(crate) fn over(stream: Stream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// From now on so long, and not all the time that a test has.
    pub(crate) fn be_patient_for(&mut self, patience: Duration) {
        self.stream.set_read_timeout(patience).expect("the time-out is not zero");
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends a GET and reads its answer.
    pub(crate) fn get(&mut self, path: &str, id: &str) -> Result<Response, Broken> {
        self.send(get(path, id)).map_err(|error| Broken { end: End::of(&error), received: String::new() })?;
        self.response()
    }

    /// Reads one response: whole, or an error that says how the connection ended instead.
    pub(crate) fn response(&mut self) -> Result<Response, Broken> {
        loop {
            if let Some((response, length)) = parse(&self.unread) {
                self.unread.drain(..length);
                return Ok(response);
            }
            self.fill().map_err(|end| Broken { end, received: String::from_utf8_lossy(&self.unread).into_owned() })?;
        }
    }

    /// Reads until `text` has arrived, and keeps it for [`response`](Self::response).
    pub(crate) fn await_text(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.unread).contains(text) {
            self.fill().unwrap_or_else(|end| panic!("{end:?} instead of {text:?}"));
        }
    }

    /// Waits until the peer has sent something, and leaves it in the kernel.
    pub(crate) fn await_bytes(&self) {
        self.stream.peek().expect("the peer sends something");
    }

    /// How the connection ends, which must be without another byte.
    pub(crate) fn end(&mut self) -> End {
        let end = if self.unread.is_empty() { self.fill().err() } else { None };
        end.unwrap_or_else(|| panic!("more bytes: {:?}", String::from_utf8_lossy(&self.unread)))
    }

    /// Asserts an end in good order: announced by the last response, or else by a farewell.
    pub(crate) fn assert_ends_after(&mut self, last: &Response) {
        if !last.closes() {
            self.assert_farewell();
        }
        assert_eq!(self.end(), End::Fin);
    }

    pub(crate) fn assert_farewell(&mut self) {
        let farewell = self.response().expect("the farewell is complete");
        assert_eq!((farewell.status, farewell.closes(), farewell.body.as_str()), (408, true, ""), "{farewell:?}");
    }

    /// On a connection that has not said a word: waits until the drain closes it. That is a whole `IDLE_GRACE` after the
    /// drain began, so by then every other connection knows of it. Before, a request may still slip in, which is allowed.
    pub(crate) fn await_drain_everywhere(&mut self) {
        assert_eq!(self.end(), End::Fin);
    }

    fn fill(&mut self) -> Result<(), End> {
        let mut block = [0; 16 * 1024];
        match self.stream.read(&mut block) {
            Ok(0) => Err(End::Fin),
            Ok(length) => {
                self.unread.extend_from_slice(&block[..length]);
                Ok(())
            }
            Err(error) => Err(End::of(&error)),
        }
    }
}

impl End {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silence,
            ErrorKind::UnexpectedEof => Self::Torn,
            _ => Self::Reset,
        }
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// Asserts the refusal of a draining service, down to the last header.
    pub(crate) fn assert_rejected(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        assert!(self.closes(), "{self:?}");
        let wait = self.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
        assert!(wait.is_some(), "no Retry-After in seconds: {self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
    }
}

/// A GET, ready to be sent.
pub(crate) fn get(path: &str, id: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: service\r\nx-request-id: {id}\r\n\r\n")
}

/// The first response in `bytes` and its length, if it is complete.
fn parse(bytes: &[u8]) -> Option<(Response, usize)> {
    let head_length = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_length]).expect("a response head is ASCII");
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line leads");
    let headers = lines.map(|line| line.split_once(':').expect("a header has a name"));
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_lowercase())).collect();
    let mut response = Response { status, headers, body: String::new() };
    let rest = &bytes[head_length..];
    let (body, length) = if status < 200 || status == 204 {
        (Vec::new(), 0)
    } else if response.header("transfer-encoding") == Some("chunked") {
        dechunk(rest)?
    } else {
        let length = response.header("content-length").expect("no length and no chunks").parse().expect("a number");
        (rest.get(..length)?.to_vec(), length)
    };
    response.body = String::from_utf8(body).expect("every body here is text");
    Some((response, head_length + length))
}

/// A chunked body and its length on the wire, if the terminal chunk is there.
fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        // A read may end behind a chunk, and before the end of its line.
        let line = bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).expect("a chunk size is ASCII");
        let size = usize::from_str_radix(size, 16).expect("a chunk size is hexadecimal");
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        if size == 0 {
            return (at <= bytes.len()).then_some((body, at));
        }
    }
}
