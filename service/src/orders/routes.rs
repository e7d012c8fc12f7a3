//! - `POST /orders` with an `Idempotency-Key`: places an order; 201 the first time, 200 when it is repeated
//! - `GET /orders/{id}`: the order, and whether it is settled
//! - `GET /orders?after=CURSOR&limit=100`: orders in the order in which they were placed

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header::LOCATION},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use winddown::Draining;

use super::store::{Order, Placed, Store, Wanted};
use crate::routes::Refusal;

const KEY: &str = "idempotency-key";
const LONGEST_KEY: usize = 128;
/// Bytes; an item of the most characters fits, however they are escaped.
const LONGEST_BODY: usize = 4 * 1024;
const LONGEST_ITEM: usize = 200;
const MOST: i64 = 1000;
const LONGEST_PAGE: u32 = 1000;

pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .route("/orders", get(list).post(place))
        .route("/orders/{id}", get(show))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(middleware::from_fn(answer_at_the_deadline))
        .with_state(store)
}

/// The database may hang, and the stop does not wait for it: before a request is cut, its client is told what to do.
async fn answer_at_the_deadline(draining: Draining, request: Request, next: Next) -> Response {
    tokio::select! {
        biased;
        answer = next.run(request) => answer,
        () = draining.cancelled() => (StatusCode::SERVICE_UNAVAILABLE, REPEAT).into_response(),
    }
}

/// Answers when the order is committed: what was acknowledged is there after any crash.
async fn place(
    State(store): State<Store>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&headers)?;
    let body = body.map_err(|error| {
        (error.status(), format!("the body: {error}; {LONGEST_BODY} bytes are the most, send it whole\n"))
    })?;
    let wanted = parse(&body)?;
    let (status, order) = match store.place(key, wanted.clone()).await.map_err(failed)? {
        Placed::First(order) => (StatusCode::CREATED, order),
        Placed::Before(order) if order.wanted == wanted => (StatusCode::OK, order),
        Placed::Before(_) => {
            let text = format!("Idempotency-Key {key} was used for another order: use a new key for a new order\n");
            return Err((StatusCode::UNPROCESSABLE_ENTITY, text));
        }
    };
    Ok((status, [(LOCATION, format!("/orders/{}", order.id))], Json(order)).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut keys = headers.get_all(KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(bad(
            "Idempotency-Key must be there once: send a key that is new for each order, and the same when \
                        you repeat it",
        ));
    };
    let visible = |key: &&str| key.bytes().all(|byte| byte.is_ascii_graphic());
    key.to_str().ok().filter(visible).filter(|key| (1..=LONGEST_KEY).contains(&key.len())).ok_or_else(|| {
        bad(&format!("Idempotency-Key has {} bytes: send 1 to {LONGEST_KEY} visible ASCII characters", key.len()))
    })
}

fn parse(body: &[u8]) -> Result<Wanted, Refusal> {
    let wanted: Wanted = serde_json::from_slice(body)
        .map_err(|error| bad(&format!(r#"the body is no order: {error}; send {{"item":"tea","quantity":2}}"#)))?;
    let Wanted { item, quantity } = &wanted;
    let length = item.chars().count();
    if !(1..=LONGEST_ITEM).contains(&length) {
        return Err(bad(&format!("item has {length} characters: send 1 to {LONGEST_ITEM}")));
    }
    // PostgreSQL keeps no NUL in a text, and nobody means one.
    if item.chars().any(char::is_control) {
        return Err(bad("item has a control character: send it without"));
    }
    if !(1..=MOST).contains(quantity) {
        return Err(bad(&format!("quantity is {quantity}: send 1 to {MOST}")));
    }
    Ok(wanted)
}

async fn show(State(store): State<Store>, Path(id): Path<String>) -> Result<Json<Order>, Refusal> {
    let order = match id.parse::<Uuid>() {
        Ok(id) => store.find(&id.to_string()).await.map_err(failed)?,
        Err(_) => None,
    };
    order.map(Json).ok_or_else(|| (StatusCode::NOT_FOUND, "there is no such order\n".into()))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: String,
    #[serde(default = "Page::default_limit")]
    limit: u32,
}

impl Page {
    const fn default_limit() -> u32 {
        100
    }
}

#[derive(Serialize)]
struct Orders {
    orders: Vec<Order>,
    /// What to send as `after` for the next page; null behind the last.
    next: Option<String>,
}

async fn list(State(store): State<Store>, Query(Page { after, limit }): Query<Page>) -> Result<Json<Orders>, Refusal> {
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(bad(&format!("limit is {limit}: ask for 1 to {LONGEST_PAGE}")));
    }
    if !after.is_empty() && after.parse::<Uuid>().is_err() {
        return Err(bad("after is no cursor: send what came as next"));
    }
    // One more than wanted shows whether there is a next page.
    let mut orders = store.list(&after, limit + 1).await.map_err(failed)?;
    let more = orders.len() > limit as usize;
    orders.truncate(limit as usize);
    let next = orders.last().filter(|_| more).map(|order| order.id.clone());
    Ok(Json(Orders { orders, next }))
}

fn bad(text: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, format!("{text}\n"))
}

const REPEAT: &str = "the service had to stop before the database answered: repeat the request, an order with the same Idempotency-Key\n";

/// What a client is told when the database fails. Whether an order was placed is not known then; the same key finds out.
fn failed(error: sqlx::Error) -> Refusal {
    tracing::error!(%error, "the database failed");
    let status = match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, "the database failed: repeat the request, an order with the same Idempotency-Key\n".into())
}
