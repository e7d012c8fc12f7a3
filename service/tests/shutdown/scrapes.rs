//! The last scrape of a stop, by real Prometheus servers, which know nothing of it: what they have when the process is gone.

use std::{thread, time::Duration};

use serde_json::Value;

use crate::{
    harness::{Service, Settings, Signal},
    load::{Client, Now, one_after_another},
    prometheus::Prometheus,
    wire::Wire,
};

/// Long enough for a machine that is busy to be late by a quarter of it.
const INTERVAL: Duration = Duration::from_secs(2);

/// Beside the interval and a quarter, what the flush itself may take.
const FLUSH: (&str, &str) = ("FLUSH_TIMEOUT", "5s");

#[test]
fn c35_two_real_prometheus_servers_have_the_final_values_of_a_stop_under_load() {
    let Some((report, servers)) = stopped(&[FLUSH]) else { return };
    let last = &report["last_scrape"];
    println!("the flush waited {} s for {} scrapers", last["seconds"], last["scrapers"]);
    assert_eq!((&last["scrapers"], &last["complete"]), (&2.into(), &2.into()), "{report}");
    let flush = report["phases"].as_array().and_then(|phases| phases.last()).expect("it has phases");
    assert_eq!((&flush["phase"], &flush["overran"]), (&"flush".into(), &false.into()), "{report}");
    for server in &servers {
        assert_eq!(stale_in(server, &report), Vec::<String>::new(), "{report:#}");
    }
}

/// Or the test above proves nothing: with a flush that waits for nobody, what happened last is not seen.
#[test]
fn c35_without_the_wait_real_prometheus_servers_are_left_with_stale_values() {
    // A scrape may fall between the last event and the exit by chance. That is a matter of milliseconds in each two seconds.
    for _ in 0..10 {
        let Some((report, servers)) = stopped(&[("FLUSH_TIMEOUT", "10ms")]) else { return };
        let stale: Vec<_> = servers.iter().map(|server| stale_in(server, &report)).collect();
        println!("{stale:?}");
        if stale.iter().all(|of_one| of_one.iter().any(|name| name.contains("aborted"))) {
            return;
        }
    }
    panic!("ten stops that waited for no scrape, and their values were seen all the same");
}

/// Stops a service under load, and returns its report and the two servers that have scraped it.
fn stopped(settings: Settings<'_>) -> Option<(Value, [Prometheus; 2])> {
    let mut service = Service::start(&[&UNDER_LOAD, settings].concat());
    let start = || Prometheus::start(&service.admin.address, INTERVAL, None);
    let servers = [start()?, start()?];
    for server in &servers {
        // From the second on, the service knows the interval.
        server.await_some("count_over_time(lifecycle_phase{phase=\"running\"}[1m]) >= 2");
    }
    assert_eq!(service.metric("metrics_scrapers_known"), Some(2));
    stop_under_load(&mut service);
    for server in &servers {
        // One that has found nobody keeps whatever it was given before.
        server.await_some("up == 0");
    }
    Some((service.report(), servers))
}

/// What [`stop_under_load`] asks of a service.
pub(crate) const UNDER_LOAD: [(&str, &str); 2] = [("DRAIN_TIMEOUT", "2s"), ("GRACE_PERIOD", "20s")];

/// Stops a service under load in which five requests finish during the drain, and one is cut at its end.
pub(crate) fn stop_under_load(service: &mut Service) {
    let (http, now) = (service.http.clone(), Now::default());
    let connect = |_| Wire::connect(&http);
    thread::scope(|scope| {
        for mut client in (0..4).map(|name| Client::new(name, &connect, &now)) {
            scope.spawn(move || client.until_refused(one_after_another));
        }
        let finish: Vec<_> = (0..5).map(|i| service.in_flight("/work/1000", &format!("work-{i}"))).collect();
        let _cut = service.in_flight("/fault/never", "never");
        service.signal(Signal::TERM);
        for mut wire in finish {
            assert_eq!(wire.response().expect("it finishes").status, 200);
        }
        service.expect_exit(10);
    });
}

/// What the report says and this server does not.
fn stale_in(server: &Prometheus, report: &Value) -> Vec<String> {
    stale(report, |series| server.value(&format!("last_over_time({series}[5m])")))
}

/// What the report says and whoever `kept` values does not.
pub(crate) fn stale(report: &Value, kept: impl Fn(&str) -> Option<f64>) -> Vec<String> {
    let requests = &report["requests"];
    let totals = [
        ("shutdown_inflight_requests_at_start".to_owned(), &requests["in_flight_at_start"]),
        ("shutdown_requests_total{outcome=\"completed\"}".to_owned(), &requests["completed"]),
        ("shutdown_requests_total{outcome=\"aborted\"}".to_owned(), &requests["aborted"]),
        ("shutdown_late_requests_total".to_owned(), &requests["late"]),
        ("http_server_requests_rejected_total{reason=\"draining\"}".to_owned(), &requests["rejected"]),
    ];
    let list = |key: &str| report[key].as_array().expect("the report has lists").iter();
    // The flush goes on behind its last scrape.
    let phases = list("phases")
        .filter(|phase| phase["phase"] != "flush")
        .map(|phase| (format!("shutdown_phase_duration_seconds{{phase={}}}", phase["phase"]), &phase["seconds"]));
    let hooks = list("hooks").map(|hook| {
        (format!("shutdown_hook_duration_seconds{{phase={}, hook={}}}", hook["phase"], hook["hook"]), &hook["seconds"])
    });
    let all = totals.into_iter().chain(phases).chain(hooks);
    all.filter(|(series, said)| {
        let said = said.as_f64().expect("the report has numbers");
        kept(series).is_none_or(|kept| (kept - said).abs() > 1e-6)
    })
    .map(|(series, said)| format!("{series} is {said}"))
    .collect()
}
