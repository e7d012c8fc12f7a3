//! A runtime that is dropped waits for its blocking tasks and its workers without any bound. The watchdog outlives the
//! report, so that none of them holds the process past the hard deadline.
//!
//! Each case needs a process that the watchdog may end: this file runs itself again for it.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use winddown::{Cause, Phase, Shutdown, Signals, Split, audit};

/// Set where this file runs as the process that is to end.
const IN_THE_PROCESS: &str = "WINDDOWN_RUNTIME_END";

/// Where that process leaves its report.
const REPORT: &str = "WINDDOWN_RUNTIME_END_REPORT";

const GRACE_PERIOD: Duration = Duration::from_secs(2);
const EXIT_MARGIN: Duration = Duration::from_millis(500);
const HARD_LIMIT: Duration = Duration::from_millis(1500);

/// A quarter of it is promised; the rest is what a busy machine may add.
const SLACK: Duration = Duration::from_secs(1);

/// Far beyond the hard deadline, and not so far that a test which fails hangs.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn c27_blocking_task_does_not_hold_the_process_past_the_hard_deadline() {
    let hold = |_: &Shutdown| drop(tokio::task::spawn_blocking(|| thread::sleep(LONG)));
    assert_eq!(
        exit_of("c27_blocking_task_does_not_hold_the_process_past_the_hard_deadline", hold),
        Some(10),
        "the watchdog's"
    );
}

#[test]
fn c27_blocked_worker_does_not_hold_the_process_past_the_hard_deadline() {
    let hold = |stop: &Shutdown| stop.spawn("busy loop", |_| async { thread::sleep(LONG) });
    assert_eq!(exit_of("c27_blocked_worker_does_not_hold_the_process_past_the_hard_deadline", hold), Some(10));
}

#[test]
fn c27_status_that_is_borrowed_for_ever_does_not_hold_the_process_past_the_hard_deadline() {
    let hold = |stop: &Shutdown| {
        let watch = stop.handle().watch();
        let (borrowed, is_borrowed) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let _status = watch.borrow();
            let _ = borrowed.send(());
            thread::sleep(LONG);
        });
        is_borrowed.recv().expect("the thread lives");
    };
    let test = "c27_status_that_is_borrowed_for_ever_does_not_hold_the_process_past_the_hard_deadline";
    assert_eq!(exit_of(test, hold), Some(10));
}

#[test]
fn c41_report_says_the_exit_code_that_the_watchdog_ends_the_process_with() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let report = folder.path().join("report.json");
    let hold = |stop: &Shutdown| {
        for _ in 0..2 {
            stop.hook(Phase::Release, "blocks its worker", |_| async {
                thread::sleep(LONG);
                Ok(())
            });
        }
    };
    let test = "c41_report_says_the_exit_code_that_the_watchdog_ends_the_process_with";
    assert_eq!(exit_of_reporting(test, Some(&report), hold), Some(10));
    let said = std::fs::read_to_string(&report).expect("the last words write it");
    assert!(said.contains("\"exit_code\": 10"), "{said}");
}

#[test]
fn c27_thread_that_nobody_joins_holds_nothing() {
    let hold = |_: &Shutdown| drop(thread::spawn(|| thread::sleep(LONG)));
    assert_eq!(exit_of("c27_thread_that_nobody_joins_holds_nothing", hold), Some(0));
}

/// The exit code of a process that is held in this way, which must be gone by its hard deadline.
fn exit_of(test: &str, hold: fn(&Shutdown)) -> Option<i32> {
    exit_of_reporting(test, None, hold)
}

fn exit_of_reporting(test: &str, report: Option<&Path>, hold: fn(&Shutdown)) -> Option<i32> {
    if env::var_os(IN_THE_PROCESS).is_some() {
        live_and_stop(hold);
    }
    let child = Command::new(env::current_exe().expect("it runs"))
        .args(["--exact", "--nocapture", test])
        .env(IN_THE_PROCESS, "1")
        .envs(report.map(|path| (REPORT, path)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this file was just built");
    let ended = child.wait_with_output().expect("our own child can be waited for");
    let now = Duration::from_nanos(audit::now());

    let said = String::from_utf8_lossy(&ended.stdout);
    let t0 =
        said.lines().find_map(|line| line.strip_prefix("T0 ")?.parse().ok()).expect("it says when it began to stop");
    let (took, latest) = (now.saturating_sub(Duration::from_nanos(t0)), HARD_LIMIT + SLACK);
    assert!(
        took <= latest,
        "gone {took:?} after T0, {latest:?} is the latest\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    ended.status.code()
}

/// As a `main` with `#[tokio::main]` ends.
fn live_and_stop(hold: fn(&Shutdown)) -> ! {
    let workers = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = workers.expect("a process has a runtime");
    let report = runtime.block_on(async {
        let split = Split { lame_duck: Some(Duration::ZERO), exit_margin: Some(EXIT_MARGIN), ..Split::default() };
        let mut builder = Shutdown::builder().grace_period(GRACE_PERIOD).split(split);
        if let Some(path) = env::var_os(REPORT) {
            builder = builder.report_file(path);
        }
        let stop = builder.build().expect("it fits");
        hold(&stop);
        // From a start-up step, when the watchdog is there, and from a thread, as signals come.
        let handle = stop.handle();
        stop.start(async move {
            println!("\nT0 {}", audit::now());
            thread::spawn(move || handle.request(Cause::Requested { reason: "test".into() }));
            Ok(())
        });
        stop.run_until(Signals::from_stream(tokio_stream::pending())).await
    });
    let code = report.exit_code();
    let _returned_by_main = ExitCode::from(report);
    drop(runtime);
    std::process::exit(code.into())
}
