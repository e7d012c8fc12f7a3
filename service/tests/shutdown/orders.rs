//! Orders through a stop: what was acknowledged is kept, and settled once, whoever settles it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use serde_json::Value;

use crate::{
    databases::{on_connection, on_each_database},
    harness::{PATIENCE, Service, Settings, Signal},
    observe::eventually,
    wire::{Broken, Response, Wire},
};

const ORDERS: &str = "SELECT COUNT(*) FROM orders";
const SETTLED: &str = "SELECT COUNT(*) FROM settlements";
const TO_DO: &str = "SELECT COUNT(*) FROM outbox";
const HELD: &str = "SELECT COUNT(*) FROM outbox WHERE holder <> ''";

/// A lease that no test outlives: an order that another instance settles was handed back.
const FOR_EVER: (&str, &str) = ("SETTLE_LEASE", "1h");

#[test]
fn c33_worker_stops_fetching_at_t0_and_hands_back_what_it_holds() {
    on_each_database(|url| {
        let stop = [FOR_EVER, ("SETTLE_TAKES", "1s"), ("GRACE_PERIOD", "30s"), ("LAME_DUCK", "5s")];
        let mut service = start(url, &stop);
        place(&service, "first");
        await_number(url, HELD, |held| held == 1);
        // They gather while the first one is settled, and then are taken at once.
        for key in ["second", "third", "fourth", "fifth", "sixth", "seventh"] {
            place(&service, key);
        }
        await_number(url, HELD, |held| held > 2);
        let before = number(url, SETTLED);
        service.signal(Signal::TERM);
        service.await_phase("lame_duck");
        place(&service, "while balancers look away");
        service.expect_exit(0);

        let settled = number(url, SETTLED);
        // One was in its hands, and one more may have been finished between the look and the signal. In its lame duck
        // it had time for all of them.
        assert!((1..=2).contains(&(settled - before)), "{before} were settled before T0, {settled} at the end");
        assert_eq!((number(url, TO_DO), number(url, HELD)), (8 - settled, 0), "all others were handed back");
        assert_no_error(&service);
        let successor = start(url, &[FOR_EVER]);
        await_number(url, SETTLED, |settled| settled == 8);
        assert_no_error(&successor);
    });
}

#[test]
fn c33_worker_finishes_the_order_in_its_hands() {
    on_each_database(|url| {
        let mut service = start(url, &[FOR_EVER, ("SETTLE_TAKES", "1500ms"), ("BACKGROUND_TIMEOUT", "4s")]);
        place(&service, "in hand");
        await_number(url, HELD, |held| held == 1);
        service.signal(Signal::TERM);
        service.await_phase("background");
        service.expect_exit(0);
        assert_eq!((number(url, SETTLED), number(url, TO_DO)), (1, 0));
        assert_no_error(&service);
    });
}

#[test]
fn c33_worker_hands_back_at_the_deadline_what_takes_too_long() {
    on_each_database(|url| {
        let mut service = start(url, &[FOR_EVER, ("SETTLE_TAKES", "1h"), ("BACKGROUND_TIMEOUT", "1s")]);
        place(&service, "in hand");
        await_number(url, HELD, |held| held == 1);
        service.signal(Signal::TERM);
        service.expect_exit(0);
        assert_eq!((number(url, SETTLED), number(url, TO_DO), number(url, HELD)), (0, 1, 0));
        let _successor = start(url, &[FOR_EVER]);
        await_number(url, SETTLED, |settled| settled == 1);
    });
}

#[test]
fn c34_pool_closes_after_handlers_and_jobs() {
    on_each_database(|url| {
        let mut service = start(url, &[FOR_EVER, ("SETTLE_TAKES", "2500ms"), ("BACKGROUND_TIMEOUT", "4s")]);
        place(&service, "in the worker's hands");
        await_number(url, HELD, |held| held == 1);
        let mut wire = service.connect();
        let request = post("in flight");
        let (begun, rest) = request.split_at(request.len() - 5);
        wire.send(begun).expect("the service reads");
        service.await_entered("in-flight");
        service.signal(Signal::TERM);
        service.await_phase("drain");
        wire.send(rest).expect("the connection is open");
        assert_eq!(wire.response().expect("it is in flight").status, 201);
        service.await_phase("background");
        service.expect_exit(0);
        assert_eq!((number(url, ORDERS), number(url, SETTLED), number(url, TO_DO)), (2, 1, 1));
        assert_no_error(&service);
        let report = service.report();
        let hook =
            report["hooks"].as_array().and_then(|hooks| hooks.iter().find(|hook| hook["hook"] == "database pool"));
        let hook = hook.unwrap_or_else(|| panic!("the pool is not closed: {report}"));
        assert_eq!((&hook["phase"], &hook["outcome"]), (&"release".into(), &"ok".into()), "{hook}");
    });
}

#[test]
fn c34_clean_stop_leaves_a_database_of_one_file() {
    let mut service = Service::start(&[]);
    place(&service, "k");
    let file = |name| service.folder.path().join(name);
    let files = ["orders.db", "orders.db-wal", "orders.db-shm"].map(file);
    assert!(files[1].exists(), "this is to see that the log of SQLite goes");
    service.signal(Signal::TERM);
    service.expect_exit(0);
    assert_eq!(files.map(|file| file.exists()), [true, false, false]);
}

#[test]
fn c34_order_that_the_database_does_not_take_is_answered_before_it_is_cut() {
    on_each_database(|url| {
        let mut service = start(url, &[("DRAIN_TIMEOUT", "500ms"), ("CANCEL_GRACE", "2s")]);
        // Another process holds what an order needs.
        let hold = match url.split_once(':') {
            Some(("sqlite", _)) => "BEGIN IMMEDIATE",
            _ => "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
        };
        on_connection(url, async |connection| {
            sqlx::raw_sql(hold).execute(&mut *connection).await.expect("nobody else writes");
            let mut wire = service.connect();
            wire.send(post("waits")).expect("the service reads");
            service.await_entered("waits");
            service.signal(Signal::TERM);
            let answer = wire.response().expect("it is told what to do");
            assert_eq!((answer.status, answer.closes()), (503, true), "{answer:?}");
            assert!(answer.body.contains("repeat the request"), "{answer:?}");
            sqlx::raw_sql("ROLLBACK").execute(connection).await.expect("it is a transaction");
        });
        service.wait_exit(PATIENCE);
        assert_eq!(service.report()["requests"]["cut"], 0, "{}", service.report());
    });
}

const CLIENTS: usize = 8;

#[test]
fn c42_orders_that_were_acknowledged_survive_sigkill_and_are_settled_once() {
    on_each_database(|url| {
        let mut service = start(url, &[("SETTLE_LEASE", "1s")]);
        let acknowledged = acknowledged_until_killed(&mut service);

        let successor = start(url, &[("SETTLE_LEASE", "1s")]);
        await_number(url, TO_DO, |to_do| to_do == 0);
        let orders = every_order(&successor);
        for (id, key) in &acknowledged {
            assert_eq!(orders.get(id).map(|order| &order["key"]), Some(&Value::from(key.as_str())), "{key} is lost");
        }
        // Each client had one request in flight, which may have been committed and not acknowledged.
        let surplus = orders.len() - acknowledged.len();
        assert!(surplus <= CLIENTS, "{surplus} orders that nobody knows of");
        let unsettled: Vec<_> = orders.values().filter(|order| order["settlements"] != 1).collect();
        assert!(unsettled.is_empty(), "{unsettled:?}");
        assert_no_error(&successor);
        println!("{} orders acknowledged, {surplus} committed and not acknowledged", acknowledged.len());
    });
}

/// The orders that clients know of, by id, with their keys.
fn acknowledged_until_killed(service: &mut Service) -> BTreeMap<String, String> {
    let (acknowledged, count) = (Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    let http = service.http.clone();
    let place_until_killed = |client| {
        let mut wire = Wire::connect(&http).expect("the service listens");
        for i in 0.. {
            let key = format!("{client}-{i}");
            let Ok(response) = send(&mut wire, &key) else { return };
            assert_eq!(response.status, 201, "{response:?}");
            acknowledged.lock().expect("nobody panics with it").insert(id(&response), key);
            count.fetch_add(1, Relaxed);
        }
    };
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || place_until_killed(client));
        }
        eventually("orders", || (count.load(Relaxed) >= 20 * CLIENTS).then_some(()));
        service.signal(Signal::KILL);
    });
    service.wait_exit(PATIENCE);
    acknowledged.into_inner().expect("as above")
}

/// Every order there is, by id, as the list shows them.
fn every_order(service: &Service) -> BTreeMap<String, Value> {
    let (mut wire, mut all, mut path) = (service.connect(), BTreeMap::new(), "/orders?limit=100".to_owned());
    loop {
        let page = wire.get(&path, "list").expect("the service runs");
        let page: Value = serde_json::from_str(&page.body).expect("a list is JSON");
        for order in page["orders"].as_array().expect("a page has orders") {
            let id = order["id"].as_str().expect("an order has an id").to_owned();
            assert!(all.insert(id, order.clone()).is_none(), "listed twice: {order}");
        }
        let Some(next) = page["next"].as_str() else { return all };
        path = format!("/orders?limit=100&after={next}");
    }
}

fn start(url: &str, settings: Settings<'_>) -> Service {
    Service::start(&[&[("DATABASE_URL", url)], settings].concat())
}

fn place(service: &Service, key: &str) {
    let response = send(&mut service.connect(), key).expect("the service runs");
    assert_eq!(response.status, 201, "{response:?}");
}

fn send(wire: &mut Wire, key: &str) -> Result<Response, Broken> {
    let _ = wire.send(post(key)); // an answer that does not come says why
    wire.response()
}

/// An order, ready to be sent; its key is the id of the request as well.
pub(crate) fn post(key: &str) -> String {
    let (key, body) = (key.replace([' ', '\''], "-"), r#"{"item":"tea","quantity":2}"#);
    let length = body.len();
    format!(
        "POST /orders HTTP/1.1\r\nhost: service\r\nx-request-id: {key}\r\nidempotency-key: {key}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

fn id(response: &Response) -> String {
    let order: Value = serde_json::from_str(&response.body).expect("an order is JSON");
    order["id"].as_str().expect("an order has an id").to_owned()
}

fn number(url: &str, sql: &'static str) -> i64 {
    on_connection(url, async |connection| {
        sqlx::query_scalar(sql).fetch_one(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    })
}

fn await_number(url: &str, sql: &'static str, is_wanted: impl Fn(i64) -> bool) {
    eventually(sql, || is_wanted(number(url, sql)).then_some(()));
}

fn assert_no_error(service: &Service) {
    let log = service.stderr();
    assert!(!log.contains(r#""level":"ERROR""#), "{log}");
}
