use std::fs;

use tempfile::TempDir;

use super::*;

/// One load that asked a server on the same machine, which was told to stop at 1000.
const CLIENT: &str = "1 clock 1001 boot-a\n850 connected 7 h1\n900 intent 7 0 fresh h1 slow a-0\n";
const SERVER: &str = "2 clock 1002 boot-a\n910 enter 1 a-0\n1000 phase lame_duck\n1500 phase drain\n";

fn files(clients: &[&str], servers: &[&str]) -> (TempDir, Files) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let write = |kind: &str, number: usize, text: &str| {
        let path = folder.path().join(format!("{kind}-{number}"));
        fs::write(&path, text).expect("a temporary folder has room");
        path
    };
    let clients = clients.iter().enumerate().map(|(i, text)| Ledger::Own(write("client", i, text))).collect();
    let servers = servers.iter().enumerate().map(|(i, text)| write("server", i, text)).collect();
    let files = Files { clients, servers, when: When::default(), min_in_flight: 1 };
    (folder, files)
}

fn judge(clients: &[&str], servers: &[&str]) -> Joined {
    files(clients, servers).1.judge().expect("they fit together")
}

fn refusal(clients: &[&str], servers: &[&str], signal: Option<u64>) -> String {
    let (_folder, mut files) = files(clients, servers);
    files.when.signal = signal;
    let error = files.judge().expect_err("they do not fit together");
    assert!(error.is::<Refused>(), "{error:#}");
    format!("{error:#}")
}

#[test]
fn the_word_follows_from_the_classes_and_the_signal_from_the_servers_ledger() {
    let passed = judge(&[&format!("{CLIENT}1100 outcome ok 200 - a-0\n")], &[SERVER]);
    assert_eq!(passed.verdict(), Verdict::Pass);
    let text = passed.text();
    for line in
        ["join      1 requests, 1 in flight at a signal", "  ok                      1", "  lost                    0"]
    {
        assert!(text.lines().any(|told| told == line), "no {line:?} in\n{text}");
    }
    assert!(text.contains("verdict   PASS   none of 1 requests in flight at a signal was lost"), "{text}");

    let failed = judge(&[&format!("{CLIENT}1100 outcome no_response - eof a-0\n")], &[SERVER]);
    assert_eq!(failed.verdict(), Verdict::Fail);
    assert!(
        failed.text().contains("verdict   FAIL   1 lost\n\nlost   a-0   slow, h1, fresh connection 7"),
        "{}",
        failed.text()
    );

    let open = judge(&[CLIENT], &[SERVER]);
    assert_eq!(open.verdict(), Verdict::Inconclusive);
    let foreign = judge(&[&format!("{CLIENT}1100 outcome ok 200 - a-0\n")], &[&format!("{SERVER}1001 enter 2 b-0\n")]);
    assert!(foreign.text().contains("1 requests in the servers' ledgers are in no client's"), "{}", foreign.text());
}

#[test]
fn an_id_in_two_ledgers_is_refused_with_both_files() {
    let told = refusal(&[CLIENT, CLIENT], &[SERVER], None);
    for part in ["id a-0", "client-0", "client-1", "--run-id"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

#[test]
fn a_signal_that_nobody_knows_and_one_that_is_nobodys_are_refused() {
    let silent = "2 clock 1002 boot-a\n910 enter 1 a-0\n";
    assert!(refusal(&[CLIENT], &[silent], None).contains("give --signal"));
    let elsewhere = "2 clock 9002 boot-b\n";
    assert!(refusal(&[CLIENT], &[SERVER, elsewhere], Some(1_000)).contains("leave it out"));
}

#[test]
fn the_clients_of_another_machine_are_put_onto_the_servers_time_line() {
    // The same load, by a machine that has been up for 5000 longer.
    let client =
        "5001 clock 1001 boot-b\n5850 connected 7 h1\n5900 intent 7 0 fresh h1 slow a-0\n6100 outcome ok 200 - a-0\n";
    let joined = judge(&[client], &[SERVER]);
    assert_eq!((joined.verdict(), joined.finding.power.in_flight), (Verdict::Pass, 1));

    // With clocks that may be 150 apart nobody can say that it was in flight at the signal.
    let (_folder, mut files) = files(&[client], &[SERVER]);
    files.when.clock_skew = Duration::from_nanos(150);
    let joined = files.judge().expect("they fit together");
    assert_eq!((joined.verdict(), joined.finding.power.in_flight), (Verdict::Inconclusive, 0));
}

#[test]
fn what_the_skew_decides_is_undated_and_what_the_server_dates_is_not() {
    let client = |class: &str| {
        format!("5001 clock 1001 boot-b\n5850 connected 7 h1\n5900 intent 7 0 reused h1 slow a-0\n{class} a-0\n")
    };
    let judge = |client: &str, server: &str| {
        let (_folder, mut files) = files(&[client], &[server]);
        files.when.clock_skew = Duration::from_nanos(50);
        files.judge().expect("they fit together")
    };
    let server = "2 clock 1002 boot-a\n1000 phase lame_duck\n1500 phase drain\n";
    // 20 before the signal, by a clock that may be 50 ahead.
    let undated = judge(&client("5980 outcome refused - econnrefused"), server);
    assert_eq!((undated.undated, undated.counts), (1, Counts::from([(Class::Refused, 1)])));
    let dated = judge(&client("5900 outcome refused - econnrefused"), server);
    assert_eq!((dated.undated, dated.counts), (0, Counts::from([(Class::BadRejection, 1)])));
    // The server says itself that it sent it away in time.
    let rejected = judge(&client("6480 outcome rejected 503 -"), &format!("{server}1501 rejected 1 a-0\n"));
    assert_eq!((rejected.undated, rejected.counts), (0, Counts::from([(Class::Rejected, 1)])));
}

#[test]
fn each_server_has_a_stop_of_its_own() {
    let client =
        format!("{CLIENT}1100 outcome ok 200 - a-0\n1800 intent 7 1 reused h1 fast a-1\n1900 outcome ok 200 - a-1\n");
    // The second one began a request after the first had closed, and closed later itself.
    let first = format!("{SERVER}1600 phase background\n");
    let second =
        "2 clock 1002 boot-a\n1810 enter 1 a-1\n1850 phase lame_duck\n1950 phase drain\n2000 phase background\n";
    let joined = judge(&[&client], &[&first, second]);
    assert_eq!((joined.verdict(), joined.finding.power.in_flight), (Verdict::Pass, 2), "{}", joined.text());
    // In one file, one process after the other, as a restart leaves them.
    let joined = judge(&[&client], &[&format!("{first}{second}")]);
    assert_eq!((joined.verdict(), joined.servers.len()), (Verdict::Pass, 2), "{}", joined.text());
}

#[test]
fn a_ledger_that_says_nothing_of_its_clock_is_only_joined_on_one_machine() {
    let silent = "850 connected 7 h1\n900 intent 7 0 fresh h1 slow a-0\n1100 outcome ok 200 - a-0\n";
    assert_eq!(judge(&[silent], &[SERVER]).verdict(), Verdict::Pass);
    let other = "1 clock 1001 boot-b\n";
    assert!(refusal(&[silent, other], &[SERVER], None).contains("client-0 has no clock record"));
}

#[test]
fn what_k6_tells_is_joined_by_the_wall_clock_and_its_connections_are_unknown() {
    let (folder, mut files) =
        files(&[], &["2 clock 1000000002 boot-a\n910000000 enter 1 a-0\n1000000000 phase lame_duck\n"]);
    let ledger = folder.path().join("k6");
    let got = r#"{"at":2100,"id":"a-0","status":0,"error_code":1000,"body":false,"retry_after":false}"#;
    fs::write(&ledger, format!("{{\"at\":1900,\"id\":\"a-0\",\"asks\":\"GET\"}}\n{got}\n")).expect("it has room");
    files.clients = vec![Ledger::K6(ledger)];
    let joined = files.judge().expect("they fit together");
    assert_eq!(joined.finding.power.in_flight, 1);
    assert!(joined.text().contains("lost   a-0   get, h1, unknown connection"), "{}", joined.text());
}
