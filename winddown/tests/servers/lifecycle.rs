//! Start-up, several servers, and the order of an end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use winddown::{Cause, Draining, HookOutcome, Peer, Phase, RequestTotals, Shutdown, Signal, Signals, Split, Transport};

use crate::process::{Held, PATIENCE, Process, ask, is_alive, no_lame_duck, rest, serve, with_drain, with_lame_duck};

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
async fn c38_server_that_is_opened_in_the_lame_duck_sends_its_clients_away_and_its_requests_are_late() {
    let stop = with_lame_duck(Duration::from_secs(2), Transport::default());
    let process = Process::run(stop.clone()).await;
    process.signal();
    process.until(Phase::LameDuck).await;
    let (_, address) = serve(&stop, "late", Router::new().route("/hello", get(async || "hello"))).await;
    let answer = rest(ask(address, "/hello").await.expect("the server listens")).await;
    assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
    let RequestTotals { in_flight_at_start, completed, late, .. } = process.report().await.requests;
    assert_eq!((in_flight_at_start, completed, late), (0, 0, 1));
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
async fn work_behind_an_answer_is_waited_for_and_named_when_its_client_has_left() {
    let stop = with_drain(Duration::from_millis(100));
    let job = async |draining: Draining| {
        let hold = draining.hold();
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(hold);
        });
        "accepted"
    };
    let (_, address) = serve(&stop, "public", Router::new().route("/job", get(job))).await;
    let process = Process::run(stop).await;
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let head = b"GET /job HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.expect("the server reads");
    assert!(rest(stream).await.ends_with("accepted"));
    process.signal();
    let report = process.report().await;
    let cut: Vec<_> = report.cut_requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!((report.exit_code(), cut), (10, vec!["/job"]));
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
async fn c39_signal_while_the_start_is_failing_neither_unwinds_twice_nor_hides_the_error() {
    let (stop, unwinding, released) = (no_lame_duck(), Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let (begun, count) = (unwinding.clone(), released.clone());
    let (signals, received) = tokio::sync::mpsc::unbounded_channel();
    stop.hook(Phase::Release, "lock file", move |_| async move {
        begun.notify_one();
        tokio::task::yield_now().await;
        count.fetch_add(1, Relaxed);
        Ok(())
    });
    stop.start(async { Err("no database".into()) });
    let running = tokio::spawn(stop.run_until(Signals::from_stream(UnboundedReceiverStream::new(received))));
    unwinding.notified().await;
    signals.send(Signal::Term).expect("the process listens to its end");
    let report = running.await.expect("no panic");
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.cause, Cause::StartFailed { error: "no database".into() });
    assert_eq!((report.forced_by, released.load(Relaxed)), (None, 1));
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

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let stop = no_lame_duck();
    let router = Router::new().route("/who", get(async |peer: Peer| peer.to_string()));
    let (_, address) = serve(&stop, "public", router).await;
    let process = Process::run(stop).await;
    let stream = ask(address, "/who").await.expect("the server listens");
    let client = stream.local_addr().expect("it is connected").to_string();
    process.signal();
    let answer = rest(stream).await;
    assert!(answer.contains(&client), "{client} is not in {answer}");
}
