//! Commands in files: how long they sleep, and whether a signal passes through them.

use std::time::Duration;

use crate::config::duration;

/// How long a command sleeps, told by the `sleep N` in it; `None` when there is none.
pub(super) fn sleep(words: &[String]) -> Option<Duration> {
    let line = words.join(" ");
    let words: Vec<_> =
        line.split(|c: char| c.is_whitespace() || ";&|()".contains(c)).filter(|w| !w.is_empty()).collect();
    let lengths = words.windows(2).filter(|pair| pair[0] == "sleep" || pair[0].ends_with("/sleep"));
    // sleep(1) takes seconds, or a number with s, m, h or d.
    let read = |text: &str| {
        let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds.or_else(|| duration(text).ok())
    };
    let lengths: Vec<_> = lengths.filter_map(|pair| read(pair[1].trim_matches(['"', '\'']))).collect();
    (!lengths.is_empty()).then(|| lengths.iter().fold(Duration::ZERO, |sum, length| sum.saturating_add(*length)))
}

pub(super) fn is_shell(words: &[String]) -> bool {
    let program = words.first().and_then(|program| program.rsplit('/').next());
    program.is_some_and(|program| ["sh", "bash", "ash", "dash"].contains(&program))
}

/// Whether a shell stays between the supervisor and the service: it takes the signal and does not pass it on.
pub(super) fn swallows_signals(words: &[String]) -> bool {
    let script = words.iter().skip(1).skip_while(|word| !word.starts_with('-') || !word.ends_with('c')).nth(1);
    is_shell(words) && script.is_some_and(|script| !script.split_whitespace().any(|word| word == "exec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn a_sleep_is_found_wherever_it_stands() {
        let cases = [
            ("sleep|5", Some(5.0)),
            ("/bin/sleep|1.5", Some(1.5)),
            ("sh|-c|sleep 10", Some(10.0)),
            ("sh|-c|touch /drain; sleep 1m && sleep 5s", Some(65.0)),
            ("/drain.sh", None),
            ("sleep", None),
            ("sleep|soon", None),
            ("sleep|-1", None),
        ];
        for (line, seconds) in cases {
            assert_eq!(sleep(&words(line)), seconds.map(Duration::from_secs_f64), "{line}");
        }
    }

    #[test]
    fn a_shell_without_exec_swallows_the_signal() {
        assert!(swallows_signals(&words("/bin/sh|-c|/service --lame-duck 2s")));
        assert!(swallows_signals(&words("bash|-ec|migrate && /service")));
        for line in ["/service", "sh|-c|exec /service", "sh|/entrypoint.sh", ""] {
            assert!(!swallows_signals(&words(line)), "{line}");
        }
    }
}
