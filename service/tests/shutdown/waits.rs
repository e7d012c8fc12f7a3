//! "What holds the shutdown?": asked of the log, of the admin port, and of the report.

use std::time::Duration;

use serde_json::Value;

use crate::{
    harness::{Service, Signal},
    observe::eventually,
};

/// A stop that is held by requests for as long as the test looks.
fn held(requests: usize) -> (Service, Vec<crate::wire::Wire>) {
    let mut service = Service::start(&[("DRAIN_TIMEOUT", "5s")]);
    let held = (0..requests).map(|i| service.in_flight("/fault/never?secret=no", &format!("stuck-{i}"))).collect();
    service.signal(Signal::TERM);
    service.await_phase("drain");
    (service, held)
}

impl Service {
    /// The first log line in which a phase says what it waits for.
    fn says_what_holds_it(&self) -> Value {
        let line = |text: String| text.lines().find(|line| line.contains(" waits for ")).map(str::to_owned);
        let line = eventually("a line that says what holds the stop", || line(self.stderr()));
        serde_json::from_str(&line).expect("LOG_FORMAT=json")
    }

    fn status(&self) -> Value {
        let answer = self.admin_get("/shutdown").expect("the admin port closes last");
        serde_json::from_str(&answer.body).expect("it answers JSON")
    }
}

#[test]
fn a_line_names_whom_the_drain_waits_for_and_what_is_left() {
    let (mut service, _held) = held(1);
    let line = service.says_what_holds_it();
    let text = |field: &str| line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}")).to_owned();
    assert!(text("message").starts_with("drain waits for 1 request, 1 connection; "), "{line}");
    let held_by = text("held_by");
    assert!(held_by.starts_with("GET /fault/never of 127.0.0.1:"), "{line}");
    let age = held_by.split_once(", id stuck-0, for ").and_then(|(_, age)| age.strip_suffix('s')?.parse::<f64>().ok());
    assert!(age.is_some_and(|age| age >= 2.0), "{line}");
    assert!(!line.to_string().contains("secret"), "a query is nobody's business: {line}");
    let left = line["phase_seconds_left"].as_f64().expect("a number");
    assert!((0.0..=3.0).contains(&left), "of 5 s, 2 s are over: {line}");
    service.expect_exit(10);
}

#[test]
fn of_many_the_twenty_oldest_are_named_and_all_are_counted() {
    let (mut service, _held) = held(25);
    let status = service.status();
    assert_eq!(status["requests_in_flight"], 25);
    let listed = status["requests"].as_array().expect("a list").iter();
    let ids: Vec<_> = listed.map(|request| request["id"].as_str().expect("text")).collect();
    assert_eq!(ids, (0..20).map(|i| format!("stuck-{i}")).collect::<Vec<_>>(), "the oldest first");
    assert_eq!(status["requests"][0]["route"], "/fault/never");
    assert!(status["phase_seconds_left"].as_f64().expect("a number") <= 5.0, "{status}");

    let line = service.says_what_holds_it();
    assert!(line["held_by"].as_str().expect("text").ends_with("; and 5 more"), "{line}");

    let exit = service.expect_exit(10);
    assert!(exit.after >= Duration::from_secs(5));
    let report = service.report();
    assert_eq!(report["requests"]["cut"], 25);
    assert_eq!(report["cut_requests"].as_array().expect("a list").len(), 20, "the report keeps what was cut");
}

#[test]
fn a_client_that_says_half_a_request_is_named_by_its_address() {
    let mut service = Service::start(&[("LAME_DUCK", "0s"), ("HEADER_TIMEOUT", "5s"), ("GRACE_PERIOD", "20s")]);
    let mut wire = service.connect();
    wire.send("GET /hello HTTP/1.1\r\nHo").expect("it is connected");
    service.signal(Signal::TERM);
    let line = service.says_what_holds_it();
    assert!(line["message"].as_str().expect("text").starts_with("drain waits for 1 connection; "), "{line}");
    let held_by = line["held_by"].as_str().expect("text");
    assert!(held_by.starts_with("connection of 127.0.0.1:"), "{line}");
    assert!(held_by.contains(" without a whole request, for "), "{line}");
    let status = service.status();
    assert_eq!(status["connections_without_request"].as_array().map(Vec::len), Some(1), "{status}");
    service.expect_exit(0);
}
