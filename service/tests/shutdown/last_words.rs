//! What a stop leaves for whoever reads afterwards: one wide line in the log, and the last word of the container.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    handlers::{TIGHT, block_every_worker},
    harness::{PATIENCE, Service, Settings, Signal, free_ports},
};

/// The fields of the line, as documented: all that there ever are, less those that a clean stop has nothing to say of.
const FIELDS: [&str; 28] = [
    "outcome",
    "exit_code",
    "cause",
    "version",
    "started_at",
    "duration_seconds",
    "lame_duck_seconds",
    "drain_seconds",
    "background_seconds",
    "release_seconds",
    "flush_seconds",
    "requests_in_flight_at_start",
    "requests_completed",
    "requests_aborted",
    "requests_late",
    "requests_rejected",
    "requests_cut",
    "connections_graceful",
    "connections_idle",
    "connections_forced",
    "connections_told_408",
    "hooks",
    "hooks_failed",
    "tasks_cut",
    "tasks_panicked",
    "scrapers_due",
    "scrapers_complete",
    "message",
];

/// What every JSON line has beside them.
const FRAME: [&str; 3] = ["timestamp", "level", "target"];

/// The lines of the end of the stop, by their targets.
fn told(service: &Service) -> (Vec<Value>, usize) {
    let lines: Vec<Value> = service.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let tables = lines.iter().filter(|line| line["target"] == "winddown::table").count();
    (lines.into_iter().filter(|line| line["target"] == "winddown::stopped").collect(), tables)
}

#[test]
fn a_stop_ends_with_one_wide_line_of_stable_fields() {
    let mut service = Service::start(&[]);
    let mut wire = service.in_flight("/work/500", "slow");
    service.signal(Signal::TERM);
    assert_eq!(wire.response().expect("it finishes").status, 200);
    service.expect_exit(0);
    let (events, tables) = told(&service);
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(tables, 0, "a log of JSON lines has no tables");
    let has: BTreeSet<_> = event.as_object().expect("it is flat").keys().map(String::as_str).collect();
    assert_eq!(has, FIELDS.into_iter().chain(FRAME).collect(), "the documented fields, and no others");
    assert!(event.as_object().expect("as above").values().all(|value| !value.is_object() && !value.is_array()));
    assert_eq!((&event["outcome"], &event["cause"], &event["exit_code"]), (&"clean".into(), &"TERM".into(), &0.into()));
    assert_eq!((&event["requests_completed"], &event["requests_cut"]), (&1.into(), &0.into()));
    assert!(event["drain_seconds"].as_f64() <= event["duration_seconds"].as_f64());
    let hooks = event["hooks"].as_str().expect("it is text");
    assert_eq!(hooks.contains("database pool"), cfg!(feature = "orders"), "{event}");
}

#[test]
fn a_request_that_was_cut_is_named_in_the_line_and_in_the_last_word() {
    let mut service = Service::spawn(free_ports(), &[("TERMINATION_MESSAGE", "last"), ("DRAIN_TIMEOUT", "300ms")]);
    service.await_ready().expect("it starts");
    let _never = service.in_flight("/work/60000", "endless");
    service.signal(Signal::TERM);
    service.expect_exit(10);
    let (events, _) = told(&service);
    let event = events.first().expect("the stop is told");
    assert_eq!((&event["outcome"], &event["requests_cut"]), (&"cut".into(), &1.into()));
    assert!(event["cut_requests"].as_str().is_some_and(|cut| cut.contains("/work/60000")), "{event}");
    let last = last_word(&service);
    assert!(last.starts_with("stopped in ") && last.contains("exit code 10") && last.contains("/work/60000"), "{last}");
}

#[test]
fn a_blocked_process_that_the_watchdog_ends_leaves_its_last_word() {
    let mut service = Service::start(&[&[("TERMINATION_MESSAGE", "last")], &TIGHT[..]].concat());
    let _blocked = block_every_worker(&service);
    service.signal(Signal::TERM);
    service.expect_exit(10);
    assert!(last_word(&service).contains("exit code 10"), "{}", last_word(&service));
}

#[test]
fn a_start_that_is_refused_or_fails_says_why_in_the_last_word() {
    let cases: &[(Settings<'_>, i32, &str)] = &[
        (&[("TERMINATION_MESSAGE", "last"), ("GRACE_PERIOD", "abc")], 78, "GRACE_PERIOD"),
        #[cfg(feature = "orders")]
        (&[("TERMINATION_MESSAGE", "last"), ("DATABASE_URL", "sqlite:no/such/folder/orders.db")], 1, "start"),
    ];
    for &(settings, code, word) in cases {
        let mut service = Service::spawn(free_ports(), settings);
        assert_eq!(service.wait_exit(PATIENCE).status.code(), Some(code), "{}", service.stderr());
        assert!(last_word(&service).contains(word), "{}", last_word(&service));
    }
}

fn last_word(service: &Service) -> String {
    service.left("last")
}
