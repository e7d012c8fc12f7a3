//! Whole servers in one process, over real sockets: what a library user sees.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use winddown::{
    Cause, Draining, HookOutcome, Phase, Report, ServerHandle, Shutdown, Signal, Signals, Split, Transport,
};

/// Longer than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process in a test: signals by a channel, the report by a task.
struct Process {
    stop: Shutdown,
    signals: mpsc::UnboundedSender<Signal>,
    report: JoinHandle<Report>,
}

impl Process {
    /// Runs with no lame duck, so that a signal is the drain.
    async fn run(stop: Shutdown) -> Self {
        let (signals, stream) = mpsc::unbounded_channel();
        let running = stop.clone().run_until(Signals::from_stream(UnboundedReceiverStream::new(stream)));
        let report = tokio::spawn(running);
        let process = Self { stop, signals, report };
        process.until(Phase::Running).await;
        process
    }

    async fn until(&self, phase: Phase) {
        let mut watch = self.stop.handle().watch();
        let reached = watch.wait_for(|status| status.phase >= phase);
        tokio::time::timeout(PATIENCE, reached).await.expect("in time").expect("the process lives");
    }

    fn signal(&self) {
        self.signals.send(Signal::Term).expect("the process listens");
    }

    async fn report(self) -> Report {
        tokio::time::timeout(PATIENCE, self.report).await.expect("in time").expect("no panic")
    }
}

fn no_lame_duck() -> Shutdown {
    let split = Split { lame_duck: Some(Duration::ZERO), ..Split::default() };
    Shutdown::builder().grace_period(Duration::from_secs(30)).split(split).build().expect("it fits")
}

async fn serve(stop: &Shutdown, name: &str, router: Router) -> (ServerHandle, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let server = stop.serve(name, listener, router);
    let address = server.local_addr().expect("it is bound");
    (server, address)
}

async fn ask(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// Whether the server still answers a new connection.
async fn is_alive(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await?;
    Ok(rest(stream).await.ends_with("alive"))
}

/// Everything until the server's FIN.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("a clean end");
    text
}

/// A route that says when it is entered and answers when it is told to.
#[derive(Clone, Default)]
struct Held {
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

impl Held {
    fn router(&self) -> Router {
        let held = |State(held): State<Self>| async move {
            held.entered.notify_one();
            held.release.notified().await;
            "held"
        };
        Router::new().route("/held", get(held)).with_state(self.clone())
    }
}

#[tokio::test]
async fn c16_drain_waits_for_a_held_request_and_for_no_more() {
    let (stop, held) = (no_lame_duck(), Held::default());
    let (_, address) = serve(&stop, "public", held.router()).await;
    let process = Process::run(stop).await;
    let stream = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;

    process.signal();
    process.until(Phase::Drain).await;
    assert_eq!(process.stop.status().requests_in_flight, 1);
    assert_eq!(process.stop.status().requests[0].target, "/held");
    assert!(!process.report.is_finished(), "a request is in flight");

    held.release.notify_one();
    let answer = rest(stream).await;
    assert!(answer.contains("connection: close") && answer.ends_with("held"), "{answer}");
    let report = process.report().await;
    assert_eq!(report.exit_code(), 0);
    assert_eq!((report.requests.in_flight_at_start, report.requests.completed), (1, 1));
}

#[tokio::test]
async fn c06_response_that_a_slow_reader_has_not_taken_yet_is_delivered_whole() {
    const LENGTH: usize = 32 << 20; // More than any socket buffers take.
    let (stop, held) = (no_lame_duck(), Held::default());
    let big = get(move |State(held): State<Held>| async move {
        held.entered.notify_one();
        vec![b'x'; LENGTH]
    });
    let (_, address) = serve(&stop, "public", Router::new().route("/big", big).with_state(held.clone())).await;
    let process = Process::run(stop).await;
    let stream = ask(address, "/big").await.expect("the server listens");
    held.entered.notified().await;

    process.signal();
    process.until(Phase::Drain).await;
    // Long past every grace for idle connections. No clock can be paused here: the kernel's buffers are real.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!process.report.is_finished(), "the answer has not left");
    let answer = rest(stream).await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(body.starts_with(&"x".repeat(LENGTH)), "{} bytes of the body", body.len());
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c11_upload_that_is_read_away_behind_its_answer_is_never_taken_for_requests() {
    let (stop, held) = (no_lame_duck(), Held::default());
    let smuggled = get(|State(held): State<Held>| async move { held.entered.notify_one() });
    let router = Router::new().route("/early", get(|| async { "get only" })).route("/smuggled", smuggled);
    let (_, address) = serve(&stop, "public", router.with_state(held.clone())).await;
    let process = Process::run(stop).await;
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let upload = b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nbegin";
    stream.write_all(upload).await.expect("the server reads");
    // The answer and the FIN: from here on the server only discards.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("a clean end");
    assert!(answer.starts_with(b"HTTP/1.1 405"), "{}", String::from_utf8_lossy(&answer));

    let uploading = tokio::spawn(async move {
        let request = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n".repeat(50);
        while stream.write_all(&request).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    process.signal();
    let report = process.report().await;
    uploading.await.expect("no panic");
    assert_eq!((report.requests.late, report.requests.rejected), (0, 0), "bytes of the body were taken for requests");
}

#[tokio::test]
async fn c07_client_that_pipelines_without_a_pause_is_not_taken_for_a_slow_head() {
    const HEADER_TIMEOUT: Duration = Duration::from_millis(200);
    let transport = Transport { header_timeout: Some(HEADER_TIMEOUT), ..Transport::default() };
    let stop = Shutdown::builder().transport(transport).build().expect("it fits");
    let (_, address) = serve(&stop, "public", Router::new().route("/", get(|| async { "pipelined" }))).await;
    let _process = Process::run(stop).await;
    let (mut answers, mut requests) = TcpStream::connect(address).await.expect("the server listens").into_split();
    let writing = tokio::spawn(async move {
        // So many that the server always has some behind the one it answers.
        let depth = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(4096);
        while requests.write_all(&depth).await.is_ok() {}
    });
    let (began, mut buffer) = (std::time::Instant::now(), vec![0; 1 << 16]);
    while began.elapsed() < HEADER_TIMEOUT * 5 {
        let read = tokio::time::timeout(PATIENCE, answers.read(&mut buffer)).await.expect("in time");
        assert_ne!(read.expect("no reset"), 0, "closed after {:?}", began.elapsed());
    }
    writing.abort();
}

#[tokio::test]
async fn c38_server_that_a_start_up_step_opens_too_late_is_closed_with_the_others() {
    let stop = no_lame_duck();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    let report = stop.clone().run_until(Signals::from_stream(tokio_stream::iter([Signal::Term]))).await;
    stop.serve("too late", listener, Router::new());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test]
async fn a_server_that_is_stopped_alone_disturbs_no_other() {
    let (stop, at_one, at_two) = (no_lame_duck(), Held::default(), Held::default());
    let (one, address_of_one) = serve(&stop, "one", at_one.router()).await;
    let (_, address_of_two) = serve(&stop, "two", at_two.router()).await;
    let process = Process::run(stop).await;
    let from_one = ask(address_of_one, "/held").await.expect("the server listens");
    let from_two = ask(address_of_two, "/held").await.expect("the server listens");
    at_one.entered.notified().await;
    at_two.entered.notified().await;

    let stopping = tokio::spawn(async move { one.stop(PATIENCE).await });
    while TcpStream::connect(address_of_one).await.is_ok() {
        tokio::task::yield_now().await;
    }
    drop(TcpStream::connect(address_of_two).await.expect("the other still listens"));
    at_one.release.notify_one();
    assert!(rest(from_one).await.ends_with("held"));
    assert!(stopping.await.expect("no panic"), "nothing was cut");
    assert_eq!(process.stop.status().phase, Phase::Running);

    process.signal();
    process.until(Phase::Drain).await;
    at_two.release.notify_one();
    assert!(rest(from_two).await.ends_with("held"));
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c13_handler_that_lives_long_learns_of_the_stop() {
    let stop = no_lame_duck();
    let entered = Arc::new(Notify::new());
    let poll = |State(entered): State<Arc<Notify>>, draining: Draining| async move {
        assert!(!draining.is_draining());
        entered.notify_one();
        draining.draining().await;
        "ask elsewhere"
    };
    let router = Router::new().route("/poll", get(poll)).with_state(entered.clone());
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let stream = ask(address, "/poll").await.expect("the server listens");
    entered.notified().await;
    process.signal();
    assert!(rest(stream).await.ends_with("ask elsewhere"));
    assert_eq!(process.report().await.exit_code(), 0);
}

#[tokio::test]
async fn c26_handler_that_answers_when_it_is_cancelled_is_not_cut() {
    let split = Split {
        lame_duck: Some(Duration::ZERO),
        drain: Some(Duration::from_millis(50)),
        cancel_grace: Some(Duration::from_secs(10)),
        ..Split::default()
    };
    let stop = Shutdown::builder().grace_period(Duration::from_mins(1)).split(split).build().expect("it fits");
    let entered = Arc::new(Notify::new());
    let patient = |State(entered): State<Arc<Notify>>, draining: Draining| async move {
        entered.notify_one();
        draining.cancelled().await;
        "half of it"
    };
    let router = Router::new().route("/patient", get(patient)).with_state(entered.clone());
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let stream = ask(address, "/patient").await.expect("the server listens");
    entered.notified().await;
    process.signal();
    assert!(rest(stream).await.ends_with("half of it"));
    let report = process.report().await;
    assert_eq!((report.exit_code(), report.requests.cut), (0, 0));
    assert!(report.phases.iter().any(|phase| phase.phase == Phase::Drain && phase.overran), "and it is said");
}

#[tokio::test]
async fn c34_resources_are_released_after_the_last_request_and_the_admin_server_closes_last() {
    let (stop, held, order) = (no_lame_duck(), Held::default(), Arc::new(Mutex::new(Vec::new())));
    let (_, address) = serve(&stop, "public", held.router()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let admin = stop.serve_admin("admin", listener, Router::new().route("/livez", get(|| async { "alive" })));
    let admin = admin.local_addr().expect("it is bound");
    for name in ["pool", "cache"] {
        let order = order.clone();
        stop.hook(Phase::Release, name, move |_| async move {
            let alive = is_alive(admin).await?;
            order.lock().expect("no test panics here").push((name, alive));
            Ok(())
        });
    }
    let process = Process::run(stop).await;
    let stream = ask(address, "/held").await.expect("the server listens");
    held.entered.notified().await;
    process.signal();
    process.until(Phase::Drain).await;
    assert!(order.lock().expect("no test panics here").is_empty(), "a request may still need the pool");
    held.release.notify_one();
    rest(stream).await;
    assert_eq!(process.report().await.exit_code(), 0);
    assert_eq!(*order.lock().expect("no test panics here"), [("cache", true), ("pool", true)]);
    assert!(TcpStream::connect(admin).await.is_err(), "closed, in the end");
}

#[tokio::test]
async fn c39_start_up_that_fails_unwinds_what_was_started_and_is_reported() {
    let stop = no_lame_duck();
    let (_, address) = serve(&stop, "public", Router::new()).await;
    stop.hook(Phase::Release, "lock file", |_| async { Ok(()) });
    stop.start(async { Err("no database".into()) });
    stop.start(async { unreachable!("a step after one that failed") });
    let report = stop.run_until(Signals::from_stream(tokio_stream::pending())).await;
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.cause, Cause::StartFailed { error: "no database".into() });
    assert_eq!(report.hooks.iter().map(|hook| &hook.outcome).collect::<Vec<_>>(), [&HookOutcome::Ok]);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn c38_signal_during_start_up_drops_the_step_and_unwinds() {
    let stop = no_lame_duck();
    stop.start(std::future::pending());
    let signals = Signals::from_stream(tokio_stream::iter([Signal::Int]));
    let report = tokio::time::timeout(PATIENCE, stop.run_until(signals)).await.expect("in time");
    assert_eq!((report.exit_code(), report.cause), (0, Cause::Signal { signal: Signal::Int }));
}

#[tokio::test]
async fn the_program_itself_can_ask_for_the_stop_even_before_it_runs() {
    let stop = no_lame_duck();
    let cause = Cause::Requested { reason: "upgrade".into() };
    stop.handle().request(cause.clone());
    let running = stop.run_until(Signals::from_stream(tokio_stream::pending()));
    let report = tokio::time::timeout(PATIENCE, running).await.expect("in time");
    assert_eq!((report.exit_code(), report.cause), (0, cause));
}
