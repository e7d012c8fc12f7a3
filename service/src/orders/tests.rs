//! What holds for orders, on both databases.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use futures_util::future::{join, join_all};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    Database, Store, router,
    store::{Placed, Wanted},
};

#[path = "../../tests/shutdown/databases.rs"]
mod databases;

const LEASE: Duration = Duration::from_mins(1);

/// Two stores on one database, as two instances of the service have.
fn on_each_database(test: impl AsyncFn(Store, Store)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    databases::on_each_database(|url| {
        let database = url.parse().expect("it is the URL of a database");
        runtime.block_on(async {
            let one = Store::open(&database).await.expect("it is new and empty");
            let two = Store::open(&database).await.expect("its tables are up to date");
            test(one.clone(), two.clone()).await;
            join(one.close(), two.close()).await;
        });
    });
}

fn tea(quantity: i64) -> Wanted {
    Wanted { item: "tea".into(), quantity }
}

async fn answer(store: &Store, request: Request<Body>) -> (StatusCode, String, Value) {
    let response = router(store.clone()).oneshot(request).await.expect("a router never fails");
    let (status, location) = (response.status(), response.headers().get("location").cloned());
    let body = response.into_body().collect().await.expect("the body ends well").to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
    (status, location.map(|value| value.to_str().expect("a path is ASCII").to_owned()).unwrap_or_default(), body)
}

async fn post(store: &Store, key: &str, body: &str) -> (StatusCode, String, Value) {
    let request = Request::post("/orders").header("idempotency-key", key).body(Body::from(body.to_owned()));
    answer(store, request.expect("it is well formed")).await
}

async fn get(store: &Store, path: &str) -> (StatusCode, Value) {
    let (status, _, body) = answer(store, Request::get(path).body(Body::empty()).expect("it is well formed")).await;
    (status, body)
}

#[tokio::test]
async fn a_disk_that_was_full_is_written_to_again() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let url = format!("sqlite:{}", folder.path().join("orders.db").display());
    let pools = url.parse::<Database>().expect("it is a file").open().await.expect("the folder is writable");
    // No more pages than there are: what SQLite says then is what it says on a full disk.
    sqlx::query("PRAGMA max_page_count = 1").execute(&pools.writes).await.expect("it is no transaction");
    let fill = async |length: i64| {
        let mut transaction = pools.begin().await?;
        sqlx::query("INSERT INTO orders VALUES ($1, $1, hex(zeroblob($2)), 1, 'accepted')")
            .bind(length.to_string())
            .bind(length)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    };
    let refused = fill(1 << 20).await.expect_err("it does not fit").to_string();
    assert!(refused.contains("full"), "{refused}");
    fill(1).await.expect("there is room again");
    pools.close().await;
}

/// Places orders, one after the other, and says their ids.
async fn place(store: &Store, count: i64) -> Vec<String> {
    let mut ids = Vec::new();
    for quantity in 1..=count {
        match store.place(&format!("key-{quantity}"), tea(quantity)).await.expect("the database is there") {
            Placed::First(order) => ids.push(order.id),
            Placed::Before(order) => panic!("the key is new: {order:?}"),
        }
    }
    ids
}

#[test]
fn an_order_is_placed_and_found_and_settled() {
    on_each_database(async |store, _| {
        let (status, location, order) = post(&store, "k-1", r#"{"item":"tea","quantity":2}"#).await;
        let id = order["id"].as_str().expect("an order has an id");
        assert_eq!((status, location), (StatusCode::CREATED, format!("/orders/{id}")));
        let as_it_is = |status, settlements| json!({"id": id, "key": "k-1", "item": "tea", "quantity": 2, "status": status, "settlements": settlements});
        assert_eq!(order, as_it_is("accepted", 0));
        let path = format!("/orders/{id}");
        assert_eq!(get(&store, &path).await, (StatusCode::OK, as_it_is("accepted", 0)));
        assert!(store.settle(id).await.expect("the database is there"));
        assert_eq!(get(&store, &path).await, (StatusCode::OK, as_it_is("settled", 1)));
        for unknown in ["/orders/01a215a9-2322-7756-b9c0-28ab7c42fb58", "/orders/17", "/orders/%00"] {
            assert_eq!(get(&store, unknown).await.0, StatusCode::NOT_FOUND, "{unknown}");
        }
    });
}

#[test]
fn a_key_that_is_repeated_side_by_side_makes_one_order() {
    on_each_database(async |one, two| {
        let repeat = |i| post(if i % 2 == 0 { &one } else { &two }, "k-1", r#"{"item":"tea","quantity":2}"#);
        let answers = join_all((0..50).map(repeat)).await;
        let first = answers.iter().filter(|(status, ..)| *status == StatusCode::CREATED).count();
        let again = answers.iter().filter(|(status, ..)| *status == StatusCode::OK).count();
        assert_eq!((first, again), (1, 49), "{answers:?}");
        let ids: HashSet<_> = answers.iter().map(|(_, _, order)| order["id"].as_str()).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(one.list("", 10).await.expect("the database is there").len(), 1);
        let (status, _, text) = post(&two, "k-1", r#"{"item":"tea","quantity":3}"#).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(text.as_str().is_some_and(|text| text.contains("k-1") && text.contains("new key")), "{text}");
    });
}

#[test]
fn what_cannot_be_an_order_is_refused_with_field_and_remedy() {
    let (most, beyond) = ("ä".repeat(200), "a".repeat(201));
    let item = |item: &str| json!({"item": item, "quantity": 1}).to_string();
    let tea = item("tea");
    let (long, huge) = ("k".repeat(129), item(&"a".repeat(5000)));
    on_each_database(async |store, _| {
        for (key, body, status, part) in [
            ("", tea.as_str(), 400, "Idempotency-Key has 0 bytes: send 1 to 128"),
            ("a b", &tea, 400, "Idempotency-Key has 3 bytes: send 1 to 128 visible ASCII"),
            ("clé", &tea, 400, "visible ASCII"),
            (&long, &tea, 400, "Idempotency-Key has 129 bytes"),
            ("k", "", 400, "the body is no order"),
            ("k", r#"{"item":"tea"}"#, 400, "missing field `quantity`"),
            ("k", r#"{"item":"tea","quantity":1.5}"#, 400, "send {\"item\":\"tea\",\"quantity\":2}"),
            ("k", r#"{"item":"tea","quantity":1,"price":0}"#, 400, "unknown field `price`"),
            ("k", r#"{"item":"tea","quantity":0}"#, 400, "quantity is 0: send 1 to 1000"),
            ("k", r#"{"item":"tea","quantity":1001}"#, 400, "quantity is 1001"),
            ("k", r#"{"item":"","quantity":1}"#, 400, "item has 0 characters: send 1 to 200"),
            ("k", r#"{"item":"\u0000","quantity":1}"#, 400, "item has a control character"),
            ("k", &item(&beyond), 400, "item has 201 characters"),
            ("k", &huge, 413, "4096 bytes are the most"),
            ("k", &item(&most), 201, "k"),
        ] {
            let (refused, _, text) = post(&store, key, body).await;
            assert_eq!(refused.as_u16(), status, "{key} {body}: {text}");
            assert!(text.to_string().replace('\\', "").contains(part), "{key} {body}: no {part} in {text}");
        }
        for query in ["limit=0", "limit=1001", "limit=x", "after=17"] {
            assert_eq!(get(&store, &format!("/orders?{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
        }
    });
}

#[test]
fn a_request_without_a_key_or_with_two_is_refused() {
    on_each_database(async |store, _| {
        for keys in [0, 2] {
            let with_keys =
                (0..keys).fold(Request::post("/orders"), |request, _| request.header("idempotency-key", "k"));
            let request = with_keys.body(Body::from(r#"{"item":"tea","quantity":2}"#)).expect("it is well formed");
            let (status, _, text) = answer(&store, request).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert!(
                text.as_str().is_some_and(|text| text.starts_with("Idempotency-Key must be there once: send")),
                "{text}"
            );
        }
    });
}

#[test]
fn a_list_goes_on_behind_its_cursor_to_the_last_order() {
    on_each_database(async |store, _| {
        let placed = place(&store, 5).await;
        let (mut path, mut seen, mut pages) = ("/orders?limit=2".to_owned(), Vec::new(), 0);
        loop {
            let (status, page) = get(&store, &path).await;
            assert_eq!(status, StatusCode::OK);
            pages += 1;
            let orders = page["orders"].as_array().expect("a page has orders");
            seen.extend(orders.iter().map(|order| order["id"].as_str().expect("an order has an id").to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/orders?limit=2&after={next}");
        }
        assert_eq!((seen, pages), (placed, 3));
        let (_, whole) = get(&store, "/orders?limit=5").await;
        assert_eq!((whole["orders"].as_array().map(Vec::len), &whole["next"]), (Some(5), &Value::Null));
    });
}

#[test]
fn orders_that_are_held_are_nobody_elses_until_the_lease_is_over_or_they_are_handed_back() {
    on_each_database(async |one, two| {
        let placed = place(&one, 3).await;
        let claim = |store: Store, holder, lease| async move {
            store.claim(holder, 10, lease).await.expect("the database is there")
        };
        assert_eq!(claim(one.clone(), "one", LEASE).await, placed);
        assert!(claim(two.clone(), "two", LEASE).await.is_empty(), "they are held");
        assert_eq!(two.hand_back("two").await.expect("the database is there"), 0);
        assert_eq!(one.hand_back("one").await.expect("the database is there"), 3);
        // A crash is a lease that nobody hands back.
        assert_eq!(claim(one.clone(), "one", Duration::ZERO).await, placed);
        tokio::time::sleep(Duration::from_millis(2)).await; // the lease counts in whole milliseconds
        assert_eq!(claim(two.clone(), "two", LEASE).await, placed, "the lease is over");
        // The first one was only slow. Whoever is quicker settles, once.
        let (by_one, by_two) = join(one.settle(&placed[0]), two.settle(&placed[0])).await;
        assert!(by_one.expect("the database is there") ^ by_two.expect("the database is there"));
        let order = one.find(&placed[0]).await.expect("the database is there").expect("it was placed");
        assert_eq!((order.status.as_str(), order.settlements), ("settled", 1));
    });
}

#[test]
fn instances_that_claim_side_by_side_never_hold_the_same_order() {
    on_each_database(async |one, two| {
        place(&one, 60).await;
        for round in 0..5 {
            let claim = async |i| {
                let (store, holder) = (if i % 2 == 0 { &one } else { &two }, format!("{round}-{i}"));
                let ids = store.claim(&holder, 10, LEASE).await.expect("the database is there");
                (store, holder, ids)
            };
            let claims = join_all((0..8).map(claim)).await;
            let held: Vec<_> = claims.iter().flat_map(|(.., ids)| ids).collect();
            let distinct: HashSet<_> = held.iter().collect();
            assert_eq!((held.len(), distinct.len()), (60, 60), "held by nobody, or twice: {claims:?}");
            for (store, holder, _) in claims {
                store.hand_back(&holder).await.expect("the database is there");
            }
        }
    });
}

#[test]
fn two_instances_share_the_work_and_no_order_is_settled_twice_or_not_at_all() {
    on_each_database(async |one, two| {
        let work = async |store: Store, name: &str| {
            let mut settled = BTreeSet::new();
            loop {
                let ids = store.claim(name, 4, LEASE).await.expect("no instance finds the database locked");
                if ids.is_empty() {
                    return settled;
                }
                for id in ids {
                    assert!(store.settle(&id).await.expect("as above"), "{id} was taken from {name}");
                    settled.insert(id);
                }
            }
        };
        let placed: BTreeSet<_> = place(&one, 100).await.into_iter().collect();
        let (by_one, by_two) = join(work(one.clone(), "one"), work(two, "two")).await;
        assert!(by_one.is_disjoint(&by_two));
        assert_eq!(&by_one | &by_two, placed);
        let orders = one.list("", 1000).await.expect("the database is there");
        assert!(orders.iter().all(|order| order.settlements == 1 && order.status == "settled"), "{orders:?}");
    });
}

#[test]
fn orders_under_load_never_find_the_database_locked() {
    on_each_database(async |one, two| {
        let place = |i| {
            let (store, key) = (if i % 2 == 0 { &one } else { &two }, format!("k-{i}"));
            async move { store.place(&key, tea(1)).await }
        };
        let settle = async {
            for _ in 0..20 {
                for id in one.claim("one", 4, LEASE).await.expect("no instance finds the database locked") {
                    assert!(one.settle(&id).await.expect("as above"));
                }
            }
        };
        let (placed, ()) = join(join_all((0..200).map(place)), settle).await;
        let failed: Vec<_> = placed.into_iter().filter_map(Result::err).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

#[test]
fn c34_close_waits_until_a_file_of_sqlite_is_whole_without_its_log() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |name| folder.path().join(name);
    let database = format!("sqlite:{}", file("orders.db").display()).parse().expect("it is the URL of a database");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let store = Store::open(&database).await.expect("it is new and empty");
        place(&store, 3).await;
        assert_eq!(store.list("", 10).await.expect("the database is there").len(), 3, "a reader is connected, too");
        assert!(file("orders.db-wal").exists(), "this is to see that it goes");
        store.close().await;
        assert!(!file("orders.db-wal").exists() && !file("orders.db-shm").exists());
    });
}

#[test]
fn a_database_that_is_gone_is_said_in_plain_text_without_its_secrets() {
    on_each_database(async |store, _| {
        store.close().await;
        let (status, _, text) = post(&store, "k", r#"{"item":"tea","quantity":2}"#).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.as_str().is_some_and(|text| text.contains("the same Idempotency-Key")), "{text}");
    });
}
