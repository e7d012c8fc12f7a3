//! What stands in front of the service: how long it keeps connections, how it learns of a stop, how long it waits.

use std::{str::FromStr, time::Duration};

use super::{
    finding::{Findings, Place},
    settings::Settings,
    sheet::Row,
};
use crate::config::{duration, told};

/// What ingress-nginx and the Application Load Balancer have by default.
const IDLE: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(super) struct Balancer {
    /// After which silence it closes a kept connection, when somebody said so.
    pub(super) idle: Option<Duration>,
    pub(super) probing: Option<Probing>,
    pub(super) longest: Option<Longest>,
}

/// The longest that a request may take.
pub(super) struct Longest {
    pub(super) length: Duration,
    pub(super) place: Option<Place>,
}

/// How a balancer finds out: it asks each `interval`, and believes `failures` of them, the last after `timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probing {
    interval: Duration,
    failures: u32,
    timeout: Duration,
}

impl FromStr for Probing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let remedy = || format!("`{text}` is no probe; write INTERVAL*FAILURES+TIMEOUT as 5s*2+1s");
        let (interval, rest) = text.split_once('*').ok_or_else(remedy)?;
        let (failures, timeout) = rest.split_once('+').ok_or_else(remedy)?;
        let failures = failures.trim().parse().map_err(|_| remedy())?;
        Ok(Self { interval: duration(interval.trim())?, failures, timeout: duration(timeout.trim())? })
    }
}

impl Balancer {
    /// A connection must not close on our side while the balancer sends on it.
    pub(super) fn check_keep_alive(&self, settings: &Settings, keep_alive: Duration, findings: &mut Findings) {
        let idle = self.idle.unwrap_or(IDLE);
        let whose = if self.idle.is_some() { "" } else { " (ingress-nginx and ALB; --balancer-idle says another)" };
        let both =
            |relation| format!("KEEP_ALIVE_TIMEOUT={keep_alive:?} is {relation} than the balancer's {idle:?}{whose}");
        if keep_alive > idle {
            return findings.ok(both("longer"));
        }
        let remedy = format!("write KEEP_ALIVE_TIMEOUT={:?}", idle.saturating_add(idle / 4));
        let text = format!("{}: it meets closed connections; {remedy}", both("not longer"));
        match self.idle {
            Some(_) => findings.error(settings.place("KEEP_ALIVE_TIMEOUT"), text),
            None => findings.warning(settings.place("KEEP_ALIVE_TIMEOUT"), text),
        }
    }

    /// A balancer that polls must have noticed when the lame duck is over.
    pub(super) fn check_lame_duck(&self, settings: &Settings, lame_duck: Duration, findings: &mut Findings) {
        let Some(Probing { interval, failures, timeout }) = self.probing else { return };
        let needed = interval.saturating_mul(failures).saturating_add(timeout);
        let probes = format!("the balancer's {interval:?} × {failures} + {}", told(timeout));
        let lame_duck = (lame_duck, told(lame_duck));
        if lame_duck.0 >= needed {
            findings.ok(format!("LAME_DUCK={} is enough for {probes}", lame_duck.1));
        } else {
            let why =
                format!("LAME_DUCK={} is shorter than {probes}: requests still come when it is over", lame_duck.1);
            let remedy = format!("write LAME_DUCK={needed:?}, and a GRACE_PERIOD with room for it");
            findings.error(settings.place("LAME_DUCK"), format!("{why}; {remedy}"));
        }
    }

    /// A request that begins when the lame duck ends has the drain.
    pub(super) fn check_longest(&self, drain: Duration, rows: &mut Vec<Row>, findings: &mut Findings) {
        let Some(Longest { length, place }) = &self.longest else { return };
        let remark = place.as_ref().map_or_else(|| "flag".to_owned(), ToString::to_string);
        rows.push(Row { name: "longest request", value: told(*length), remark });
        if *length <= drain {
            findings.ok(format!("a request of {} fits into the drain of {}", told(*length), told(drain)));
        } else {
            let why = format!("a request may take {length:?}, the drain has {}: a stop cuts longer ones", told(drain));
            let remedy = format!("raise GRACE_PERIOD by {:?}, or bound the request", length.saturating_sub(drain));
            findings.warning(place.clone(), format!("{why}; {remedy}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_read_as_it_is_written() {
        let secs = Duration::from_secs;
        let probing = Probing { interval: secs(5), failures: 2, timeout: secs(1) };
        assert_eq!("5s*2+1s".parse(), Ok(probing));
        assert_eq!("5s * 2 + 1s".parse(), Ok(probing));
        for text in ["", "5s", "5s*2", "5s*x+1s", "5s*-2+1s", "5*2+1s", "5s*2+"] {
            text.parse::<Probing>().expect_err(text);
        }
    }
}
