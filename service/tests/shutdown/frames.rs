//! Just enough HTTP/2 to see what a client library hides: the frames of a goodbye, in their order.

use std::io::{ErrorKind, Read, Write};

use crate::stream::{Stream, Target};

/// The first GOAWAY promises nothing yet: it names the highest stream there can be.
pub(crate) const ANY_STREAM: u32 = 0x7fff_ffff;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const INITIAL_WINDOW_SIZE: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection that speaks in frames.
pub(crate) struct Frames {
    pub(crate) stream: Stream,
    /// Whether a PING is answered, as the protocol demands.
    pub(crate) polite: bool,
}

/// What the server said, as far as a goodbye is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A response began; only a 200 is told apart from the rest.
    Status {
        stream: u32,
        ok: bool,
    },
    /// A response is complete.
    Ended {
        stream: u32,
    },
    /// Nothing above this stream will be processed.
    GoAway {
        last_stream: u32,
        error: u32,
    },
    Ping([u8; 8]),
    /// The connection is over.
    Closed,
}

impl Frames {
    /// Connects and says all that a client says first.
    pub(crate) fn connect(to: &Target) -> Self {
        Self::connect_with(to, &[])
    }

    /// Connects as a client that takes so many bytes of a response before it says more.
    pub(crate) fn connect_with_window(to: &Target, window: u8) -> Self {
        Self::connect_with(to, &[0, INITIAL_WINDOW_SIZE, 0, 0, 0, window])
    }

    fn connect_with(to: &Target, settings: &[u8]) -> Self {
        let mut own = Self::connect_silent(to);
        own.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        own.frame(SETTINGS, 0, 0, settings);
        own
    }

    /// Connects without a word.
    pub(crate) fn connect_silent(to: &Target) -> Self {
        Self { stream: to.connect("h2").expect("the service listens"), polite: true }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).expect("the connection is open");
    }

    /// Sends a GET; every field is a literal of HPACK's static table, so there is no state to keep.
    pub(crate) fn get(&mut self, stream: u32, path: &str, id: &str) {
        let mut block = vec![0x82, 0x86]; // :method GET, :scheme http
        block.extend([0x01, 7]);
        block.extend(b"service"); // :authority
        block.extend([0x04, path.len() as u8]);
        block.extend(path.as_bytes());
        block.extend([0x00, 12]);
        block.extend(b"x-request-id");
        block.push(id.len() as u8);
        block.extend(id.as_bytes());
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
    }

    pub(crate) fn pong(&mut self, opaque: [u8; 8]) {
        self.frame(PING, ACK, 0, &opaque);
    }

    pub(crate) fn open_window(&mut self, stream: u32, by: u8) {
        self.frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, by]);
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.write(&bytes);
    }

    /// Everything that the server still says, up to the end of the connection.
    pub(crate) fn until_closed(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        while all.last() != Some(&Said::Closed) {
            all.extend(self.said());
        }
        all
    }

    /// Reads until the server has said `what`, and returns all up to it.
    pub(crate) fn until(&mut self, what: impl Fn(&Said) -> bool) -> Vec<Said> {
        let mut all = Vec::new();
        while !all.last().is_some_and(&what) {
            assert_ne!(all.last(), Some(&Said::Closed), "the connection ended after {all:?}");
            all.extend(self.said());
        }
        all
    }

    /// What the next frame says, which may be nothing of interest.
    fn said(&mut self) -> Vec<Said> {
        let Some((kind, flags, stream, payload)) = self.next_frame() else { return vec![Said::Closed] };
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes are a word"));
        let mut said = Vec::new();
        match kind {
            SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => {
                let opaque = payload[..8].try_into().expect("a ping carries eight bytes");
                said.push(Said::Ping(opaque));
                if self.polite {
                    self.pong(opaque);
                }
            }
            GOAWAY => said.push(Said::GoAway { last_stream: word(0), error: word(4) }),
            // 0x88 is ":status: 200" in the static table.
            HEADERS => said.push(Said::Status { stream, ok: payload[0] == 0x88 }),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            said.push(Said::Ended { stream });
        }
        said
    }

    fn next_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        // An end between two frames is one in good order; on TLS only with a close_notify.
        match self.stream.read(&mut head[..1]) {
            Ok(0) => return None,
            Ok(_) => self.stream.read_exact(&mut head[1..]).expect("a frame that began is complete"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no frame and no end of the connection: {error}"),
        }
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes are a word"));
        let mut payload = vec![0; (word(0) >> 8) as usize]; // a length of three bytes, then the kind
        self.stream.read_exact(&mut payload).expect("a frame that began is complete");
        Some((head[3], head[4], word(5) & 0x7fff_ffff, payload))
    }
}

/// The last streams that the GOAWAYs named, each of which must come without an error and none above the one before.
pub(crate) fn goodbyes(said: &[Said]) -> Vec<u32> {
    let named = said.iter().filter_map(|said| match said {
        Said::GoAway { last_stream, error } => {
            assert_eq!(*error, 0, "a goodbye is no error");
            Some(*last_stream)
        }
        _ => None,
    });
    let named: Vec<u32> = named.collect();
    assert!(named.is_sorted_by(|one, next| one >= next), "a GOAWAY took back a promise: {named:?}");
    named
}
