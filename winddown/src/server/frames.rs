//! Has an HTTP/2 peer answered the PING of our goodbye? h2 knows and does not tell, and a connection that waits for the peer to
//! make room must not be taken for one that waits for a deaf peer.

/// What the client says first (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// Length, type, flags, stream (RFC 9113 §4.1).
const HEADER: usize = 9;

const PING: u8 = 6;
const ACK: u8 = 1;

/// Follows the frames of a client from one header to the next.
#[derive(Debug)]
pub(super) struct Frames {
    /// So many bytes are of no interest.
    skip: usize,
    header: [u8; HEADER],
    /// So many bytes of the header are there.
    known: usize,
    pongs: u32,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], known: 0, pongs: 0 }
    }
}

impl Frames {
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let part = (HEADER - self.known).min(bytes.len());
            self.header[self.known..self.known + part].copy_from_slice(&bytes[..part]);
            self.known += part;
            bytes = &bytes[part..];
            if self.known == HEADER {
                let [high, middle, low, kind, flags, ..] = self.header;
                self.pongs += u32::from(kind == PING && flags & ACK != 0);
                self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.known = 0;
            }
        }
    }

    /// How many PINGs were answered.
    pub(super) fn pongs(&self) -> u32 {
        self.pongs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 0]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn answers_are_told_from_questions_and_from_data_that_looks_like_them() {
        let pong = frame(PING, ACK, b"pingpong");
        let all = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, &[]),
            frame(PING, 0, b"question"),
            frame(0, 0, &[&pong[..], &pong].concat()),
            pong.clone(),
            frame(8, ACK, &[0; 4]),
            pong,
        ]
        .concat();
        for step in 1..all.len() {
            let mut frames = Frames::default();
            for piece in all.chunks(step) {
                frames.read(piece);
            }
            assert_eq!(frames.pongs(), 2, "in steps of {step}");
        }
    }
}
