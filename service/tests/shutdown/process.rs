//! The process as whoever started it sees it: how soon it is gone, with which code, and what it leaves.

use std::{net::TcpListener, thread, time::Duration, time::Instant};

use crate::harness::{PATIENCE, Service, Settings, Signal, free_ports};

#[test]
fn c15_idle_service_is_gone_at_once() {
    let bound = Duration::from_millis(250);
    let stop = |_| {
        let mut service = Service::start(&[]);
        service.signal(Signal::TERM);
        service.expect_exit(0).after
    };
    // The best of a few: on a loaded machine one run measures the neighbours.
    let mut tries = (0..8).map(stop).inspect(|after| println!("signal to exit: {after:?}"));
    assert!(tries.any(|after| after <= bound), "an idle service took longer than {bound:?} every time");
}

#[test]
fn c15_idle_service_is_gone_as_soon_as_the_lame_duck_ends() {
    let mut service = Service::start(&[("LAME_DUCK", "700ms")]);
    service.signal(Signal::TERM);
    let exit = service.expect_exit(0);
    assert!(exit.after >= Duration::from_millis(700), "the lame duck was cut short: {:?}", exit.after);
    assert!(exit.after < Duration::from_millis(2700), "something was waited for: {:?}", exit.after);
}

#[test]
fn c16_last_response_ends_the_drain() {
    let mut service = Service::start(&[]);
    let mut wire = service.in_flight("/work/1000", "last");
    service.signal(Signal::TERM);
    assert_eq!(wire.response().expect("it finishes").status, 200);
    let answered = Instant::now();
    service.expect_exit(0);
    assert!(answered.elapsed() < Duration::from_secs(2), "still there {:?} after the answer", answered.elapsed());
}

#[test]
fn c17_successor_binds_the_same_ports_at_once() {
    let mut first = Service::start(&[]);
    let _idle = first.idle("before");
    let mut busy = first.in_flight("/work/300", "busy");
    first.signal(Signal::TERM);
    assert_eq!(busy.response().expect("it finishes").status, 200);
    first.expect_exit(0);
    // Both connections were closed by the server, so it is the server's port that is in TIME_WAIT.
    let second = Service::start_at(first.addresses(), &[]);
    assert_eq!(second.connect().get("/hello", "after").expect("the successor serves").status, 200);
}

#[test]
fn c38_signal_before_readiness_unwinds_what_was_started() {
    for i in 0..20 {
        let mut service = Service::spawn(free_ports(), &[]);
        thread::sleep(Duration::from_micros(i * 700)); // some other moment of the start each time
        service.signal(Signal::TERM);
        let exit = service.wait_exit(PATIENCE);
        // Until the process has come to install its handler the kernel's own still holds: a clean end as well, as
        // long as nothing has been started.
        let untouched = || exit.status.to_string().contains("SIGTERM") && service.stderr().is_empty();
        assert!(exit.status.code() == Some(0) || untouched(), "try {i}: {exit:?}\n{}", service.stderr());
        assert!(exit.after < Duration::from_secs(10), "try {i}: {exit:?}");
    }
}

#[test]
fn c41_port_that_is_taken_fails_the_start_with_1_and_names_the_setting() {
    for setting in ["HTTP_ADDR", "ADMIN_ADDR"] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("the kernel has a free port");
        let address = taken.local_addr().expect("a bound socket has an address").to_string();
        let (code, said, _) = refused_start(&[(setting, &address)]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(setting) && said.contains(&address), "which one? {said}");
    }
}

#[cfg(feature = "orders")]
#[test]
fn c41_database_that_cannot_be_opened_fails_the_start_with_1_and_leaves_nothing() {
    for (url, shown) in [
        ("postgres://me:secret@127.0.0.1:1/orders", "DATABASE_URL=postgres://me:****@127.0.0.1:1/orders"),
        ("sqlite:no/such/folder/orders.db", "DATABASE_URL=sqlite:no/such/folder/orders.db"),
    ] {
        let (code, said, left) = refused_start(&[("DATABASE_URL", url)]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(shown) && !said.contains("secret") && !said.contains(SERVES), "{said}");
        assert!(left.is_empty(), "{url} left {left:?}");
    }
}

#[cfg(feature = "orders")]
/// Part of the line that the traffic port writes when it is there.
const SERVES: &str = r#""server":"public""#;

#[cfg(feature = "orders")]
#[test]
fn c38_signal_while_a_database_says_nothing_unwinds_and_never_listens() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("the kernel has a free port");
    let url = format!("postgres://{}/orders", silent.local_addr().expect("a bound socket has an address"));
    let mut service = Service::spawn(free_ports(), &[("DATABASE_URL", &url)]);
    let _asked = silent.accept().expect("the service connects");
    let probe = |path| service.admin_get(path).expect("probes are answered from the first").status;
    assert_eq!(["/livez", "/startupz", "/readyz"].map(probe), [200, 503, 503]);
    service.signal(Signal::TERM);
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(5), "the database was waited for: {exit:?}");
    assert!(!service.stderr().contains(SERVES), "{}", service.stderr());
}

#[test]
fn c41_configuration_that_is_refused_ends_with_78_and_leaves_nothing() {
    let cases: &[(Settings<'_>, &[&str])] = &[
        (&[("GRACE_PERIOD", "abc")], &["GRACE_PERIOD", "abc"]),
        (&[("LAME_DUCK", "-3s")], &["LAME_DUCK", "-3s"]),
        (&[("GRACE_PERIOD", "10s"), ("DRAIN_TIMEOUT", "25s")], &["GRACE_PERIOD=10s", "DRAIN_TIMEOUT", "25s", "in all"]),
        (&[("SHUTDOWN_REPORT", "no/such/folder/report.json")], &["SHUTDOWN_REPORT", "no/such/folder/report.json"]),
        (&[("AUDIT_LOG", "no/such/folder/audit.log")], &["AUDIT_LOG", "no/such/folder/audit.log"]),
        #[cfg(feature = "orders")]
        (&[("DATABASE_URL", "mysql://me:secret@db/orders")], &["DATABASE_URL", "mysql", "write sqlite:FILE"]),
        #[cfg(feature = "orders")]
        (&[("SETTLE_LEASE", "0s")], &["SETTLE_LEASE", "0s"]),
        (&[("METRICS_PUSH", "http://me:secret@host:9091")], &["METRICS_PUSH", "write http://HOST:PORT/metrics/job/"]),
        (&[("METRICS_TEXTFILE", "no/such/a.prom")], &["METRICS_TEXTFILE=no/such/a.prom", "No such file"]),
    ];
    for &(settings, words) in cases {
        let (code, said, left) = refused_start(settings);
        assert_eq!(code, Some(78), "{settings:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{settings:?}: no {word} in: {said}");
        }
        assert!(!said.contains("panicked") && !said.contains("secret"), "{settings:?}: {said}");
        assert!(left.is_empty(), "{settings:?} left {left:?}");
    }
}

fn refused_start(settings: Settings<'_>) -> (Option<i32>, String, Vec<std::path::PathBuf>) {
    let mut service = Service::spawn(free_ports(), settings);
    let exit = service.wait_exit(PATIENCE);
    (exit.status.code(), service.stderr(), service.left_behind())
}
