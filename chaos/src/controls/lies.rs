//! Lies on the client's side: whoever repeats requests on their way, and a ledger that forgets.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::Context;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use crate::server::Running;

/// Every so many outcomes one is forgotten.
const FORGOTTEN: usize = 10;

/// What is read of a client at a time.
const PIECE: usize = 16 << 10;

/// Who lies between a load and its judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A proxy sends whatever it is sent to the server twice, as one that retries does.
    Repeats,
    /// The client's ledger has lost outcomes.
    Forgets,
}

impl Lie {
    /// Takes the place of `server` for whoever is told of its address from now on, until what is returned is dropped.
    pub fn stand_before(self, server: &mut Running) -> anyhow::Result<Option<Runtime>> {
        if self != Self::Repeats {
            return Ok(None);
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("repeats").enable_io().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.context("127.0.0.1 has no free port")?;
        let behind = std::mem::replace(&mut server.traffic, listener.local_addr()?);
        runtime.spawn(repeat(listener, behind));
        Ok(Some(runtime))
    }

    /// Changes the client's ledger, which is complete.
    pub fn edit(self, ledger: &Path) -> anyhow::Result<()> {
        if self != Self::Forgets {
            return Ok(());
        }
        let text = fs::read_to_string(ledger).with_context(|| format!("cannot read {}", ledger.display()))?;
        fs::write(ledger, forgetful(&text)).with_context(|| format!("cannot write {}", ledger.display()))
    }
}

fn forgetful(ledger: &str) -> String {
    let mut outcomes = 0;
    let kept = ledger.split_inclusive('\n').filter(|line| {
        let is_outcome = line.split(' ').nth(1) == Some("outcome");
        outcomes += usize::from(is_outcome);
        !is_outcome || outcomes % FORGOTTEN != 0
    });
    kept.collect()
}

/// Until nobody listens behind it: then the port closes, and the load knows.
async fn repeat(listener: TcpListener, behind: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        let (Ok(first), Ok(second)) = (TcpStream::connect(behind).await, TcpStream::connect(behind).await) else {
            return;
        };
        tokio::spawn(twice(client, first, second));
    }
}

/// The client is answered by the first, and the second hears the same.
async fn twice(mut client: TcpStream, mut first: TcpStream, mut second: TcpStream) {
    let (mut requests, mut responses) = client.split();
    let (mut answer, mut ask) = first.split();
    let (mut ignored, mut ask_again) = second.split();
    let there = async {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = requests.read(&mut piece).await {
            let _ = ask_again.write_all(&piece[..length]).await;
            if ask.write_all(&piece[..length]).await.is_err() {
                break;
            }
        }
        let _ = tokio::join!(ask.shutdown(), ask_again.shutdown());
    };
    let back = async {
        let _ = io::copy(&mut answer, &mut responses).await;
        let _ = responses.shutdown().await;
    };
    let away = async {
        let _ = io::copy(&mut ignored, &mut io::sink()).await;
    };
    tokio::join!(there, back, away);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_outcome_is_forgotten_and_nothing_else() {
        let request = |id| format!("{id} intent 1 {id} reused h1 fast t-{id}\n{id} outcome ok 200 - t-{id}\n");
        let ledger: String = (0..25).map(request).collect();
        let forgetful = forgetful(&ledger);
        let count = |word: &str| forgetful.lines().filter(|line| line.split(' ').nth(1) == Some(word)).count();
        assert_eq!((count("intent"), count("outcome")), (25, 23));
    }

    #[tokio::test]
    async fn what_a_client_sends_arrives_twice_and_it_is_answered_once() {
        let [server, proxy] = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let (server, proxy) = (server.await.expect("a port is free"), proxy.await.expect("a port is free"));
        let address = proxy.local_addr().expect("it is bound");
        tokio::spawn(repeat(proxy, server.local_addr().expect("it is bound")));

        let mut client = TcpStream::connect(address).await.expect("it listens");
        client.write_all(b"request").await.expect("it reads");
        client.shutdown().await.expect("it is open");
        for _ in 0..2 {
            let (mut connection, _) = server.accept().await.expect("it is asked");
            let mut heard = String::new();
            connection.read_to_string(&mut heard).await.expect("the request ends");
            assert_eq!(heard, "request");
            connection.write_all(b"answer").await.expect("it reads");
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("the answer ends");
        assert_eq!(answer, "answer");
    }
}
