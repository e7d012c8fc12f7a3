//! A successor on the database that a stopped service has left: it settles what is left, and tells every order.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde::Deserialize;
use tokio::{net::TcpStream, runtime, time::timeout};

use super::Order;
use crate::{process::Exit, server::Running, wait};

/// From the first look at the orders to all of them settled.
const SETTLED_BOUND: Duration = Duration::from_secs(30);

/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(100);

/// A page, read and sent by a machine that is busy.
const PAGE_BOUND: Duration = Duration::from_secs(10);
const PAGE: usize = 1000;

/// More than any load places: a list that does not end must not keep the run.
const MOST: usize = 10_000_000;

#[derive(Deserialize)]
struct Page {
    orders: Vec<Order>,
    next: Option<String>,
}

/// Waits until `successor` has settled every order, then stops it by SIGTERM: the orders, and its end if it ended within
/// `exit_bound`. An order that is unsettled after 30 s is told as it is.
pub fn ask(mut successor: Running, exit_bound: Duration) -> anyhow::Result<(Vec<Order>, Option<Exit>)> {
    let orders = settled(successor.traffic, SETTLED_BOUND)?;
    successor.process.signal(Signal::TERM)?;
    Ok((orders, successor.process.wait(exit_bound)?))
}

/// The orders of the service at `address` as soon as all are settled, or as they are when `bound` has passed.
pub(super) fn settled(address: SocketAddr, bound: Duration) -> anyhow::Result<Vec<Order>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut orders = Vec::new();
    wait::until(bound, PAUSE, || {
        orders = runtime.block_on(list(address))?;
        Ok(orders.iter().all(|order| order.settlements > 0).then_some(()))
    })?;
    Ok(orders)
}

/// Every order, page by page.
async fn list(address: SocketAddr) -> anyhow::Result<Vec<Order>> {
    let mut orders = Vec::new();
    let mut path = format!("/orders?limit={PAGE}");
    loop {
        wait::check()?;
        let page = timeout(PAGE_BOUND, page(address, &path)).await.map_err(anyhow::Error::from).flatten();
        let mut page = page.with_context(|| format!("the orders cannot be read by GET {path}"))?;
        let is_empty = page.orders.is_empty();
        orders.append(&mut page.orders);
        let Some(next) = page.next else { return Ok(orders) };
        anyhow::ensure!(!is_empty && orders.len() < MOST, "the list of orders does not end: GET {path} goes on");
        path = format!("/orders?limit={PAGE}&after={next}");
    }
}

async fn page(address: SocketAddr, path: &str) -> anyhow::Result<Page> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, address.to_string()).header(CONNECTION, "close");
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    anyhow::ensure!(response.status() == StatusCode::OK, "the answer is {}", response.status());
    let body = response.into_body().collect().await?.to_bytes();
    serde_json::from_slice(&body).context("the answer is no page of orders")
}
