use std::fs;

use super::*;
use crate::classify::{Class, Counts, Weight};

const SIGNAL: u64 = 1_000;

/// Joins one request: `client` is its outcome (time and words), `server` the audit log.
fn judge(intent: &str, client: &str, server: &str) -> Judgement {
    let outcome = if client.is_empty() { String::new() } else { format!("{client} r1\n") };
    join(&format!("850 connected 7 h1\n900 intent 7 0 {intent} r1\n{outcome}"), server).judge(SIGNAL)
}

fn join(client: &str, server: &str) -> Join {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (ledger, audit) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
    fs::write(&ledger, client).expect("a temporary folder has room");
    fs::write(&audit, server).expect("a temporary folder has room");
    Join::read(&ledger, &audit).expect("the ledgers are well formed")
}

#[test]
fn each_class_is_told_from_two_small_ledgers() {
    let phases = "1001 phase lame_duck\n1500 phase drain\n3000 phase background\n";
    let cases = [
        (Class::Ok, "1100 outcome ok 200 -", "910 enter 3 r1\n950 handler_done 3 200 r1\n999 body_end 3 complete r1\n"),
        (Class::Unlogged, "1100 outcome ok 200 -", ""),
        (Class::Rejected, "1600 outcome rejected 503 -", "1590 rejected 3 r1\n"),
        (Class::BadRejection, "1400 outcome rejected 503 -", "1390 rejected 3 r1\n"),
        (Class::Farewell, "1100 outcome farewell 408 -", ""),
        (Class::Refused, "1600 outcome refused - econnrefused", ""),
        (Class::H2Nack, "1600 outcome h2_nack - goaway", ""),
        (Class::Unseen, "1100 outcome no_response - reset", ""),
        (Class::Lost, "1100 outcome no_response - eof", "910 enter 3 r1\n"),
        (Class::Lost, "1100 outcome timeout - -", "910 enter 3 r1\n"),
        (Class::Ghost, "1100 outcome no_response - eof", "910 enter 3 r1\n950 handler_done 3 200 r1\n"),
        (Class::Truncated, "1100 outcome truncated 200 eof", "910 enter 3 r1\n950 handler_done 3 200 r1\n"),
        (Class::Lie, "1600 outcome rejected 503 -", "910 enter 3 r1\n"),
        (Class::Late, "3100 outcome ok 200 -", "3001 enter 3 r1\n3002 handler_done 3 200 r1\n"),
        (Class::Dup, "1100 outcome ok 200 -", "910 enter 3 r1\n920 enter 4 r1\n"),
        (Class::DeadlineCut, "2600 outcome no_response - eof", "910 enter 3 r1\n2590 body_end 3 cut r1\n"),
        (Class::DeadlineCut, "2600 outcome truncated 200 eof", "910 enter 3 r1\n2590 body_end 3 cut r1\n"),
        (Class::Error, "1100 outcome error 500 -", "910 enter 3 r1\n"),
        (Class::Unresolved, "", "910 enter 3 r1\n"),
    ];
    for (class, client, server) in cases {
        let judgement = judge("reused h1 slow", client, &format!("{server}{phases}"));
        assert_eq!(judgement.counts, Counts::from([(class, 1)]), "{client} / {server}");
        assert_eq!(judgement.stories.len(), usize::from(class.weight() != Weight::Allowed));
        assert_eq!(judgement.in_flight, 1, "{client}");
    }
    let fresh = judge("fresh h1 fast", "1100 outcome farewell 408 -", "");
    assert_eq!(fresh.count(Class::BadRejection), 1);
}

#[test]
fn in_flight_is_what_the_signal_found_between_intent_and_outcome() {
    let client = "\
        100 connected 1 h1\n\
        200 intent 1 0 fresh h1 fast before\n300 outcome ok 200 - before\n\
        900 intent 1 1 reused h1 slow across\n1200 outcome ok 200 - across\n\
        1300 intent 1 2 reused h1 fast after\n1400 outcome refused - eof after\n";
    let judgement = join(client, "210 enter 1 before\n910 enter 1 across\n").judge(SIGNAL);
    assert_eq!(judgement.in_flight, 1);
    assert_eq!(judgement.counts, Counts::from([(Class::Ok, 2), (Class::Refused, 1)]));
}

#[test]
fn the_stories_begin_with_one_of_each_class_that_fails() {
    let requests = (10..30).map(|number| {
        let class = if number == 29 { "no_response" } else { "truncated" };
        format!("{number} intent 1 0 fresh h1 slow r{number}\n{number} outcome {class} - eof r{number}\n")
    });
    let client: String = std::iter::once("1 connected 1 h1\n".to_owned()).chain(requests).collect();
    let judgement = join(&client, "").judge(SIGNAL);
    let told: Vec<_> = judgement.stories.iter().map(|story| (story.class, story.id.as_str())).collect();
    assert_eq!(told[..3], [(Class::Unseen, "r29"), (Class::Truncated, "r10"), (Class::Truncated, "r11")]);
    assert_eq!(told.len(), 1 + 5);
    assert_eq!(
        judgement.stories[0].to_string(),
        "unseen   r29   slow, h1, fresh connection 1, request 0\n      -0.001 ms  client  is about to send it\n      -0.001 ms  client  says no_response, eof\n"
    );
}

#[test]
fn requests_that_only_the_server_knows_are_counted_and_probes_are_not() {
    let judgement = join("1 connected 1 h1\n", "5 enter 1 -\n6 enter 2 stranger\n7 body_end 2 complete stranger\n");
    assert_eq!(judgement.judge(SIGNAL).foreign, 1);
}

#[test]
fn what_the_clients_know_of_their_orders_is_told_by_key_and_nothing_of_other_requests() {
    let client = "\
        1 connected 1 h1\n\
        2 intent 1 0 fresh h1 order placed\n3 outcome ok 201 - placed\n\
        4 intent 1 1 reused h1 fast hello\n5 outcome ok 200 - hello\n\
        6 intent 1 2 reused h1 order open\n";
    let join = join(client, "");
    let mut orders: Vec<_> = join.orders().collect();
    orders.sort_by_key(|(key, _)| *key);
    assert_eq!(orders, [("open", Told::Nothing), ("placed", Told::Acknowledged)]);
}

#[test]
fn a_last_line_that_a_kill_cut_short_is_left_out_and_any_other_is_an_error() {
    assert_eq!(judge("fresh h1 slow", "1100 outcome no_response - eof", "910 enter 3 r1").count(Class::Unseen), 1);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (ledger, audit) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
    fs::write(&ledger, "").expect("a temporary folder has room");
    fs::write(&audit, "910 enter\n").expect("a temporary folder has room");
    let error = Join::read(&ledger, &audit).expect_err("a broken line in the middle is no crash");
    assert!(format!("{error:#}").contains("line 1 is not an audit record"), "{error:#}");
}

#[test]
fn a_joined_request_is_a_line_of_json_with_all_times_around_the_signal() {
    let client =
        "1000000 connected 7 h1\n2000000 intent 7 3 reused h1 slow r\"1\n9000000 outcome no_response - eof r\"1\n";
    let join = join(client, "3000000 enter 3 r\"1\n4000000 phase lame_duck\n4500000 handler_done 3 200 r\"1\n");
    let joined: Vec<_> = join.joined(4_000_000).collect();
    let expected = serde_json::json!({
        "id": "r\"1", "class": "ghost", "kind": "slow", "protocol": "h1", "connection": 7, "sequence": 3, "reused": true,
        "sent_ms": -2.0, "ended_ms": 5.0, "client": "no_response", "status": null, "detail": "eof",
        "server": [{"ms": -1.0, "what": "begins it"}, {"ms": 0.5, "what": "has its response, status 200"}],
    });
    assert_eq!(serde_json::to_value(&joined[0]).expect("it is JSON"), expected);
    assert!(joined[0].is_in_flight() && joined[0].story.is_some());
    assert_eq!(join.phases(4_000_000).collect::<Vec<_>>(), [(0.0, "lame_duck")]);
}
