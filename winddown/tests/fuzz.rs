//! Any bytes, in any pieces, on many connections at once, in peace and with a stop in the middle of it: nothing panics,
//! and every connection ends.
//!
//! `PROPTEST_CASES=5000 cargo test -p winddown --test fuzz --release` looks longer.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{Router, body::Bytes, routing::post};
use futures_util::future::Either;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use winddown::{Cause, Shutdown, Signals, Split, Transport};

/// Longer than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

const SHORT: Duration = Duration::from_millis(50);

/// What one client does.
#[derive(Clone, Debug)]
struct Client {
    pieces: Vec<Vec<u8>>,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Listens,
    HalfCloses,
    GoesAway,
}

/// What comes near that which a server expects.
const KNOWN: &[&[u8]] = &[
    b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"GET / HTTP/1.0\n\n",
    b"\r\n\r\n",
    // HTTP/2: the preface without and with SETTINGS, a GET, a HEADERS without its end, a PING, a DATA for no stream, a
    // GOAWAY.
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84",
    b"\0\0\x03\x01\0\0\0\0\x03\x82\x86\x84",
    b"\0\0\x08\x06\0\0\0\0\0pingpong",
    b"\0\0\x05\0\0\0\0\0\x05hello",
    b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    // A TLS ClientHello, begun.
    b"\x16\x03\x01\x02\0\x01",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => select(KNOWN).prop_map(<[u8]>::to_vec),
        2 => vec(any::<u8>(), 0..64),
        1 => vec(any::<u8>(), 8_000..12_000),
    ]
}

/// Several of those, cut short, with a byte changed, and sent in pieces.
fn client() -> impl Strategy<Value = Client> {
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    let then = prop_oneof![Just(Then::Listens), Just(Then::HalfCloses), Just(Then::GoesAway)];
    (vec(bytes(), 0..4), damage, 0.0..1.3_f64, 1..400_usize, then).prop_map(|(parts, damage, kept, step, then)| {
        let mut all = parts.concat();
        all.truncate((all.len() as f64 * kept) as usize);
        if let Some((index, byte)) = damage
            && !all.is_empty()
        {
            let at = index.index(all.len());
            all[at] = byte;
        }
        Client { pieces: all.chunks(step).map(<[u8]>::to_vec).collect(), then }
    })
}

fn shutdown() -> Shutdown {
    let transport = Transport {
        header_timeout: Some(SHORT * 2),
        idle_grace: SHORT,
        progress_timeout: SHORT * 2,
        keep_alive_timeout: SHORT * 4,
        ..Transport::default()
    };
    let split = Split { lame_duck: Some(SHORT / 2), drain: Some(Duration::from_secs(1)), ..Split::default() };
    Shutdown::builder()
        .grace_period(Duration::from_secs(20))
        .split(split)
        .transport(transport)
        .build()
        .expect("it fits")
}

fn router() -> Router {
    let upload = post(async |body: Bytes| body.len().to_string());
    Router::new().route("/hello", axum::routing::get(async || "hello")).route("/upload", upload)
}

/// Connects, and is ready to send.
async fn connect(address: SocketAddr, client: Client) -> (OwnedReadHalf, OwnedWriteHalf, Client) {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("an open socket can be told so");
    let (answers, requests) = stream.into_split();
    (answers, requests, client)
}

/// Sends everything, and waits for the end of the connection.
async fn talk((mut answers, mut requests, client): (OwnedReadHalf, OwnedWriteHalf, Client)) {
    for piece in client.pieces {
        if requests.write_all(&piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    match client.then {
        Then::Listens => {}
        Then::HalfCloses => drop(requests.shutdown().await),
        Then::GoesAway => return,
    }
    let _ = answers.read_to_end(&mut Vec::new()).await; // an end of any kind is an end
}

/// Whether all of it ended in time: with a stop in the middle, or each connection by a limit of its own.
async fn survives(clients: Vec<Client>, in_peace: bool) -> bool {
    let stop = shutdown();
    let listener = winddown::bind(SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback has free ports");
    let server = stop.serve("public", listener, router());
    let address = server.local_addr().expect("it is bound");
    let handle = stop.handle();
    let running = tokio::spawn(stop.run_until(Signals::from_stream(tokio_stream::pending())));
    let mut connections = Vec::new();
    for client in clients {
        connections.push(connect(address, client).await);
    }
    let talking = futures_util::future::join_all(connections.into_iter().map(talk).map(tokio::spawn));
    let over = async {
        let talking = if in_peace {
            Either::Left(std::future::ready(talking.await))
        } else {
            tokio::task::yield_now().await; // About now the first pieces arrive.
            Either::Right(talking)
        };
        handle.request(Cause::Requested { reason: "fuzz".into() });
        running.await.is_ok() && talking.await.into_iter().all(|talked| talked.is_ok())
    };
    tokio::time::timeout(PATIENCE, over).await == Ok(true)
}

#[test]
fn any_bytes_end_in_an_end_and_never_in_a_panic() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(32);
    let config = ProptestConfig { cases, max_shrink_iters: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(clients in vec(client(), 1..24), in_peace: bool)| {
        let panics = PANICS.load(Ordering::Relaxed);
        prop_assert!(runtime.block_on(survives(clients, in_peace)), "not over after {PATIENCE:?}");
        prop_assert_eq!(PANICS.load(Ordering::Relaxed), panics, "somebody panicked");
    });
}
