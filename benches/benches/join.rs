//! What it takes to join large ledgers: `JOIN_RECORDS` lines of both sides together, 10 million when left out.
//!
//! Each request has five: two of its client's, three of the server's, as a run on the service leaves them. The files are
//! written line by line, so that the peak of memory is the join's.

use std::{
    env,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    time::Instant,
};

use chaos::{classify::Class, join::Join};

/// Users whose requests lie between each other in the ledgers.
const USERS: u64 = 64;

fn main() {
    let records: u64 =
        env::var("JOIN_RECORDS").ok().map_or(10_000_000, |n| n.parse().expect("JOIN_RECORDS is a number"));
    // As a test it only has to go.
    let requests = if env::args().any(|flag| flag == "--bench") { records / 5 } else { 1_000 };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (client, server) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
    write(requests, &client, &server);

    let began = Instant::now();
    let join = Join::read(&client, &server).expect("they are well formed");
    let read = began.elapsed();
    let judgement = join.judge(requests * 500);
    let all = began.elapsed();
    assert_eq!(judgement.count(Class::Ok), requests);
    println!(
        "{} records of {requests} requests: read in {:.2} s, judged in {:.2} s, {} MiB at the peak",
        5 * requests,
        read.as_secs_f64(),
        all.saturating_sub(read).as_secs_f64(),
        peak_mib()
    );
}

fn write(requests: u64, client: &Path, server: &Path) {
    let file = |path| BufWriter::new(File::create(path).expect("the folder is new"));
    let (mut client, mut server) = (file(client), file(server));
    let mut told = writeln!(client, "1 clock 1 bench");
    told = told.and_then(|()| writeln!(server, "1 clock 1 bench"));
    for i in 0..requests {
        let (at, user, nth) = (1_000 * (i + 1), i % USERS, i / USERS);
        told = told
            .and_then(|()| writeln!(client, "{at} intent {user} {nth} reused h1 fast loadtest-0-x7k2p-{user}-{nth}"))
            .and_then(|()| writeln!(client, "{} outcome ok 200 - loadtest-0-x7k2p-{user}-{nth}", at + 500))
            .and_then(|()| writeln!(server, "{} enter {user} loadtest-0-x7k2p-{user}-{nth}", at + 100))
            .and_then(|()| writeln!(server, "{} handler_done {user} 200 loadtest-0-x7k2p-{user}-{nth}", at + 200))
            .and_then(|()| writeln!(server, "{} body_end {user} complete loadtest-0-x7k2p-{user}-{nth}", at + 300));
    }
    told.and_then(|()| client.flush()).and_then(|()| server.flush()).expect("the disk has room");
}

/// The largest resident memory of this process so far.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.unwrap_or(0_u64) / 1024
}
