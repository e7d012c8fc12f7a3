//! `service check-config`: whether the settings, and what supervises the service, leave a stop its time.
//!
//! Nothing is bound, created or written. A manifest or a unit is held against the numbers that the service would have
//! there: from the file, the flags on this command line and the defaults, never from the environment of this shell.
//!
//! Exit codes: 0 right, perhaps with warnings; 78 an error, or with `--strict` a warning.

mod arithmetic;
mod balancer;
mod finding;
mod given;
mod kubernetes;
mod platform;
mod pod;
mod probes;
mod settings;
mod sheet;
mod shell;
mod source;
mod systemd;
mod unit;
mod yaml;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches};
use winddown::Report;

use self::{
    balancer::{Balancer, Longest, Probing},
    finding::{Findings, Level},
    given::Given,
    platform::Platform,
    settings::Settings,
    sheet::Sheet,
    source::Source,
};
use crate::config::{Config, Refusal, duration};

const NAME: &str = "check-config";

/// Check the settings, and a Kubernetes manifest or a systemd unit against them; nothing is bound or written
///
/// With a file the service's settings are those of the file, of the flags here and the defaults: the environment of
/// this shell does not count. Exits with 78 when something is wrong.
#[derive(Clone, Debug, Default, Args)]
struct Options {
    /// A manifest, also of several documents; - reads it from standard input. May be repeated
    #[arg(long, value_name = "FILE")]
    kubernetes: Vec<PathBuf>,
    /// Which container is the service [default: the one that has settings of the service, or the only one]
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    container: Option<String>,
    /// A unit; repeated, its drop-ins, in their order
    #[arg(long, value_name = "FILE")]
    systemd: Vec<PathBuf>,
    /// What runs the service, for its ceiling of the grace period
    #[arg(long, conflicts_with_all = ["kubernetes", "systemd"])]
    platform: Option<Platform>,
    /// After which silence the balancer closes a kept connection [default: 60s, as ingress-nginx and ALB do]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    balancer_idle: Option<Duration>,
    /// How the balancer asks for readiness, as INTERVAL*FAILURES+TIMEOUT: 5s*2+1s [default: it does not]
    #[arg(long, value_name = "PROBE")]
    balancer_probe: Option<Probing>,
    /// The longest that a request may take [default: proxy-read-timeout of an Ingress in the manifest]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    longest_request: Option<Duration>,
    /// Exit with 78 for warnings, too
    #[arg(long)]
    strict: bool,
}

/// The whole command line: the settings, or the check, which takes them as well.
pub(crate) fn command_line() -> Command {
    let settings = settings::quiet(Config::command());
    let settings = settings.get_arguments().map(|arg| arg.clone().help_heading("Settings of the service"));
    let check = Options::augment_args(Command::new(NAME)).args(settings);
    Config::command().args_conflicts_with_subcommands(true).subcommand(check)
}

/// Checks, where that is what the command line asks for.
///
/// Its first word decides, before the settings are read: this shell's may be wrong, and do not count with a file.
pub(crate) fn asked_for() -> Option<ExitCode> {
    env::args_os().nth(1).is_some_and(|word| word == NAME).then(|| match check(env::args_os()) {
        Ok((text, code)) => {
            // A pipe that was closed is no failure of ours.
            let _ = io::stdout().lock().write_all(text.as_bytes());
            code.into()
        }
        Err(refusal) => refusal.tell(),
    })
}

/// What there is to say, and the exit code.
fn check(words: impl Iterator<Item = OsString>) -> Result<(String, u8), Refusal> {
    let mut cli = settings::quiet(command_line());
    let matches = cli.try_get_matches_from_mut(words).map_err(Refusal::Arguments)?;
    let matches = matches.subcommand_matches(NAME).expect("it is the first word");
    let options = Options::from_arg_matches(matches).map_err(Refusal::Arguments)?;
    let sheets = sheets(&options, matches);
    let wrong = if options.strict { Level::Warning } else { Level::Error };
    let is_wrong = sheets.iter().any(|sheet| sheet.findings.worst() >= wrong);
    let verdict = sheet::verdict(&sheets, is_wrong);
    let text: Vec<_> = sheets.iter().map(ToString::to_string).collect();
    Ok((format!("{}\n{verdict}\n", text.join("\n")), if is_wrong { Report::CONFIG_REFUSED } else { 0 }))
}

/// One for each place in which the service would run.
fn sheets(options: &Options, matches: &ArgMatches) -> Vec<Sheet> {
    let flags = given::by_flag(matches);
    let mut sheets = Vec::new();
    for path in &options.kubernetes {
        match Source::read(path) {
            Ok(source) => sheets.extend(kubernetes::check(&source, options, &flags)),
            Err(error) => sheets.push(Sheet::refused(path.display().to_string(), error)),
        }
    }
    if !options.systemd.is_empty() {
        let sources: Result<Vec<_>, _> = options.systemd.iter().map(|path| Source::read(path)).collect();
        sheets.push(match sources {
            Ok(sources) => systemd::check(&sources, options, &flags),
            Err(error) => Sheet::refused("systemd".to_owned(), error),
        });
    }
    if sheets.is_empty() {
        sheets.push(here(options, flags));
    }
    sheets
}

/// The settings as the service would have them if it were started here.
fn here(options: &Options, flags: Vec<Given>) -> Sheet {
    let mut findings = Findings::default();
    let given = [flags, given::by_environment()].concat();
    let settings = Settings::resolve(given, &mut findings);
    findings.append(settings.check_files());
    settings.check_places(&mut findings);
    if let Some(platform) = options.platform {
        platform::check(platform, &settings, &mut findings);
    }
    let rows = arithmetic::check(&settings, None, &options.balancer(None), &mut findings);
    let basis = "by flags, by this environment, by default".to_owned();
    Sheet { title: "the settings here".to_owned(), basis, rows, findings }
}

impl Options {
    /// What stands in front; a file may say how long a request may take.
    fn balancer(&self, longest: Option<Longest>) -> Balancer {
        let longest = self.longest_request.map(|length| Longest { length, place: None }).or(longest);
        Balancer { idle: self.balancer_idle, probing: self.balancer_probe, longest }
    }
}

#[cfg(test)]
mod tests;
