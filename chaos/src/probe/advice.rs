//! What to change, by the mechanism that a finding points to.

use serde::Serialize;

use super::{
    class::Class,
    endings::{Endings, Second},
    options::Options,
    profile::Profile,
    stops::{End, Row},
};

/// An end sooner than this waited for nobody.
const AT_ONCE_MS: f64 = 50.0;

/// An idle server that takes longer has a reason to tell.
const LONG_MS: f64 = 2_000.0;

/// A finding and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What was seen, and what does that.
    pub found: String,
    /// What to do about it.
    pub change: &'static str,
}

const ACCEPT_QUEUE: &str = "Go on accepting for a while after the signal, so that a balancer that polls readiness, or a preStop delay, \
     has sent the last newcomer elsewhere before the listener closes; or hand the listening socket over to the \
     successor (socket activation). On Linux a listener can also be closed without losing its queue: docs/transport.md.";
const KEEP_ALIVE: &str = "Say `Connection: close` in every answer from the signal on, and close a connection that rests only after it has been \
     silent for a few round trips, with a 408 as farewell. If the server cannot, let the balancer in front take it out \
     first, and wait for longer than its connections rest.";
const PIPELINE: &str =
    "Say `Connection: close` only on the last request that has arrived, or answer what lies behind before the close.";
const GOAWAY: &str = "Send GOAWAY with the last-stream-id 2^31-1, wait for a round trip, serve what comes meanwhile, and only then send the \
     final GOAWAY.";
const NOT_BEGUN: &str =
    "Leave connections that have not sent a whole head alone for as long as a head may take, and serve their request.";
const IN_FLIGHT: &str = "Wait for requests in flight, to the end of their bodies, before the process ends: call the framework's graceful \
     shutdown, and await it in main.";
const GOODBYE: &str =
    "Send every WebSocket a close frame with 1001 (going away) and wait for its answer, within a bound.";
const ERRORS: &str =
    "Close pools, files and clients only after the last request: what the handlers need was gone too early.";
const NO_HANDLER: &str =
    "Install a handler for the signal that stops the listener and waits for the requests, before anything listens.";
const NEVER_ENDS: &str = "The signal has to reach the server: exec it in a shell's command, handle the signal in a container's process 1, and see \
     that no keep-alive connection, timer or thread holds the process.";
const NO_DEADLINE: &str = "Give the graceful stop a deadline of its own below the supervisor's (terminationGracePeriodSeconds, TimeoutStopSec), \
     behind which what is left is cut, counted and named; else SIGKILL does it, with no log.";
const SECOND: &str = "Let a second signal end the wait: whoever presses Ctrl-C twice wants no drain.";
const LONGER: &str = "A signal that comes again must never move the deadline: count it from the first.";
const SLOW_IDLE: &str =
    "Unless that is a lame duck that was asked for, end as soon as nothing is in flight: every deploy waits for it.";
const CODE: &str = "End with 0 after a stop that was asked for: supervisors take anything else for a crash.";

/// What to change, the most harmful first.
pub(super) fn advice(options: &Options, rows: &[Row], endings: &Endings) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut add = |found: String, change| all.push(Advice { found, change });
    let dropped = |profiles: &[Profile]| -> u64 {
        rows.iter().filter(|row| profiles.contains(&row.profile)).map(|row| row.dropped).sum()
    };
    let saw = |class: Class| -> u64 { rows.iter().map(|row| row.count(class)).sum() };

    if is_unhandled(options, endings.idle) {
        add(format!("{} is not handled: it ends the process as it stands", options.stopped_by()), NO_HANDLER);
    }
    for (profiles, what, change) in [
        (
            &[Profile::New][..],
            "new connections had been established and were not answered: they were in the listener's queue",
            ACCEPT_QUEUE,
        ),
        (
            &[Profile::Busy, Profile::Think],
            "kept connections were closed while the next request was on its way",
            KEEP_ALIVE,
        ),
        (&[Profile::Pipelined], "pipelined requests were cut", PIPELINE),
        (&[Profile::H2], "HTTP/2 streams were cut without a word whether they had been processed", GOAWAY),
        (&[Profile::Silent, Profile::Partial], "connections were cut whose request came after the signal", NOT_BEGUN),
        (&[Profile::Stream, Profile::Upload], "requests in flight were cut", IN_FLIGHT),
        (&[Profile::Websocket], "WebSockets ended without a close frame", GOODBYE),
    ] {
        match dropped(profiles) {
            0 => {}
            n => add(format!("{n} {what}{}", at_once(rows, profiles)), change),
        }
    }
    match saw(Class::ServerError) {
        0 => {}
        n => add(format!("{n} clients were answered with an error of the server's during the stop"), ERRORS),
    }
    match (endings.idle.exit_ms, endings.held.exit_ms) {
        (None, _) => add("an idle server does not end".to_owned(), NEVER_ENDS),
        (Some(_), None) => add("a client that holds a request open keeps the server for ever".to_owned(), NO_DEADLINE),
        _ => {}
    }
    match endings.second_signal {
        Second::Ignored => add("a second signal is ignored".to_owned(), SECOND),
        Second::Extends => add("a second signal makes the stop longer".to_owned(), LONGER),
        Second::Forces | Second::TooLate => {}
    }
    if let Some(ms) = endings.idle.exit_ms.filter(|ms| *ms > LONG_MS) {
        add(format!("an idle server takes {:.1} s to end", ms / 1e3), SLOW_IDLE);
    }
    if let Some(code) = endings.idle.exit_code.filter(|code| *code != 0 && !is_unhandled(options, endings.idle)) {
        add(format!("a stop of an idle server ends with code {code}"), CODE);
    }
    all
}

/// Whether the signal's own effect ended the process.
fn is_unhandled(options: &Options, idle: End) -> bool {
    options.stop_command.is_none() && idle.exit_code == Some(128 + options.signal.signal().as_raw())
}

fn at_once(rows: &[Row], profiles: &[Profile]) -> &'static str {
    let mut ends = rows.iter().filter(|row| profiles.contains(&row.profile)).flat_map(|row| &row.ends);
    if ends.all(|end| end.exit_ms.is_some_and(|ms| ms < AT_ONCE_MS)) { ", for the process ended at once" } else { "" }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::probe::{class::Classes, options::tests::options};

    const CLEAN: End = End { exit_ms: Some(600.0), exit_code: Some(0) };
    const KILLED: End = End { exit_ms: None, exit_code: None };

    pub(in crate::probe) const WELL: Endings =
        Endings { idle: CLEAN, held: CLEAN, second_signal: Second::Forces, second: CLEAN };

    pub(in crate::probe) fn row(profile: Profile, dropped: u64) -> Row {
        let classes = Classes::from([(Class::Ok, 96 - dropped), (Class::Reset, dropped)]);
        let classes = classes.into_iter().filter(|(_, n)| *n > 0).collect();
        let rate_below = (dropped == 0).then_some(3.0 / 96.0);
        Row { profile, stops: 3, at_risk: 96, dropped, rate_below, classes, ends: vec![CLEAN; 3], doubts: Vec::new() }
    }

    fn changes(rows: &[Row], endings: Endings) -> Vec<&'static str> {
        let options = options(&[]).expect("it can be parsed");
        advice(&options, rows, &endings).into_iter().map(|advice| advice.change).collect()
    }

    #[test]
    fn who_loses_nothing_and_ends_well_has_nothing_to_change() {
        assert_eq!(changes(&Profile::ALL.map(|profile| row(profile, 0)), WELL), [""; 0]);
    }

    #[test]
    fn every_mechanism_has_its_remedy() {
        let cases = [
            (Profile::New, ACCEPT_QUEUE),
            (Profile::Busy, KEEP_ALIVE),
            (Profile::Think, KEEP_ALIVE),
            (Profile::Silent, NOT_BEGUN),
            (Profile::Partial, NOT_BEGUN),
            (Profile::Pipelined, PIPELINE),
            (Profile::Stream, IN_FLIGHT),
            (Profile::Upload, IN_FLIGHT),
            (Profile::H2, GOAWAY),
            (Profile::Websocket, GOODBYE),
        ];
        for (profile, change) in cases {
            assert_eq!(changes(&[row(profile, 1)], WELL), [change], "{profile}");
        }
        let cases = [
            (Endings { idle: KILLED, held: KILLED, ..WELL }, NEVER_ENDS),
            (Endings { held: KILLED, ..WELL }, NO_DEADLINE),
            (Endings { second_signal: Second::Ignored, ..WELL }, SECOND),
            (Endings { second_signal: Second::Extends, ..WELL }, LONGER),
            (Endings { idle: End { exit_ms: Some(5e3), ..CLEAN }, ..WELL }, SLOW_IDLE),
            (Endings { idle: End { exit_code: Some(1), ..CLEAN }, ..WELL }, CODE),
            (Endings { idle: End { exit_code: Some(143), ..CLEAN }, ..WELL }, NO_HANDLER),
        ];
        for (endings, change) in cases {
            assert_eq!(changes(&[], endings), [change], "{endings:?}");
        }
    }
}
