//! What is found in a manifest.

use super::*;

fn assert_each(cases: &[Case<'_>]) {
    for (from, to, level, words) in cases {
        let text = told(&manifest(&changed(RIGHT, (from, to)), &Options::default()));
        assert!(says(&text, level, words), "{from} → {to}: no {level} with {words:?} in\n{text}");
    }
}

#[test]
fn a_wrong_setting_is_found_with_its_line_and_its_remedy() {
    assert_each(&[
        ("value: 30s", "value: 45s", "error", &["a.yaml:15", "45s", "terminationGracePeriodSeconds: 45"]),
        ("value: 30s", "value: fast", "error", &["a.yaml:25", "GRACE_PERIOD", "`fast`", "write a duration as"]),
        ("value: 30s", "value: 30", "error", &["a.yaml:25", "GRACE_PERIOD", "value: \"30\""]),
        ("value: 30s", "valueFrom: {fieldRef: {fieldPath: x}}", "note", &["a.yaml:24", "valueFrom", "by flag"]),
        ("value: json", "value: jsn", "error", &["a.yaml:27", "LOG_FORMAT", "pretty or json"]),
        (
            "name: GRACE_PERIOD",
            "name: GRACE_PERIODS",
            "warning",
            &["a.yaml:24", "GRACE_PERIODS", "write GRACE_PERIOD,"],
        ),
        ("name: GRACE_PERIOD", "name: GRACE_PERIOD_SECONDS", "warning", &["a.yaml:24", "write GRACE_PERIOD,"]),
        ("name: LOG_FORMAT", "name: LAME_DUCK", "error", &["a.yaml:27", "LAME_DUCK", "`json`"]),
    ]);
}

#[test]
fn a_setting_that_does_not_fit_is_found_with_its_line_and_its_remedy() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("{name: LAME_DUCK, value: 20s}", "error", &["a.yaml:25", "GRACE_PERIOD=30s is too short", "LAME_DUCK"]),
        ("{name: LAME_DUCK, value: 0s}", "warning", &["a.yaml:26", "LAME_DUCK=0s"]),
        ("{name: HEADER_TIMEOUT, value: 9s}", "warning", &["a.yaml:26", "HEADER_TIMEOUT=9s"]),
        ("{name: HEADER_TIMEOUT, value: 12s}", "error", &["a.yaml:26", "HEADER_TIMEOUT"]),
        ("{name: PROGRESS_TIMEOUT, value: 0s}", "error", &["a.yaml:26", "PROGRESS_TIMEOUT=0s"]),
        ("{name: IDLE_GRACE, value: 10s}", "note", &["a.yaml:26", "5.5s"]),
        ("{name: KEEP_ALIVE_TIMEOUT, value: 60s}", "warning", &["a.yaml:26", "KEEP_ALIVE_TIMEOUT=75s"]),
        ("{name: ENABLE_FAULTS, value: \"1\"}", "warning", &["a.yaml:26", "ENABLE_FAULTS"]),
        #[cfg(feature = "tls")]
        ("{name: TLS_CERT, value: /c.pem}", "error", &["--tls-key"]),
    ];
    for (variable, level, words) in cases {
        let text = added(RIGHT, variable);
        let text = told(&manifest(&text, &Options::default()));
        assert!(says(&text, level, words), "{variable}: no {level} with {words:?} in\n{text}");
    }
}

#[test]
fn what_the_pod_grants_and_what_comes_before_the_stop_are_found() {
    let grace = "terminationGracePeriodSeconds: 30";
    let ports = "          ports:\n";
    let pre_stop = |stop: &str| format!("          lifecycle:\n            preStop: {stop}\n{ports}");
    let (sleep, script, http) = (
        pre_stop("{sleep: {seconds: 3}}"),
        pre_stop("{exec: {command: [/drain.sh]}}"),
        pre_stop("{httpGet: {path: /drain, port: 1}}"),
    );
    assert_each(&[
        (
            grace,
            "terminationGracePeriodSeconds: 20",
            "error",
            &["a.yaml:15", "write terminationGracePeriodSeconds: 30"],
        ),
        (grace, "terminationGracePeriodSeconds: 0", "error", &["a.yaml:15", "write terminationGracePeriodSeconds: 30"]),
        (grace, "terminationGracePeriodSeconds: soon", "error", &["a.yaml:15", "soon", "no number"]),
        (grace, "terminationGracePeriodSeconds: 60", "note", &["a.yaml:15", "30s", "GRACE_PERIOD=60s"]),
        (ports, &sleep, "warning", &["a.yaml:29", "preStop 3s and LAME_DUCK=5s", "drop preStop"]),
        (ports, &sleep, "error", &["a.yaml:15", "preStop 3s", "terminationGracePeriodSeconds: 33"]),
        (ports, &script, "warning", &["a.yaml:29", "cannot be known"]),
        (ports, &http, "warning", &["a.yaml:29", "cannot be known"]),
        (ports, "          lifecycle: {stopSignal: SIGKILL}\n          ports:\n", "error", &["a.yaml:28", "SIGKILL"]),
        (ports, "          args: [--grace-period, 40s]\n          ports:\n", "error", &["a.yaml:15", "40s"]),
        (
            ports,
            "          args: [--grace-periods, 40s]\n          ports:\n",
            "error",
            &["a.yaml:28", "--grace-periods"],
        ),
        (ports, "          command: [sh, -c, /service]\n          ports:\n", "error", &["a.yaml:28", "exec"]),
        (ports, "          envFrom: [{secretRef: {name: x}}]\n          ports:\n", "note", &["a.yaml:28", "envFrom"]),
        ("proxy-read-timeout: \"10\"", "proxy-read-timeout: \"3600\"", "warning", &["a.yaml:44", "cuts"]),
        ("kind: Deployment", "kind: Nothing", "error", &["no Deployment"]),
    ]);
}

#[test]
fn a_probe_that_misses_the_service_is_found() {
    assert_each(&[
        ("path: /livez", "path: /readyz", "error", &["a.yaml:36", "livenessProbe", "write path: /livez"]),
        ("path: /livez", "path: /healthz", "error", &["a.yaml:36", "404", "write path: /livez"]),
        ("path: /readyz", "path: /livez", "warning", &["a.yaml:34", "readinessProbe", "write path: /readyz"]),
        ("port: 9090", "port: 8080", "error", &["a.yaml:36", "traffic port"]),
        ("port: 9090", "port: 9091", "error", &["a.yaml:36", "does not listen", "port: 9090"]),
        ("port: 9090", "port: metrics", "error", &["a.yaml:36", "metrics", "no name of a port"]),
        ("port: 9090", "port: 9090, scheme: HTTPS", "error", &["a.yaml:36", "TLS"]),
        ("httpGet: {path: /livez, port: 9090}", "tcpSocket: {port: 9090}", "note", &["a.yaml:35", "/livez"]),
        ("readinessProbe", "unknownProbe", "warning", &["a.yaml:17", "readinessProbe"]),
        (
            "value: 0.0.0.0:9090",
            "value: 127.0.0.1:9091",
            "error",
            &["a.yaml:23", "cannot reach", "ADMIN_ADDR=0.0.0.0:9091"],
        ),
        ("name: HTTP_ADDR", "name: OTHER_ADDRESS", "error", &["a.yaml:19", "HTTP_ADDR=127.0.0.1:8080"]),
        ("value: 0.0.0.0:8080", "value: 127.0.0.1:8080", "error", &["a.yaml:21", "HTTP_ADDR"]),
    ]);
}

#[test]
fn the_default_of_kubernetes_is_said_with_the_line_of_the_pod() {
    let text = changed(RIGHT, ("      terminationGracePeriodSeconds: 30\n", ""));
    let text = told(&manifest(&changed(&text, ("value: 30s", "value: 40s")), &Options::default()));
    assert!(says(&text, "error", &["a.yaml:14", "the default of terminationGracePeriodSeconds, 30"]), "{text}");
}

#[test]
fn the_last_of_equal_names_counts_and_args_win_over_env() {
    let twice = added(RIGHT, "{name: GRACE_PERIOD, value: 29s}");
    let row = |text: &str| told(&manifest(text, &Options::default())).lines().nth(3).map(str::to_owned);
    assert!(row(&twice).is_some_and(|row| row.contains("29s") && row.ends_with("a.yaml:26")), "{:?}", row(&twice));
    let args = changed(&twice, ("          ports:\n", "          args: [--grace-period=28s]\n          ports:\n"));
    assert!(row(&args).is_some_and(|row| row.contains("28s") && row.ends_with("a.yaml:29")), "{:?}", row(&args));
}

#[test]
fn the_container_is_found_or_asked_for() {
    let other = "        - {name: proxy, image: x}\n        - name: service\n";
    let two = changed(RIGHT, ("        - name: service\n", other));
    assert!(told(&manifest(&two, &Options::default())).contains("container service"));
    let text = include_str!("../../../tests/manifests/two-containers.yaml");
    let asked = told(&manifest(text, &Options::default()));
    assert!(says(&asked, "error", &["--container", "proxy in Pod orders", "service in Pod orders"]), "{asked}");
    let named = Options { container: Some("service".to_owned()), ..Options::default() };
    assert!(told(&manifest(text, &named)).contains("a.yaml:5 Pod orders, container service"));
    let nobody = Options { container: Some("nobody".to_owned()), ..Options::default() };
    assert!(told(&manifest(text, &nobody)).contains("no container is named nobody"));
}

#[test]
fn a_hostile_manifest_is_refused_and_moves_no_terminal() {
    let many = format!(
        "kind: List\nitems:\n- &p {{kind: Pod, spec: {{containers: [&c {{name: c}}{}]}}}}\n{}",
        ", *c".repeat(5_000),
        "- *p\n".repeat(5_000)
    );
    assert!(told(&manifest(&many, &Options::default())).contains("1000 containers or more"));
    let text = told(&manifest(&changed(RIGHT, ("value: 30s", "value: \"\\e[2J\\nok\"")), &Options::default()));
    assert!(says(&text, "error", &["a.yaml:25", "2J"]) && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn every_kind_of_workload_is_found_also_in_a_list() {
    let spec = "{containers: [{name: s, env: [{name: LAME_DUCK, value: 2s}]}]}";
    let template = format!("{{kind: StatefulSet, spec: {{template: {{spec: {spec}}}}}}}");
    let job = format!("{{kind: CronJob, spec: {{jobTemplate: {{spec: {{template: {{spec: {spec}}}}}}}}}}}");
    let text = format!("kind: List\nitems: [{template}, {job}, {{kind: Pod, spec: {spec}}}]\n");
    let sheets = manifest(&text, &Options::default());
    let titles: Vec<_> = sheets.iter().map(|sheet| sheet.title.as_str()).collect();
    assert!(titles.len() == 3 && titles[1].contains("CronJob"), "{titles:?}");
}
