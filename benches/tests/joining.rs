//! What joining costs in memory: a number that repeats, unlike a time.

use std::{fmt::Write, fs};

use allocation_counter::measure;
use chaos::join::Join;

const REQUESTS: u64 = 20_000;

#[test]
fn a_joined_request_of_five_records_takes_at_most_400_bytes_at_the_peak() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (client, server) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
    let [mut told, mut audit] = [String::from("1 connected 1 h1\n"), String::new()];
    for i in 0..REQUESTS {
        let at = 1_000 * (i + 1);
        let intent = writeln!(told, "{at} intent 1 {i} reused h1 fast loadtest-0-x7k2p-12-{i}");
        let outcome = writeln!(told, "{} outcome ok 200 - loadtest-0-x7k2p-12-{i}", at + 500);
        let entered = writeln!(audit, "{} enter 1 loadtest-0-x7k2p-12-{i}", at + 100);
        let done = writeln!(audit, "{} handler_done 1 200 loadtest-0-x7k2p-12-{i}", at + 200);
        let ended = writeln!(audit, "{} body_end 1 complete loadtest-0-x7k2p-12-{i}", at + 300);
        assert!([intent, outcome, entered, done, ended].iter().all(Result::is_ok), "writing to memory does not fail");
    }
    fs::write(&client, &told).and_then(|()| fs::write(&server, &audit)).expect("a temporary folder has room");

    let mut ok = 0;
    let memory = measure(|| {
        let judgement = Join::read(&client, &server).expect("they are well formed").judge(1_000_000);
        ok = judgement.count(chaos::classify::Class::Ok);
    });
    assert_eq!(ok, REQUESTS);
    // Two buffers for reading, and a table that has just doubled stands beside the one before.
    let per_request = memory.bytes_max.saturating_sub(2 << 20) / REQUESTS;
    assert!(per_request <= 400, "{per_request} bytes");
    assert!(memory.count_total < REQUESTS / 10, "{} times memory was asked for", memory.count_total);
}
