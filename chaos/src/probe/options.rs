//! What is probed and how: the command line, checked before anything is started.

use std::{env, fmt, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Args;
use rustix::process::Signal;

use super::{address::Url, profile::Profile};

/// Whoever drains for longer is not probed in a minute.
const LONGEST_GRACE: Duration = Duration::from_mins(10);

/// Stands for a free port in the command and in `--url`.
pub(super) const PORT: &str = "{port}";

/// The options of `chaos probe`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// What is asked for, and where; `{port}` is a free port. By default `/` of the one port on which the command listens.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The server is ready when it answers this path with less than 400. By default: when the URL's answer is less than 500.
    #[arg(long, value_name = "PATH")]
    pub ready: Option<String>,
    /// The signal that stops it.
    #[arg(long, value_name = "SIGNAL", default_value = "TERM")]
    pub signal: SignalName,
    /// A shell command that stops it, instead of a signal; `{port}` is its port.
    #[arg(long, value_name = "SHELL", conflicts_with = "signal")]
    pub stop_command: Option<String>,
    /// From the signal to the end it may take so long; a second later it is killed.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// How often it is stopped under each profile.
    #[arg(long, value_name = "N", default_value = "3")]
    pub repeats: NonZeroU32,
    /// The profiles, separated by commas. By default all that are possible.
    #[arg(long, value_name = "PROFILE", value_delimiter = ',')]
    pub profiles: Vec<Profile>,
    /// A path whose answer takes a while, for the profile `stream`.
    #[arg(long, value_name = "PATH")]
    pub stream: Option<String>,
    /// A path that takes a POST, for the profile `upload`. By default the URL's.
    #[arg(long, value_name = "PATH")]
    pub upload: Option<String>,
    /// A path that upgrades to a WebSocket, for the profile `websocket`.
    #[arg(long, value_name = "PATH")]
    pub websocket: Option<String>,
    /// A path whose answer takes longer than the grace: what is held open to see a deadline. By default an upload that
    /// never ends.
    #[arg(long, value_name = "PATH")]
    pub hold: Option<String>,
    /// So many requests may be dropped in all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_dropped: u64,
    /// Where the report's folder is made. By default target/chaos of the workspace here, or chaos-reports.
    #[arg(long, value_name = "FOLDER")]
    pub reports: Option<PathBuf>,
    /// The server: a program and its arguments. Its environment has PORT, a free port.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// A signal by its name, with or without SIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalName {
    name: &'static str,
    signal: Signal,
}

const SIGNALS: [(&str, Signal); 7] = [
    ("TERM", Signal::TERM),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("HUP", Signal::HUP),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("KILL", Signal::KILL),
];

/// An option that cannot be, with its value and a remedy.
#[derive(Debug, thiserror::Error)]
#[error("{field} {value:?}: {remedy}")]
pub struct Refused {
    field: &'static str,
    value: String,
    remedy: String,
}

impl Refused {
    pub(super) fn new(field: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field, value: value.into(), remedy: remedy.into() }
    }
}

impl Options {
    /// Refuses what cannot be, before anything is started.
    pub fn check(&self) -> Result<(), Refused> {
        let paths = [
            ("--ready", &self.ready),
            ("--stream", &self.stream),
            ("--upload", &self.upload),
            ("--websocket", &self.websocket),
            ("--hold", &self.hold),
        ];
        for (field, path) in paths {
            if let Some(path) = path.as_ref().filter(|path| !is_path(path)) {
                return Err(Refused::new(field, path, "is no path: begin it with / and leave out spaces"));
            }
        }
        if self.grace.is_zero() || self.grace > LONGEST_GRACE {
            let grace = humantime::format_duration(self.grace).to_string();
            return Err(Refused::new("--grace", grace, "is out of range: write 1ms to 10m, such as 10s"));
        }
        self.check_url()?;
        for (profile, path, option) in
            [(Profile::Stream, &self.stream, "--stream"), (Profile::Websocket, &self.websocket, "--websocket")]
        {
            if self.profiles.contains(&profile) && path.is_none() {
                let remedy = format!("needs a path: add {option} PATH, or leave the profile out");
                return Err(Refused::new("--profiles", profile.name(), remedy));
            }
        }
        self.check_program()
    }

    fn check_url(&self) -> Result<(), Refused> {
        let has_port = |text: &String| text.contains(PORT);
        let Some(url) = &self.url else { return Ok(()) };
        if self.command.iter().any(has_port) && !has_port(url) {
            let remedy =
                "names a port of its own, and COMMAND gets a free one by {port}: write {port} in both, or in neither";
            return Err(Refused::new("--url", url, remedy));
        }
        // A port that is free later is as good as this one.
        Url::parse(&url.replace(PORT, "1")).map(drop).map_err(|remedy| Refused::new("--url", url, remedy))
    }

    fn check_program(&self) -> Result<(), Refused> {
        let program = self.command.first().map(String::as_str).unwrap_or_default();
        let places = env::var_os("PATH").unwrap_or_default();
        let found = if program.contains('/') {
            PathBuf::from(program).is_file()
        } else {
            !program.is_empty() && env::split_paths(&places).any(|folder| folder.join(program).is_file())
        };
        if found {
            return Ok(());
        }
        Err(Refused::new("COMMAND", program, "is no program here: write its path, or install it"))
    }

    /// The profiles that are asked for.
    pub(super) fn wanted(&self) -> impl Iterator<Item = Profile> {
        Profile::ALL.into_iter().filter(|profile| self.profiles.is_empty() || self.profiles.contains(profile))
    }

    /// How it is stopped, for a reader.
    pub(super) fn stopped_by(&self) -> String {
        self.stop_command.as_ref().map_or_else(|| self.signal.to_string(), |command| format!("`{command}`"))
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic())
}

impl SignalName {
    /// The signal.
    pub const fn signal(&self) -> Signal {
        self.signal
    }
}

impl std::str::FromStr for SignalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        let known = SIGNALS.iter().find(|(name, _)| *name == bare);
        known.map(|&(name, signal)| Self { name, signal }).ok_or_else(|| {
            let names: Vec<_> = SIGNALS.iter().map(|(name, _)| *name).collect();
            format!("is no signal that stops a server: write one of {}, or use --stop-command", names.join(", "))
        })
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    /// The options of a command line, `true` being the server's program.
    pub(in crate::probe) fn options(args: &[&str]) -> Result<Options, String> {
        let command = if args.contains(&"--") { &[] } else { ["--", "true"].as_slice() };
        let args = ["probe"].iter().chain(args).chain(command);
        Ok(Cli::try_parse_from(args).map_err(|error| error.to_string())?.options)
    }

    #[test]
    fn the_smallest_command_line_is_enough() {
        let options = options(&[]).expect("it can be parsed");
        options.check().expect("it can be carried out");
        assert_eq!((options.stopped_by().as_str(), options.grace), ("SIGTERM", Duration::from_secs(10)));
    }

    #[test]
    fn what_cannot_be_is_refused_with_field_value_and_remedy() {
        let cases: [(&[&str], &str); 9] = [
            (&["--url", "https://127.0.0.1:1/"], "--url \"https://127.0.0.1:1/\": only http:// "),
            (&["--url", "http://192.0.2.1:80/"], "--url \"http://192.0.2.1:80/\": the server is started here"),
            (&["--url", "http://127.0.0.1/"], "--url \"http://127.0.0.1/\": it has no port"),
            (
                &["--url", "http://127.0.0.1:80/", "--", "true", "{port}"],
                "--url \"http://127.0.0.1:80/\": names a port",
            ),
            (&["--stream", "slow"], "--stream \"slow\": is no path: begin it with /"),
            (&["--grace", "0s"], "--grace \"0s\": is out of range"),
            (&["--profiles", "new,stream"], "--profiles \"stream\": needs a path: add --stream PATH"),
            (&["--profiles", "websocket"], "--profiles \"websocket\": needs a path: add --websocket PATH"),
            (&["--", "no-such-program"], "COMMAND \"no-such-program\": is no program here"),
        ];
        for (args, beginning) in cases {
            let refused = options(args).expect("it can be parsed").check().expect_err("it cannot be carried out");
            assert!(refused.to_string().starts_with(beginning), "{refused}");
        }
        for (args, part) in [
            (["--signal", "STOP"], "is no signal that stops a server: write one of TERM"),
            (["--profiles", "old"], "[possible values: new, busy"),
            (["--repeats", "0"], "--repeats"),
        ] {
            let error = options(&args).expect_err("clap refuses it");
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn signals_have_their_names_with_and_without_sig() {
        for name in ["usr1", "USR1", "SIGUSR1"] {
            let signal: SignalName = name.parse().expect("it is a signal");
            assert_eq!((signal.signal(), signal.to_string().as_str()), (Signal::USR1, "SIGUSR1"));
        }
    }
}
