//! Options of goose that `loadtest` does not have, and why: who knows goose shall not have to guess.

/// What is said of a flag of goose's that is given all the same.
pub(super) fn remedy(flag: &str) -> Option<&'static str> {
    LEFT_OUT.iter().find(|(flags, _)| flags.contains(&flag)).map(|(_, remedy)| *remedy)
}

const RAMP: &str = "users come and go by --test-plan, such as 100,10s;100,1m;0,10s";
const OWN_LOG: &str = "--ledger has a line for every request before it is sent, and one for what came of it";
const NO_STEPS: &str = "a user is one loop of requests here: goose has no scenarios and transactions to tell apart";
const OWN_CLIENT: &str =
    "requests are carried by connections of loadtest's own, not by goose's client: see --mix, --h2 and --fresh";
const NO_REMOTE: &str = "a run is what its command line says; nobody changes it while it goes on";
const ONE_FILE: &str = "name each file that you want: --ledger and --report-file";
const LIVE: &str = "a line on the terminal tells how the run goes, --progress tells it to programs";

const LEFT_OUT: &[(&[&str], &str)] = &[
    (&["increase-rate", "increase-time", "startup-time", "decrease-rate", "decrease-time"], RAMP),
    (&["iterations"], "a run ends by --run-time or --test-plan, so that all users are there until its end"),
    (
        &["throttle-requests"],
        "it would hold requests back and not say how long they waited; --rate does, and counts the wait",
    ),
    (
        &["co-mitigation"],
        "it makes up answers that nobody waited for; --rate sends requests when they are due and counts from then",
    ),
    (
        &[
            "request-log",
            "request-format",
            "request-body",
            "error-log",
            "error-format",
            "debug-log",
            "debug-format",
            "no-debug-body",
        ],
        OWN_LOG,
    ),
    (
        &[
            "transaction-log",
            "transaction-format",
            "scenario-log",
            "scenario-format",
            "scenarios",
            "scenarios-list",
            "list",
        ],
        NO_STEPS,
    ),
    (&["no-transaction-metrics", "no-scenario-metrics"], NO_STEPS),
    (&["timeout"], "it is --request-timeout here, from the connect to the last byte"),
    (&["no-gzip", "sticky-follow", "accept-invalid-certs"], OWN_CLIENT),
    (&["dashboard", "dashboard-host", "dashboard-port", "dashboard-auth-token", "dashboard-control"], LIVE),
    (&["dashboard-no-auth", "dashboard-max-clients", "running-metrics"], LIVE),
    (&["no-autostart", "no-telnet", "telnet-host", "telnet-port"], NO_REMOTE),
    (&["websocket", "no-websocket", "websocket-host", "websocket-port"], NO_REMOTE),
    (&["output-dir", "compress"], ONE_FILE),
    (
        &["verbose", "quiet", "goose-log", "log-level"],
        "goose says nothing but warnings; --no-print-metrics leaves out its tables",
    ),
    (&["no-reset-metrics"], "nothing is ever reset: goose counts as many requests as the ledger has"),
    (&["no-threshold-abort", "threshold-abort-delay"], "thresholds are judged at the end, when all is known"),
    (
        &["render-report", "pdf-print-html", "no-percentiles-over-time"],
        "the report is what --report-file makes by the ending of its name",
    ),
    (
        &["no-error-summary", "no-status-codes", "no-granular-report", "report-graph-data"],
        "reports have all that goose knows; --no-metrics tells it nothing",
    ),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use goose::config::GooseConfiguration;

    use super::*;
    use crate::config::Config;

    #[test]
    fn every_option_of_goose_is_here_or_is_left_out_with_a_reason() {
        let goose = <GooseConfiguration as clap::Args>::augment_args(clap::Command::new("goose"));
        let own = Config::command();
        for flag in goose.get_arguments().filter_map(clap::Arg::get_long).filter(|flag| *flag != "version") {
            let here = own.get_arguments().any(|arg| arg.get_long() == Some(flag));
            assert!(here != remedy(flag).is_some(), "--{flag}: here {here}, left out {}", !here);
        }
    }
}
