//! TLS: what is under way in records that neither the kernel nor the session shows.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::get};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpStream, task::spawn_blocking};
use winddown::{Shutdown, Tls, Transport};

use crate::process::{PATIENCE, Process, ask, local, no_lame_duck, with_transport};

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A certificate for `localhost` in files, and a client that trusts it.
struct Identity {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("ring can sign");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("cert.pem"), issued.cert.pem()).expect("the folder is ours");
        std::fs::write(folder.path().join("key.pem"), issued.signing_key.serialize_pem()).expect("the folder is ours");
        Self { folder, certificate: issued.cert.der().clone() }
    }

    fn server(&self) -> Tls {
        let file = |name| self.folder.path().join(name);
        Tls::from_files(file("cert.pem"), file("key.pem")).expect("they are a pair")
    }

    fn client(&self) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("it is a certificate");
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring has what they need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("it is well configured")
    }
}

fn serve(stop: &Shutdown, identity: &Identity) -> SocketAddr {
    let router = Router::new().route("/hello", get(|| async { "hello" }));
    let server = stop.serve("public", local().with_tls(identity.server()), router);
    server.local_addr().expect("it is bound")
}

/// A client that is driven by hand, record by record.
struct Client {
    tls: ClientConnection,
    socket: std::net::TcpStream,
}

impl Client {
    /// Connects, and carries one request so that the connection is a kept one.
    async fn kept(identity: &Identity, address: SocketAddr) -> Self {
        let tls = identity.client();
        spawn_blocking(move || {
            let socket = std::net::TcpStream::connect(address).expect("the server listens");
            socket.set_nodelay(true).expect("an open socket can be told so");
            socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
            let mut client = Self { tls, socket };
            client.stream().write_all(GET).expect("the server reads");
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                let mut byte = [0];
                client.stream().read_exact(&mut byte).expect("an answer");
                answer.push(byte[0]);
            }
            client
        })
        .await
        .expect("no panic")
    }

    fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, std::net::TcpStream> {
        rustls::Stream::new(&mut self.tls, &mut self.socket)
    }

    /// A request in one record, not yet sent.
    fn record(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(plain).expect("there is room");
        let mut record = Vec::new();
        self.tls.write_tls(&mut record).expect("a vector takes it");
        record
    }

    /// Everything to the end, which must be close_notify: rustls takes a bare FIN for an error.
    async fn rest(mut self) -> String {
        let read = move || {
            let mut text = String::new();
            self.stream().read_to_string(&mut text).map(|_| text).expect("an end in good order")
        };
        spawn_blocking(read).await.expect("no panic")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c18_part_of_a_record_at_the_drain_is_served_when_the_rest_arrives() {
    for cut in [1, 4, 5, 6, 30] {
        let (identity, stop) = (Identity::new(), no_lame_duck());
        let address = serve(&stop, &identity);
        let process = Process::run(stop).await;
        let mut client = Client::kept(&identity, address).await;
        let idle = Client::kept(&identity, address).await;
        let record = client.record(GET);
        client.socket.write_all(&record[..cut]).expect("the server reads");
        process.signal();
        // By the time that an idle one has been told, so would this one have been.
        assert!(idle.rest().await.starts_with("HTTP/1.1 408"));
        client.socket.write_all(&record[cut..]).expect("the connection is open");
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "cut at {cut}: {answer}");
        assert_eq!(process.report().await.exit_code(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c08_record_that_never_ends_costs_the_header_timeout_and_a_408() {
    let header_timeout = Some(Duration::from_millis(500));
    let stop = with_transport(Transport { header_timeout, ..Transport::default() });
    let identity = Identity::new();
    let address = serve(&stop, &identity);
    let process = Process::run(stop).await;
    let mut client = Client::kept(&identity, address).await;
    let record = client.record(GET);
    client.socket.write_all(&record[..9]).expect("the server reads");
    process.signal();
    assert!(client.rest().await.starts_with("HTTP/1.1 408"));
    let report = process.report().await;
    assert_eq!(report.exit_code(), 0);
    assert!(report.duration < Duration::from_secs(8), "{:?}", report.duration);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03_connection_that_never_begins_its_handshake_holds_nothing() {
    let (identity, stop) = (Identity::new(), no_lame_duck());
    let address = serve(&stop, &identity);
    let process = Process::run(stop).await;
    let mut silent = TcpStream::connect(address).await.expect("the server listens");
    process.signal();
    assert_eq!(silent.read(&mut [0]).await.expect("a clean end"), 0);
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_speaks_no_tls_is_sent_away_and_harms_nobody() {
    let (identity, stop) = (Identity::new(), no_lame_duck());
    let address = serve(&stop, &identity);
    let process = Process::run(stop).await;
    let mut plain = ask(address, "/hello").await.expect("the server listens");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await; // an alert, and then an end of any kind
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let client = Client::kept(&identity, address).await;
    process.signal();
    assert!(client.rest().await.starts_with("HTTP/1.1 408"));
    assert_eq!(process.report().await.exit_code(), 0);
}
