//! When users come and go, and when requests are due.

use std::{fmt, str::FromStr, time::Duration};

use super::BadValue;

/// Users over time, as goose has it: `100,10s;100,1m;0,10s` starts 100 users within 10 s, holds them for a minute, and
/// stops them within 10 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestPlan {
    /// A number of users and the whole seconds to reach it in. The last step has none.
    steps: Vec<(u32, u64)>,
}

/// Requests that are due in each second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

/// How due times lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// As those of many clients who know nothing of each other: now and then several at once.
    #[default]
    Poisson,
    /// Equally far apart.
    Constant,
}

impl TestPlan {
    const MOST_USERS: u32 = 100_000;
    const LONGEST: Duration = Duration::from_hours(24);

    /// From the first user's start to the last one's end.
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.steps.iter().map(|(_, seconds)| seconds).sum())
    }
}

impl FromStr for TestPlan {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let step = |step: &str| {
            let (users, time) = step.split_once(',')?;
            let time = humantime::parse_duration(time.trim()).ok().filter(|time| time.subsec_nanos() == 0)?;
            let users = users.trim().parse().ok().filter(|users| *users <= Self::MOST_USERS)?;
            Some((users, time.as_secs())).filter(|_| time <= Self::LONGEST)
        };
        let steps = text.split(';').map(step).collect::<Option<Vec<_>>>();
        let plan =
            steps.map(|steps| Self { steps }).filter(|plan| plan.length() <= Self::LONGEST).ok_or_else(|| {
                BadValue("give steps of USERS,WHOLE SECONDS, at most a day, such as 100,10s;100,1m;0,10s".into())
            })?;
        let starts_some = plan.steps.iter().any(|(users, _)| *users > 0);
        match plan.steps.last() {
            Some((0, _)) if starts_some => Ok(plan),
            Some((0, _)) => Err(BadValue("it starts nobody; give one step a user, such as 100,10s;0,10s".into())),
            _ => Err(BadValue("it does not end; let the last step lead to 0 users, such as 100,10s;0,10s".into())),
        }
    }
}

impl fmt::Display for TestPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (users, seconds)) in self.steps.iter().enumerate() {
            let separator = if number > 0 { ";" } else { "" };
            write!(f, "{separator}{users},{seconds}s")?;
        }
        Ok(())
    }
}

impl FromStr for Rate {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            _ => f64::NAN,
        };
        let rate = number.parse::<f64>().map(|number| number / seconds);
        rate.ok()
            .filter(|rate| (0.001..=1_000_000.0).contains(rate))
            .map(Self)
            .ok_or_else(|| BadValue("give requests a second or a minute, such as 2000/s or 30/m".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_as_goose_is_told_it_and_knows_its_length() {
        let plan: TestPlan = "100,10s;100,1m;0,10s".parse().expect("a plan");
        assert_eq!(plan.to_string(), "100,10s;100,60s;0,10s");
        assert_eq!(plan.length(), Duration::from_secs(80));
        assert_eq!(plan.to_string().parse::<TestPlan>().expect("it was just written"), plan);
    }

    #[test]
    fn a_rate_is_of_seconds_or_of_minutes() {
        for (text, rate) in [("2000/s", 2000.0), ("2000", 2000.0), ("30/m", 0.5), ("0.5/s", 0.5)] {
            assert_eq!(text.parse::<Rate>().expect("a rate"), Rate(rate), "{text}");
        }
    }
}
