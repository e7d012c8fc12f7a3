//! What users ask for, and what a right answer to it is.

use std::cmp::Ordering;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header, uri::PathAndQuery};
use sha2::{Digest, Sha256};

use crate::{
    config::Config,
    ledger::{Kind, Protocol},
    upload::Upload,
};

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// The header that makes an order one order, however often it is sent; our ids do not repeat, so they are the keys.
const IDEMPOTENCY_KEY: http::HeaderName = http::HeaderName::from_static("idempotency-key");

/// Everything about requests that does not change from one to the next.
#[derive(Debug)]
pub(crate) struct Catalogue {
    host: HeaderValue,
    authority: http::uri::Authority,
    config: Config,
    fast: PathAndQuery,
    stream: PathAndQuery,
    upload: PathAndQuery,
    orders: PathAndQuery,
    get: PathAndQuery,
    events: PathAndQuery,
    panic: PathAndQuery,
    panic_body: PathAndQuery,
    never: PathAndQuery,
    streamed: Bytes,
    payload: Bytes,
    digest: String,
}

/// One thing to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) kind: Kind,
    /// How long a slow one or a block shall take.
    slow_ms: u64,
    /// What an order is for.
    order: Order,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
struct Order {
    item: &'static str,
    quantity: u64,
}

const ITEMS: [&str; 4] = ["tea", "coffee", "cocoa", "water"];
const MOST: u64 = 9;

/// Deterministic choices: SplitMix64, because a user needs no better and two lines cannot change under a seed.
#[derive(Clone, Debug)]
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn new(seed: u64, user: u64) -> Self {
        let mut choices = Self(seed ^ user.wrapping_mul(0xd6e8_feb8_6659_fd93));
        choices.next();
        choices
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

impl Catalogue {
    pub(crate) fn new(config: &Config) -> Self {
        let shape = config.stream;
        let mut choices = Choices::new(config.seed, u64::MAX);
        let payload: Vec<u8> = (0..config.upload_bytes).map(|_| choices.next() as u8).collect();
        Self {
            host: HeaderValue::from_str(config.host.authority.as_str()).expect("an authority is visible ASCII"),
            authority: config.host.authority.clone(),
            fast: known("/hello"),
            stream: known(&format!("/stream?chunks={}&every_ms={}", shape.chunks, shape.every.as_millis())),
            upload: known("/echo"),
            orders: known("/orders"),
            get: config.path.parse().expect("the configuration has parsed it as a URI"),
            events: known(&format!("/events?every_ms={}", shape.every.as_millis())),
            panic: known("/fault/panic"),
            panic_body: known("/fault/panic-body"),
            never: known("/fault/never"),
            streamed: (0..shape.chunks).flat_map(|i| format!("chunk {i}\n").into_bytes()).collect(),
            digest: hex(&Sha256::digest(&payload)),
            payload: payload.into(),
            config: config.clone(),
        }
    }

    /// The next question of this kind that `choices` come to.
    pub(crate) fn question(&self, kind: Kind, choices: &mut Choices) -> Question {
        let range = &self.config.slow_ms.0;
        let mut question = Question { kind, slow_ms: 0, order: Order { item: ITEMS[0], quantity: 1 } };
        match kind {
            Kind::Slow | Kind::Block => {
                question.slow_ms = range.start() + choices.next() % (range.end() - range.start()).saturating_add(1);
            }
            Kind::Order => {
                let item = ITEMS[choices.next() as usize % ITEMS.len()];
                question.order = Order { item, quantity: 1 + choices.next() % MOST };
            }
            _ => {}
        }
        question
    }

    /// The request that puts `question`; `close` says that its connection will carry no other.
    pub(crate) fn request(&self, question: Question, protocol: Protocol, close: bool, id: &str) -> Request<Upload> {
        let path = match question.kind {
            Kind::Fast => self.fast.clone(),
            Kind::Stream => self.stream.clone(),
            Kind::Upload => self.upload.clone(),
            Kind::Order => self.orders.clone(),
            Kind::Get => self.get.clone(),
            Kind::Events => self.events.clone(),
            Kind::Panic => self.panic.clone(),
            Kind::PanicBody => self.panic_body.clone(),
            Kind::Never => self.never.clone(),
            Kind::Slow => known(&format!("/work/{}", question.slow_ms)),
            Kind::Block => known(&format!("/fault/block/{}", question.slow_ms)),
        };
        let body = match question.kind {
            Kind::Upload => Upload::new(self.payload.clone(), self.config.upload_pause),
            Kind::Order => {
                let order = serde_json::to_vec(&question.order).expect("a word and a number are JSON");
                Upload::at_once(order.into())
            }
            _ => Upload::default(),
        };
        let mut request = Request::new(body);
        if matches!(question.kind, Kind::Upload | Kind::Order) {
            *request.method_mut() = Method::POST;
        }
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(path);
        if protocol == Protocol::H2 {
            *request.version_mut() = http::Version::HTTP_2;
            uri.scheme = Some(http::uri::Scheme::HTTP);
            uri.authority = Some(self.authority.clone());
        }
        *request.uri_mut() = Uri::from_parts(uri).expect("scheme and authority come together");
        let headers = request.headers_mut();
        if protocol == Protocol::H1 {
            headers.insert(header::HOST, self.host.clone());
            if close {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        let id = HeaderValue::from_str(id).expect("a run id is made of letters that fit");
        if question.kind == Kind::Order {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(IDEMPOTENCY_KEY, id.clone());
        }
        headers.insert(REQUEST_ID, id);
        request
    }

    /// What is wrong with `body` as the whole answer to `question`, which was put under `id`, in one word.
    pub(crate) fn flaw(&self, question: Question, id: &str, body: &[u8]) -> Option<&'static str> {
        match question.kind {
            Kind::Fast => differs(b"hello", body),
            Kind::Slow => differs(format!("worked {} ms", question.slow_ms).as_bytes(), body),
            Kind::Stream => differs(&self.streamed, body),
            Kind::Upload => match serde_json::from_slice::<Receipt<'_>>(body) {
                Err(_) => Some("receipt"),
                Ok(receipt) if receipt.length != self.payload.len() as u64 => Some("length"),
                Ok(receipt) if receipt.sha256 != self.digest => Some("digest"),
                Ok(_) => None,
            },
            Kind::Order => match serde_json::from_slice::<Placed<'_>>(body) {
                Err(_) => Some("order"),
                Ok(placed) if placed.key != id => Some("key"),
                Ok(placed) if placed.item != question.order.item => Some("item"),
                Ok(placed) if placed.quantity != question.order.quantity => Some("quantity"),
                Ok(_) => None,
            },
            Kind::Block => differs(format!("blocked a worker for {} ms\n", question.slow_ms).as_bytes(), body),
            // Whoever breaks off when it is told to has no end of its own, and what never ends has none.
            Kind::PanicBody | Kind::Never => Some("clean_end"),
            Kind::Get | Kind::Events | Kind::Panic => None,
        }
    }
}

fn known(text: &str) -> PathAndQuery {
    text.parse().expect("a path of plain letters and digits")
}

/// What the server says it received.
#[derive(serde::Deserialize)]
struct Receipt<'a> {
    length: u64,
    sha256: &'a str,
}

/// The order that the server says it has.
#[derive(serde::Deserialize)]
struct Placed<'a> {
    key: &'a str,
    item: &'a str,
    quantity: u64,
}

fn differs(expected: &[u8], body: &[u8]) -> Option<&'static str> {
    match body.len().cmp(&expected.len()) {
        Ordering::Less => Some("short_body"),
        Ordering::Greater => Some("long_body"),
        Ordering::Equal => (body != expected).then_some("corrupt_body"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn catalogue(flags: &[&str]) -> Catalogue {
        let flags = ["loadtest", "--ledger", "l"].iter().chain(flags);
        Catalogue::new(&Config::try_parse_from(flags).expect("the flags fit"))
    }

    #[test]
    fn the_same_seed_asks_for_the_same_things() {
        let catalogue = catalogue(&[]);
        let ask = |kind, seed| {
            let mut choices = Choices::new(seed, 7);
            let questions = std::iter::repeat_with(|| catalogue.question(kind, &mut choices));
            questions.map(|Question { slow_ms, order, .. }| (slow_ms, order)).take(100).collect::<Vec<_>>()
        };
        for kind in [Kind::Slow, Kind::Order] {
            assert_eq!(ask(kind, 1), ask(kind, 1));
            assert_ne!(ask(kind, 1), ask(kind, 2));
        }
        assert!(ask(Kind::Slow, 1).iter().all(|(ms, _)| (100..=400).contains(ms)));
        assert!(ask(Kind::Order, 1).iter().all(|(_, order)| (1..=MOST).contains(&order.quantity)));
    }

    #[tokio::test]
    async fn an_order_is_posted_as_json_under_the_requests_own_id() {
        use http_body_util::BodyExt;

        let order = Order { item: "tea", quantity: 2 };
        let question = Question { kind: Kind::Order, slow_ms: 0, order };
        let request = catalogue(&[]).request(question, Protocol::H1, false, "t-0-1");
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/orders"));
        for (name, value) in
            [("idempotency-key", "t-0-1"), ("x-request-id", "t-0-1"), ("content-type", "application/json")]
        {
            assert_eq!(request.headers().get(name).expect("it is there"), value, "{name}");
        }
        let body = request.into_body().collect().await.expect("an upload does not fail").to_bytes();
        assert_eq!(body, r#"{"item":"tea","quantity":2}"#);
    }

    #[test]
    fn a_flaw_of_a_body_has_its_own_word() {
        let catalogue = catalogue(&["--stream", "2x1ms", "--upload-bytes", "100"]);
        let question = |kind| Question { kind, slow_ms: 150, order: Order { item: "tea", quantity: 2 } };
        let placed = |key: &str, item: &str, quantity: u32| {
            format!(r#"{{"id":"7","key":"{key}","item":"{item}","quantity":{quantity},"status":"accepted"}}"#)
                .into_bytes()
        };
        let receipt = |length: u32, digest: &str| format!(r#"{{"length":{length},"sha256":"{digest}"}}"#).into_bytes();
        for (kind, body, flaw) in [
            (Kind::Fast, b"hello".to_vec(), None),
            (Kind::Fast, b"hell".to_vec(), Some("short_body")),
            (Kind::Fast, b"jello".to_vec(), Some("corrupt_body")),
            (Kind::Slow, b"worked 150 ms".to_vec(), None),
            (Kind::Stream, b"chunk 0\nchunk 1\n".to_vec(), None),
            (Kind::Stream, b"chunk 0\n".to_vec(), Some("short_body")),
            (Kind::Stream, b"chunk 0\nchunk 1\nchunk 2\n".to_vec(), Some("long_body")),
            (Kind::Upload, receipt(100, &catalogue.digest), None),
            (Kind::Upload, receipt(99, &catalogue.digest), Some("length")),
            (Kind::Upload, receipt(100, "00"), Some("digest")),
            (Kind::Upload, b"{".to_vec(), Some("receipt")),
            (Kind::Block, b"blocked a worker for 150 ms\n".to_vec(), None),
            (Kind::Block, b"blocked".to_vec(), Some("short_body")),
            (Kind::PanicBody, b"the first chunk\n".to_vec(), Some("clean_end")),
            (Kind::Order, placed("t-0-1", "tea", 2), None),
            (Kind::Order, placed("t-0-2", "tea", 2), Some("key")),
            (Kind::Order, placed("t-0-1", "water", 2), Some("item")),
            (Kind::Order, placed("t-0-1", "tea", 3), Some("quantity")),
            (Kind::Order, b"{}".to_vec(), Some("order")),
        ] {
            assert_eq!(
                catalogue.flaw(question(kind), "t-0-1", &body),
                flaw,
                "{kind} {:?}",
                String::from_utf8_lossy(&body)
            );
        }
    }
}
