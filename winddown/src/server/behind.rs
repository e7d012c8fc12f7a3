//! Is there something behind a request that has a body? Answered by offsets, and by what hyper tells of the body.
//!
//! hyper keeps to itself what it has read ahead. An answer that says `Connection: close` ends whatever was read behind its
//! request, so it must not be said while something may be there. Behind a body of known length that is arithmetic; behind a
//! chunked one the last chunk is looked for, which data may imitate. Where it is not certain, the answer is yes: `close` is
//! not said, and the connection ends by a farewell instead, once it rests and has shown that it is empty.
//!
//! Requests without bodies are counted by [`super::wire`]; here they have nothing behind them.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// The end of a chunked body without trailers (RFC 9112 §7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Prepared once: preparing takes longer than a search.
static LAST_CHUNKS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(LAST_CHUNK));

/// Offsets count from the beginning of the present message.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// So many bytes were read.
    read: u64,
    /// The head ends here.
    head: Option<u64>,
    /// What hyper says of the body, when it has parsed the head.
    body: Option<Body>,
    /// What looks like a last chunk, behind the head.
    last_chunks: usize,
    /// The last bytes read.
    tail: [u8; LAST_CHUNK.len()],
    /// A message began in the middle of what was read, nobody knows where.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Of(u64),
    Chunked,
}

impl Behind {
    /// `bytes` are on their way to hyper; the first head in them ends at `head`. `over` says that the message before is over,
    /// as far as others can tell.
    pub(super) fn read(&mut self, bytes: &[u8], head: Option<usize>, over: bool) {
        match self.body {
            Some(body) if over && (body == Body::Of(0) || self.is_at_the_end()) => *self = Self::default(),
            Some(_) => self.lost |= self.may_be(),
            None => {}
        }
        // The end of what is behind a head that ends here, or of anything.
        let least = if self.head.is_some() { 0 } else { head.map_or(usize::MAX, |end| end + LAST_CHUNK.len()) };
        if least <= bytes.len() && !matches!(self.body, Some(Body::Of(_))) {
            each_end(&self.tail, bytes, &LAST_CHUNKS, |end| self.last_chunks += usize::from(end >= least));
        }
        self.head = self.head.or(head.map(|end| self.read + end as u64));
        self.read += bytes.len() as u64;
        keep_tail(&mut self.tail, bytes);
    }

    /// hyper has parsed a head; `length` is that of its body, `None` for a chunked one.
    pub(super) fn request(&mut self, length: Option<u64>) {
        let pipelined = self.body.is_some_and(|body| body != Body::Of(0) || length != Some(0));
        self.lost |= pipelined || self.head.is_none();
        self.body = Some(length.map_or(Body::Chunked, Body::Of));
    }

    /// Whether something may be behind the present request.
    pub(super) fn may_be(&self) -> bool {
        let (head, ended) = (self.head.unwrap_or(0), self.is_at_the_end());
        self.lost
            || match self.body {
                None | Some(Body::Of(0)) => false,
                Some(Body::Of(length)) => self.read > head + length,
                Some(Body::Chunked) => self.last_chunks > 0 && !ended,
            }
    }

    fn is_at_the_end(&self) -> bool {
        !self.lost
            && match self.body {
                None => false,
                Some(Body::Of(length)) => self.head.is_some_and(|head| self.read == head + length),
                Some(Body::Chunked) => self.last_chunks == 1 && self.tail == LAST_CHUNK,
            }
    }
}

/// Tells where in `bytes` each occurrence of what is looked for ends, also of one that began in the `tail` before them. A loop,
/// because every read passes here, and chained iterators are moved about more than they search.
pub(super) fn each_end(tail: &[u8], bytes: &[u8], finder: &Finder<'_>, mut found: impl FnMut(usize)) {
    let pattern = finder.needle();
    // Most of what is read begins with a letter, which is in no pattern.
    if bytes.first().is_some_and(|first| pattern.contains(first)) {
        let before = pattern.len() - 1;
        let behind = before.min(bytes.len());
        let mut seam = [0; 2 * LAST_CHUNK.len()];
        seam[..before].copy_from_slice(&tail[tail.len() - before..]);
        seam[before..before + behind].copy_from_slice(&bytes[..behind]);
        if let Some(at) = finder.find(&seam[..before + behind]) {
            found(at + pattern.len() - before);
        }
    }
    let mut from = 0;
    while from + pattern.len() <= bytes.len()
        && let Some(at) = finder.find(&bytes[from..])
    {
        from += at + pattern.len();
        found(from);
    }
}

/// `tail` keeps the last bytes of everything read.
pub(super) fn keep_tail<const N: usize>(tail: &mut [u8; N], bytes: &[u8]) {
    if let Some(last) = bytes.last_chunk() {
        *tail = *last;
    } else {
        tail.copy_within(bytes.len().., 0);
        tail[N - bytes.len()..].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const SIZED: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nsized";
    const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, X: 10\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

    fn head(bytes: &[u8]) -> Option<usize> {
        memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
    }

    /// One read, and the request that hyper parses from it.
    fn begin(bytes: &[u8], length: Option<u64>) -> Behind {
        let mut behind = Behind::default();
        behind.read(bytes, head(bytes), true);
        behind.request(length);
        behind
    }

    #[test]
    fn nothing_is_behind_a_message_that_came_alone() {
        for (bytes, length) in [(GET, Some(0)), (SIZED, Some(5)), (CHUNKED, None)] {
            let mut behind = begin(bytes, length);
            for _ in 0..3 {
                assert!(!behind.may_be(), "{}", String::from_utf8_lossy(bytes));
                behind.read(bytes, head(bytes), true);
                behind.request(length);
            }
        }
    }

    #[test]
    fn nothing_is_behind_a_body_that_is_still_to_come() {
        for (bytes, length) in [(SIZED, Some(5)), (CHUNKED, None)] {
            for cut in head(bytes).expect("it has a head")..bytes.len() {
                let mut behind = begin(&bytes[..cut], length);
                assert!(!behind.may_be(), "cut at {cut}");
                behind.read(&bytes[cut..], None, false);
                assert!(!behind.may_be(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn whatever_is_read_behind_a_body_may_be_a_request() {
        for (bytes, length) in [(SIZED, Some(5)), (CHUNKED, None)] {
            for next in [GET, SIZED, CHUNKED, b"G"] {
                assert!(begin(&[bytes, next].concat(), length).may_be());
                let mut behind = begin(bytes, length);
                behind.read(next, head(next), false);
                assert!(behind.may_be(), "while the body is held");
            }
        }
    }

    #[test]
    fn a_message_that_began_behind_a_body_is_lost_until_the_connection_rests() {
        let mut behind = begin(&[SIZED, SIZED].concat(), Some(5));
        behind.request(Some(5));
        assert!(behind.may_be());
        let mut behind = begin(&[GET, SIZED].concat(), Some(0));
        behind.request(Some(5));
        assert!(behind.may_be());
    }

    #[test]
    fn requests_without_bodies_are_counted_elsewhere() {
        let mut behind = begin(&GET.repeat(3), Some(0));
        behind.request(Some(0));
        behind.request(Some(0));
        assert!(!behind.may_be());
        behind.read(SIZED, head(SIZED), true);
        behind.request(Some(5));
        assert!(!behind.may_be(), "a new beginning");
    }

    #[test]
    fn an_end_is_found_wherever_it_is_cut() {
        static BLANK_LINES: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

        let text = b"abc\r\n\r\ndef\r\n\r\n";
        for cut in 0..text.len() {
            let (mut tail, mut found) = ([0; 5], Vec::new());
            for (offset, piece) in [(0, &text[..cut]), (cut, &text[cut..])] {
                each_end(&tail, piece, &BLANK_LINES, |end| found.push(offset + end));
                keep_tail(&mut tail, piece);
            }
            assert_eq!(found, [7, 14], "cut at {cut}");
        }
    }
}
