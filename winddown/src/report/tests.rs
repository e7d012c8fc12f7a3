use super::*;
use crate::hook::HookOutcome;

fn report() -> Report {
    Report {
        schema: SCHEMA,
        version: Some("0.1.0".into()),
        unclean_exits: 0,
        exit_code: 0,
        guards: None,
        cause: Cause::Signal { signal: Signal::Term },
        forced_by: None,
        started_at: 1_800_000_000.0,
        duration: Duration::from_millis(1630),
        phases: vec![PhaseReport {
            phase: Phase::Drain,
            at: Duration::from_millis(500),
            duration: Duration::from_millis(1130),
            budget: Duration::from_secs(11),
            overran: false,
        }],
        requests: RequestTotals { in_flight_at_start: 71, completed: 71, ..RequestTotals::default() },
        cut_requests: Vec::new(),
        connections: ConnectionTotals::default(),
        listeners: Vec::new(),
        hooks: Vec::new(),
        cut_tasks_total: 0,
        cut_tasks: Vec::new(),
        panicked_tasks: 0,
        task_panics: Vec::new(),
        last_scrape: None,
    }
}

fn failed_hook() -> HookReport {
    let outcome = HookOutcome::Error { message: "disk full".into() };
    HookReport {
        phase: Phase::Release,
        hook: "index".into(),
        at: Duration::from_secs(1),
        duration: Duration::from_millis(3),
        outcome,
    }
}

fn cut() -> RequestTotals {
    RequestTotals { cut: 1, ..RequestTotals::default() }
}

#[test]
fn c41_exit_codes_are_those_of_the_table() {
    let code = |report: Report| report.judged().exit_code();
    let failed = Cause::StartFailed { error: "port taken".into() };
    assert_eq!(code(report()), 0);
    assert_eq!(code(Report { cause: failed, requests: cut(), ..report() }), 1);
    assert_eq!(code(Report { requests: cut(), hooks: vec![failed_hook()], ..report() }), 10);
    assert_eq!(code(Report { hooks: vec![failed_hook()], ..report() }), 11);
    assert_eq!(code(Report { forced_by: Some(Signal::Term), requests: cut(), ..report() }), 143);
    assert_eq!(code(Report { forced_by: Some(Signal::Int), ..report() }), 130);
}

#[test]
fn the_json_form_has_a_version_and_plain_numbers() {
    let json =
        serde_json::to_value(Report { hooks: vec![failed_hook()], ..report() }.judged()).expect("a report serialises");
    assert_eq!(json["schema"], 1);
    assert_eq!(json["seconds"], 1.63);
    assert_eq!(json["cause"], serde_json::json!({ "kind": "signal", "signal": "TERM" }));
    assert_eq!(json["phases"][0]["phase"], "drain");
    assert_eq!(json["hooks"][0]["outcome"], "error");
    assert_eq!(json["hooks"][0]["message"], "disk full");
}

#[test]
fn the_table_names_what_went_wrong() {
    let text = Report { hooks: vec![failed_hook()], ..report() }.judged().to_string();
    assert!(text.starts_with("stopped in 1.630s by signal TERM: a hook failed, exit code 11\n"), "{text}");
    assert!(text.contains("disk full"), "{text}");
}

#[test]
fn the_check_of_a_path_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    check_path(&folder.path().join("report.json")).expect("the folder can be written to");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it exists").count(), 0);
    assert!(check_path(&folder.path().join("missing/report.json")).is_err());
    assert!(check_path(folder.path()).is_err(), "a folder is no file");
}
