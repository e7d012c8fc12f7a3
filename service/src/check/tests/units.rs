//! What is found in a unit.

use super::*;

#[test]
fn what_is_wrong_in_a_unit_is_found_with_its_line_and_its_remedy() {
    let cases: &[Case<'_>] = &[
        (
            "TimeoutStopSec=30s",
            "TimeoutStopSec=20s",
            "warning",
            &["a.service:9", "EXTEND_TIMEOUT_USEC", "TimeoutStopSec=30s"],
        ),
        ("TimeoutStopSec=30s", "TimeoutSec=infinity", "note", &["a.service:9", "for ever"]),
        ("TimeoutStopSec=30s", "TimeoutStopSec=soon", "error", &["a.service:9", "soon"]),
        ("TimeoutStopSec=30s", "TimeoutStopSec", "warning", &["a.service:9", "no assignment"]),
        (
            "Environment=GRACE_PERIOD=30s",
            "Environment=GRACE_PERIOD=2h",
            "warning",
            &["a.service:9", "TimeoutStopSec=7200s"],
        ),
        ("Environment=GRACE_PERIOD=30s", "Environment=GRACE_PERIOD=x", "error", &["a.service:8", "`x`"]),
        ("Environment=GRACE_PERIOD=30s", "Environment=GRACE_PERIOD=%i", "note", &["a.service:8", "%i"]),
        ("Environment=GRACE_PERIOD=30s", "Environment=\"GRACE_PERIOD=30s", "error", &["a.service:8", "quotes"]),
        (
            "Environment=GRACE_PERIOD=30s",
            "Environment=GRACE_PERIDO=30s",
            "warning",
            &["a.service:8", "write GRACE_PERIOD,"],
        ),
        ("Environment=GRACE_PERIOD=30s", "EnvironmentFile=/etc/x", "note", &["a.service:8", "EnvironmentFile"]),
        ("--log-format json", "--grace-period 40s", "warning", &["a.service:9", "40s"]),
        ("--log-format json", "--log-formats json", "error", &["a.service:7", "--log-formats"]),
        ("KillMode=mixed", "KillMode=none", "error", &["a.service:10", "nobody tells"]),
        ("KillMode=mixed", "KillSignal=SIGKILL", "error", &["a.service:10", "KillSignal=SIGTERM"]),
        ("KillMode=mixed", "RestartKillSignal=USR1", "error", &["a.service:10", "RestartKillSignal=SIGTERM"]),
        ("KillMode=mixed", "SendSIGKILL=no", "note", &["a.service:10", "watchdog"]),
        ("KillMode=mixed", "ExecStop=/bin/kill -9 $MAINPID", "error", &["a.service:10", "drop the line"]),
        ("KillMode=mixed", "ExecStop=/bin/sleep 5", "note", &["a.service:10", "before SIGTERM"]),
        ("KillMode=mixed", "ExecReload=/bin/kill -HUP $MAINPID", "error", &["a.service:10", "SIGHUP"]),
        ("Type=notify", "Type=notify-reload", "error", &["a.service:6", "write Type=notify"]),
        ("KillMode=mixed", "WatchdogSec=10s", "note", &["a.service:10", "SIGABRT"]),
        ("RestartPreventExitStatus=78", "", "note", &["a.service:11", "RestartPreventExitStatus=78"]),
        ("Restart=on-failure", "Restart=always", "note", &["a.service:11", "10", "11", "128+n"]),
        ("[Service]", "[Srvice]", "error", &["no [Service]"]),
    ];
    for (from, to, level, words) in cases {
        let text = unit(&changed(UNIT, (from, to))).to_string();
        assert!(says(&text, level, words), "{from} → {to}: no {level} with {words:?} in\n{text}");
    }
    let silent = ["KillSignal=SIGINT", "KillSignal=2", "KillMode=control-group", "KillMode=process", "SendSIGKILL=yes"];
    for line in silent {
        let sheet = unit(&changed(UNIT, ("KillMode=mixed", line)));
        assert!(sheet.findings.worst() < Level::Warning, "{line}:\n{sheet}");
    }
}

#[test]
fn a_unit_that_cannot_ask_for_more_time_is_an_error_and_its_drop_in_counts() {
    let main = source("a.service", &changed(UNIT, ("Type=notify", "Type=simple")));
    let drop_in = source("b.conf", "[Service]\nTimeoutStopSec=20\n");
    let text = systemd::check(&[main, drop_in], &Options::default(), &[]).to_string();
    assert!(says(&text, "error", &["b.conf:2", "TimeoutStopSec=20 ", "write TimeoutStopSec=30s"]), "{text}");
}

#[test]
fn a_shell_is_an_error_where_it_alone_gets_the_signal() {
    let shell = changed(UNIT, ("/usr/local/bin/service --log-format json", "/bin/sh -c '/usr/local/bin/service'"));
    let text = unit(&shell).to_string();
    assert!(says(&text, "error", &["a.service:7", "exec"]), "{text}");
    let all = changed(&shell, ("KillMode=mixed", "KillMode=control-group"));
    assert!(unit(&all).findings.worst() < Level::Warning);
}
