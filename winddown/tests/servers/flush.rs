//! The last phase: what leaves the process, from a budget of its own, when all else is over.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use winddown::{Cause, HookOutcome, Phase, Report, Shutdown, Signals, Split};

use crate::process::{Process, local};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A stop on paused time in which every phase is given five seconds, and `hang` in each of the others.
async fn stop_with(hang: bool, flush: &'static str) -> (Report, Vec<(&'static str, Duration)>) {
    let split = Split { lame_duck: Some(secs(5)), flush: Some(secs(5)), ..Split::default() };
    let stop = Shutdown::builder().grace_period(secs(60)).split(split).build().expect("it fits");
    let seen = Arc::new(Mutex::new(Vec::new()));
    if hang {
        stop.spawn("hangs", |_| pending());
        for phase in [Phase::LameDuck, Phase::Drain, Phase::Background, Phase::Release] {
            stop.hook(phase, "hangs", |_| pending());
        }
    }
    let times = seen.clone();
    stop.hook(Phase::Flush, flush, move |context| async move {
        let left = context.deadline - Instant::now();
        times.lock().expect("no test panics here").push((flush, left));
        if flush == "collector is down" { pending().await } else { Ok(()) }
    });
    stop.handle().request(Cause::Requested { reason: "test".into() });
    let report = stop.run_until(Signals::from_stream(tokio_stream::pending())).await;
    let seen = seen.lock().expect("no test panics here").clone();
    (report, seen)
}

fn flush_of(report: &Report) -> Duration {
    report.phases.iter().find(|phase| phase.phase == Phase::Flush).expect("every phase was gone through").duration
}

#[tokio::test(start_paused = true)]
async fn c36_flush_has_all_of_its_budget_after_phases_that_overran() {
    let (report, seen) = stop_with(true, "traces").await;
    assert_eq!(report.hooks.iter().filter(|hook| hook.outcome == HookOutcome::Timeout).count(), 4, "{report}");
    let [("traces", left)] = seen[..] else { panic!("it ran once: {seen:?}") };
    assert!(left >= Duration::from_millis(4800), "5 s, less what closes the admin servers, but {left:?}");
    let last = report.hooks.last().expect("five hooks ran");
    assert_eq!((last.phase, &last.outcome), (Phase::Flush, &HookOutcome::Ok));
}

#[tokio::test(start_paused = true)]
async fn c36_collector_that_is_down_costs_the_flush_budget_and_no_more() {
    let (report, _) = stop_with(false, "collector is down").await;
    let took = flush_of(&report);
    assert!((Duration::from_millis(4700)..=secs(5)).contains(&took), "{took:?}");
    assert_eq!(report.exit_code(), Report::HOOK_FAILED, "{report}");
}

#[tokio::test]
async fn c35_scraper_has_the_final_values_before_the_admin_server_closes() {
    let split = Split { lame_duck: Some(Duration::ZERO), flush: Some(secs(20)), ..Split::default() };
    let stop = Shutdown::builder().grace_period(secs(60)).split(split).build().expect("it fits");
    let renders = Arc::new(Mutex::new(Vec::new()));
    let (shown, rendered) = (stop.clone(), renders.clone());
    let render = move || {
        let hooks = shown.status().hooks_done.len();
        rendered.lock().expect("no test panics here").push(hooks);
        format!("hooks_done {hooks}\n")
    };
    let admin = stop.serve_admin("admin", local(), Router::new().route("/metrics", stop.metrics(render)));
    let admin = admin.local_addr().expect("it is bound");
    stop.hook(Phase::Flush, "traces", |_| async { Ok(()) });
    let process = Process::run(stop).await;
    let mut scraper = Scraper::connect(admin).await;
    for _ in 0..2 {
        assert_eq!(scraper.scrape().await, "hooks_done 0\n");
        tokio::time::sleep(Scraper::INTERVAL).await;
    }
    process.signal();
    // Prometheus goes on in its own time, and does not know of any stop.
    let mut last = String::new();
    while last != "hooks_done 1\n" {
        last = scraper.scrape().await;
        tokio::time::sleep(Scraper::INTERVAL).await;
    }
    let report = process.report().await;
    let seen = report.last_scrape.expect("the flush was reached");
    assert_eq!((report.exit_code(), seen.scrapers, seen.complete), (0, 1, 1));
    assert!(TcpStream::connect(admin).await.is_err(), "closed, in the end");
}

/// Prometheus, as far as a server sees it: a kept connection, an interval, a header.
struct Scraper(TcpStream);

impl Scraper {
    /// Long enough that a busy machine keeps to it within the quarter that is allowed.
    const INTERVAL: Duration = Duration::from_secs(3);

    async fn connect(to: SocketAddr) -> Self {
        Self(TcpStream::connect(to).await.expect("the server listens"))
    }

    async fn scrape(&mut self) -> String {
        let head = "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n";
        self.0.write_all(head.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        while !answer.ends_with('\n') || answer.ends_with("\r\n") {
            let mut part = [0; 1024];
            let length = self.0.read(&mut part).await.expect("the server answers");
            assert!(length > 0, "the server closed before the last scrape: {answer}");
            answer.push_str(std::str::from_utf8(&part[..length]).expect("text"));
        }
        answer.rsplit("\r\n").next().expect("it has a body").to_owned()
    }
}
