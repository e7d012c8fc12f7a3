use std::net::SocketAddr;

use http::header;

use super::*;
use crate::{server::transport::Transport, tokens::Tokens};

fn connection() -> Connection {
    let server = Server::new("test".into(), false, Transport::default(), Tokens::default(), Arc::default(), None);
    Connection::new(Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 1))), Arc::new(server))
}

/// How many answers of a thousand say close now.
fn closes(connection: &Connection) -> usize {
    let says = |_: &usize| {
        let mut response = Response::new(());
        connection.say_close(Version::HTTP_11, &mut response);
        response.headers().contains_key(header::CONNECTION)
    };
    (0..1000).filter(says).count()
}

#[tokio::test(start_paused = true)]
async fn c05_close_is_said_ever_more_often_until_half_of_the_lame_duck_and_then_always() {
    let connection = connection();
    assert_eq!(closes(&connection), 0, "in peace");
    connection.server.begin_lame_duck(Duration::from_secs(8));
    assert_eq!(closes(&connection), 0, "at T0");
    tokio::time::advance(Duration::from_secs(1)).await;
    let (quarter, a_tenth) = (250, 100);
    assert!(closes(&connection).abs_diff(quarter) < a_tenth, "after an eighth of the lame duck");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(closes(&connection).abs_diff(3 * quarter) < a_tenth, "after three eighths");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(closes(&connection), 1000, "from half of it on");
    connection.server.begin_drain();
    assert_eq!(closes(&connection), 1000, "and in the drain");
}

#[tokio::test(start_paused = true)]
async fn c14_goodbyes_fall_into_the_second_half_of_the_lame_duck_or_over_the_jitter() {
    let jitter = Transport::default().close_jitter;
    for (lame_duck, from, to) in [
        (jitter * 8, jitter * 4, jitter * 8),
        (jitter / 2, jitter / 4, jitter),
        (Duration::ZERO, Duration::ZERO, jitter),
    ] {
        let connection = connection();
        connection.server.begin_lame_duck(lame_duck);
        let began = Instant::now();
        let mut moments: Vec<_> = (0..1000).map(|_| connection.server.goodbye_at() - began).collect();
        moments.sort();
        let (first, last) = (moments[0], moments[999]);
        assert!(from <= first && last <= to, "{first:?} to {last:?} of {lame_duck:?}");
        assert!(last.saturating_sub(first) > to.saturating_sub(from).mul_f64(0.9), "{first:?} to {last:?}");
    }
}
