use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};

use super::{successor::settled, *};

const CLEAN: Option<Exit> = Some(Exit { at: 0, code: 0 });

fn order(key: &str, settlements: u64) -> Order {
    Order { key: key.to_owned(), settlements }
}

/// The faults of one order that its client was `told` this of, when this is `found`.
fn faults(told: Option<Told>, found: &[Order]) -> Vec<Fault> {
    reconcile(told.map(|told| ("k", told)), found, CLEAN).faults.into_keys().collect()
}

#[test]
fn an_order_that_was_acknowledged_is_there_and_settled_once() {
    assert_eq!(faults(Some(Told::Acknowledged), &[order("k", 1)]), []);
    assert_eq!(faults(Some(Told::Acknowledged), &[]), [Fault::LostOrder]);
}

#[test]
fn a_key_that_is_there_twice_and_an_order_that_is_settled_twice_are_double() {
    assert_eq!(faults(Some(Told::Acknowledged), &[order("k", 1), order("k", 1)]), [Fault::Double]);
    assert_eq!(faults(Some(Told::Nothing), &[order("k", 2)]), [Fault::Double]);
    assert_eq!(faults(Some(Told::Nothing), &[order("k", 0), order("k", 1)]), [Fault::Double, Fault::Unsettled]);
}

#[test]
fn an_order_that_nobody_settled_fails_whoever_knows_of_it() {
    assert_eq!(faults(Some(Told::Acknowledged), &[order("k", 0)]), [Fault::Unsettled]);
    assert_eq!(faults(Some(Told::Nothing), &[order("k", 0)]), [Fault::Unsettled]);
}

#[test]
fn an_order_that_no_client_wanted_to_place_is_unknown() {
    assert_eq!(faults(None, &[order("stranger", 1)]), [Fault::Unknown]);
}

#[test]
fn an_order_that_was_not_processed_by_the_servers_own_word_is_not_there() {
    assert_eq!(faults(Some(Told::NotProcessed), &[]), []);
    assert_eq!(faults(Some(Told::NotProcessed), &[order("k", 1)]), [Fault::Lie]);
}

#[test]
fn an_order_whose_client_has_no_answer_may_be_there_and_is_counted() {
    let orders = reconcile([("k", Told::Nothing), ("l", Told::Nothing)], &[order("k", 1)], CLEAN);
    assert_eq!(orders, Orders { found: 1, unanswered: 1, successor: Some(0), ..Orders::default() });
}

#[test]
fn what_a_client_was_told_follows_from_its_outcome() {
    let cases = [
        (Some((Client::Ok, Some(201))), Told::Acknowledged),
        (Some((Client::Ok, Some(200))), Told::Acknowledged),
        (Some((Client::Truncated, Some(201))), Told::Acknowledged),
        (Some((Client::Rejected, Some(503))), Told::NotProcessed),
        (Some((Client::Farewell, Some(408))), Told::NotProcessed),
        (Some((Client::Refused, None)), Told::NotProcessed),
        (Some((Client::H2Nack, None)), Told::NotProcessed),
        (Some((Client::NoResponse, None)), Told::Nothing),
        (Some((Client::Timeout, None)), Told::Nothing),
        (Some((Client::Error, Some(500))), Told::Nothing),
        (Some((Client::BadRejection, Some(503))), Told::Nothing),
        (None, Told::Nothing),
    ];
    for (outcome, told) in cases {
        assert_eq!(Told::by(outcome), told, "{outcome:?}");
    }
}

#[test]
fn the_line_says_what_was_looked_for_and_the_reasons_name_the_first_key() {
    let told = [("a", Told::Acknowledged), ("b", Told::Acknowledged), ("c", Told::Acknowledged), ("d", Told::Nothing)];
    let orders = reconcile(told, &[order("c", 1), order("d", 3)], Some(Exit { at: 0, code: 10 }));
    let line = "3 acknowledged, 2 found (1 unanswered) · 2 lost · 1 double · 0 unsettled · 0 unknown · 0 lie";
    assert_eq!(orders.to_string(), line);
    let reasons = [
        "orders: 2 acknowledged and lost, the first is a",
        "orders: 1 placed or settled twice, the first is d",
        "the successor that told the orders ended with code 10",
    ];
    assert_eq!(orders.failures().collect::<Vec<_>>(), reasons);
    let twice = Orders::sum([&orders, &orders].into_iter()).expect("there are some");
    assert_eq!((twice.acknowledged, twice.count(Fault::LostOrder), twice.unanswered), (6, 4, 2));
    assert_eq!(Orders::sum(std::iter::empty()), None);
}

/// A service with 2,500 orders, which are settled when their list is begun for the `settled_at`th time.
#[derive(Clone)]
struct Stub {
    looks: Arc<AtomicU64>,
    settled_at: u64,
    /// There is always a next page.
    endless: bool,
}

#[derive(Deserialize)]
struct Asked {
    limit: u64,
    after: Option<u64>,
}

async fn page(State(stub): State<Stub>, Query(Asked { limit, after }): Query<Asked>) -> String {
    const ORDERS: u64 = 2500;
    let looks = stub.looks.fetch_add(u64::from(after.is_none()), Ordering::Relaxed) + u64::from(after.is_none());
    let settlements = u64::from(looks >= stub.settled_at);
    let first = after.map_or(0, |after| after + 1);
    let end = (first + limit).min(ORDERS);
    let order = |id| serde_json::json!({"id": id, "key": format!("t-0-{id}"), "settlements": settlements});
    let orders: Vec<_> = (first..end).map(order).collect();
    let next = (stub.endless || end < ORDERS).then(|| (end - 1).to_string());
    serde_json::json!({"orders": orders, "next": next}).to_string()
}

/// Serves `app` until the end of the process.
fn serve(app: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("a socket can be set so");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, app).await })
    });
    address
}

fn stub(settled_at: u64, endless: bool) -> SocketAddr {
    let stub = Stub { looks: Arc::default(), settled_at, endless };
    serve(Router::new().route("/orders", get(page)).with_state(stub))
}

#[test]
fn every_page_is_read_until_the_last_order_is_settled() {
    let orders = settled(stub(3, false), Duration::from_mins(1)).expect("the stub tells them");
    assert_eq!(orders, (0..2500).map(|id| order(&format!("t-0-{id}"), 1)).collect::<Vec<_>>());
}

#[test]
fn an_order_that_is_never_settled_is_told_as_it_is_after_the_bound() {
    let orders = settled(stub(u64::MAX, false), Duration::ZERO).expect("the stub tells them");
    assert_eq!(orders.len(), 2500);
    assert!(orders.iter().all(|order| order.settlements == 0));
}

#[test]
fn a_list_without_an_end_and_an_answer_that_is_none_are_errors() {
    let error = settled(stub(1, true), Duration::ZERO).expect_err("it never ends").to_string();
    assert_eq!(error, "the list of orders does not end: GET /orders?limit=1000&after=2499 goes on");

    let error = settled(serve(Router::new()), Duration::ZERO).expect_err("there is no such path");
    let beginning = "the orders cannot be read by GET /orders?limit=1000: the answer is 404";
    assert!(format!("{error:#}").starts_with(beginning), "{error:#}");
}
