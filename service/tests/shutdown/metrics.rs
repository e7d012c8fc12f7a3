//! What a scrape shows, whoever sends what, and until when.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{Service, Signal},
    observe::best,
    wire::Wire,
};

/// From the last answer to the exit.
const BOUND: Duration = Duration::from_millis(100);

#[test]
fn hostile_clients_make_no_series() {
    let service = Service::start(&[]);
    let mut wire = service.connect();
    let mut send = |method: &str, path: &str, host: &str, i: usize| {
        wire.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: {host}\r\nuser-agent: a{i}\r\n\r\n"
        ))
        .expect("it reads");
        wire.response().expect("it answers").status
    };
    let mut hostile = |numbers: std::ops::Range<usize>| {
        for i in numbers {
            let host = format!("h{i}.example");
            assert_eq!(send("GET", &format!("/nowhere/{i}?{i}"), &host, i), 404);
            assert_eq!(send(&format!("METHOD{i}"), "/hello", &host, i), 405);
            assert_eq!(send("GET", &format!("/orders/{i}"), &host, i), 404);
            assert_eq!(send("GET", &format!("/work/x{i}"), &host, i), 400);
        }
    };
    let series = || {
        let text = service.admin_get("/metrics").expect("it answers").body;
        let mut names: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series.to_owned()))
            .collect();
        names.sort_unstable();
        names
    };
    hostile(0..2);
    let few = series();
    assert!(few.iter().any(|name| name.contains("_OTHER")) && few.iter().any(|name| name.contains("unmatched")));
    hostile(2..2502);
    assert_eq!(series(), few, "10,000 requests later");
}

#[test]
fn metrics_are_answered_until_the_process_is_gone() {
    best(BOUND, "from the last scrape that was answered to the exit", from_the_last_answer_to_the_exit);
}

fn from_the_last_answer_to_the_exit() -> Duration {
    let mut service = Service::start(&[]);
    let mut work = service.in_flight("/work/200", "work");
    let admin = service.admin.clone();
    let asking = thread::spawn(move || {
        let mut last = Instant::now();
        while let Ok(mut wire) = Wire::connect(&admin) {
            if wire.get("/metrics", "last").is_ok_and(|answer| answer.status == 200) {
                last = Instant::now();
            }
        }
        last
    });
    service.signal(Signal::TERM);
    assert_eq!(work.response().expect("it finishes").status, 200);
    drop(work);
    service.expect_exit(0);
    let gone = Instant::now();
    gone.saturating_duration_since(asking.join().expect("it only asks"))
}
