//! Servers of the field, each probed as its documentation wants it stopped, in one table of a document.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::Context;
use clap::Parser;
use serde::Deserialize;

use crate::{
    binaries::Binaries,
    probe::{
        self, Card, Options,
        card::{codes, median, milliseconds},
        endings::Second,
        profile::Profile,
        stops::{End, Row},
    },
    runner::new_folder,
    server::Server,
    wait::Interrupted,
};

/// The table stands between these in its document, and all else there is left as it is.
const BEGIN: &str = "<!-- measured by just peers -->\n";
const END: &str = "<!-- end -->\n";

/// What direct answers can be put to. None of them streams or speaks WebSocket.
const PROFILES: [Profile; 8] = [
    Profile::New,
    Profile::Busy,
    Profile::Think,
    Profile::Silent,
    Profile::Partial,
    Profile::Pipelined,
    Profile::Upload,
    Profile::H2,
];

/// The options of `chaos peers`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these, by their names in peers.toml, separated by commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// How often each is stopped under each profile.
    #[arg(long, value_name = "N", default_value = "5")]
    repeats: NonZeroU32,
    /// The folder with peers.toml and what it needs.
    #[arg(long, value_name = "FOLDER", default_value = "chaos/peers")]
    folder: PathBuf,
    /// The document whose table is made anew.
    #[arg(long, value_name = "FILE", default_value = "docs/peers.md")]
    document: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peers {
    peer: Vec<Peer>,
}

/// A server that is probed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// What the table calls it.
    pub name: String,
    version: String,
    build: Option<String>,
    probe: String,
}

/// A peer's score.
struct Scored {
    name: String,
    version: String,
    card: Card,
}

/// What stands for the places of this machine in `peers.toml`.
#[derive(Debug)]
pub struct Places(Vec<(&'static str, String)>);

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

/// Probes all peers that are here, and writes their table into the document.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let peers = read(&args.folder)?;
    if let Some(unknown) = args.only.iter().find(|name| peers.iter().all(|peer| peer.name != **name)) {
        let names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
        anyhow::bail!("--only {unknown:?} is no peer: write some of {}", names.join(", "));
    }
    let document = fs::read_to_string(&args.document)
        .with_context(|| format!("cannot read {}: it has the table", args.document.display()))?;
    anyhow::ensure!(
        document.contains(BEGIN) && document.contains(END),
        "{} has no lines {BEGIN:?} and {END:?}: the table goes between them",
        args.document.display()
    );

    let binaries = Binaries::build(&BTreeSet::from([Server::Service, Server::Naive]))?;
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let folder = new_folder(&binaries.target.join("chaos"), "peers", &started)?;
    let places = Places::new(&args.folder, &folder, &binaries)?;
    let mut scored = Vec::new();
    for peer in peers.into_iter().filter(|peer| args.only.is_empty() || args.only.contains(&peer.name)) {
        let version = match peer.prepare(&places) {
            Ok(version) => version,
            Err(missing) => {
                eprintln!("{} is left out: {missing:#}", peer.name);
                continue;
            }
        };
        let options = peer.options(&places, args.repeats, &folder)?;
        match probe::run(&options) {
            Ok(card) => {
                println!("{}", card.text());
                scored.push(Scored { name: peer.name, version, card });
            }
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => eprintln!("{} is left out: {error:#}", peer.name),
        }
    }
    anyhow::ensure!(!scored.is_empty(), "no peer could be probed");
    let document = replaced(&document, &table(&started, args.repeats, &scored));
    fs::write(&args.document, document).with_context(|| format!("cannot write {}", args.document.display()))
}

/// The peers of `folder`.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Peer>> {
    let path = folder.join("peers.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let peers: Peers = toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
    Ok(peers.peer)
}

impl Peer {
    /// Builds it, if it has to be; its version.
    pub fn prepare(&self, places: &Places) -> anyhow::Result<String> {
        if let Some(build) = &self.build {
            shell(&places.fill(build))?;
        }
        let version = shell(&places.fill(&self.version))?;
        let version = version.lines().next().unwrap_or_default().trim().to_owned();
        anyhow::ensure!(!version.is_empty(), "it does not say which version it is");
        Ok(version)
    }

    /// What it is probed with: `repeats` stops a profile, reports into `reports`.
    pub fn options(&self, places: &Places, repeats: NonZeroU32, reports: &Path) -> anyhow::Result<Options> {
        let words = shlex::split(&self.probe).with_context(|| format!("{}: a quote is not closed", self.name))?;
        let words = ["probe".to_owned()].into_iter().chain(words.iter().map(|word| places.fill(word)));
        let mut options = CommandLine::try_parse_from(words).with_context(|| self.name.clone())?.options;
        options.repeats = repeats;
        options.profiles = PROFILES.to_vec();
        options.reports = Some(reports.to_owned());
        Ok(options)
    }
}

impl Places {
    /// The places of the peers in `folder`, which are built and write into `out`.
    pub fn new(folder: &Path, out: &Path, binaries: &Binaries) -> anyhow::Result<Self> {
        let absolute = |path: &Path| fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()));
        let mut places = vec![("{peers}", absolute(folder)?), ("{out}", absolute(out)?)];
        for (name, server) in [("{service}", Server::Service), ("{naive}", Server::Naive)] {
            // Where one is missing its peer does not start.
            places.extend(binaries.path(server.binary().0).ok().map(|path| (name, path.to_owned())));
        }
        Ok(Self(places.into_iter().map(|(name, path)| (name, path.display().to_string())).collect()))
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, path)| text.replace(name, path))
    }
}

/// What a shell's command prints, if it succeeds.
fn shell(command: &str) -> anyhow::Result<String> {
    let output = Command::new("sh").args(["-c", command]).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`{command}` failed ({}): {}", output.status, stderr.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn replaced(document: &str, table: &str) -> String {
    let (before, rest) = document.split_once(BEGIN).unwrap_or((document, ""));
    let (_, after) = rest.split_once(END).unwrap_or_default();
    format!("{before}{BEGIN}\n{table}\n{END}{after}")
}

fn table(started: &str, repeats: NonZeroU32, scored: &[Scored]) -> String {
    let mut text = format!("{repeats} stops a cell, begun {started}.\n\n| server |");
    for profile in PROFILES {
        let _ = write!(text, " {profile} |");
    }
    text += " exit under load | idle | code | a request held | second signal |\n|---|";
    text += &"--:|".repeat(PROFILES.len() + 2);
    text += "---|---|---|\n";
    for Scored { name, card, .. } in scored {
        let _ = write!(text, "| {name} |");
        for profile in PROFILES {
            let row = card.profiles.iter().find(|row| row.profile == profile);
            let _ = write!(text, " {} |", row.map_or_else(|| "–".to_owned(), cell));
        }
        let ends: Vec<_> = card.profiles.iter().flat_map(|row| row.ends.iter().copied()).collect();
        let all: Vec<_> = ends.iter().copied().chain([card.endings.idle]).collect();
        let time = |end: Option<f64>| end.map_or_else(|| "never".to_owned(), milliseconds);
        let _ = writeln!(
            text,
            " {} | {} | {} | {} | {} |",
            time(median(&ends)),
            time(card.endings.idle.exit_ms),
            codes(&all),
            held(card.endings.held),
            second(card),
        );
    }
    text += "\nVersions: ";
    text += &scored.iter().map(|peer| format!("{} ({})", peer.name, peer.version)).collect::<Vec<_>>().join(" · ");
    text += ".\n";
    let doubts: Vec<_> = scored.iter().flat_map(doubts).collect();
    if !doubts.is_empty() {
        text += "\nWhat the prober has doubts about:\n\n";
        text += &doubts.concat();
    }
    text
}

fn cell(row: &Row) -> String {
    let Row { dropped, at_risk, .. } = row;
    if *dropped == 0 { format!("**0** / {at_risk}") } else { format!("{dropped} / {at_risk}") }
}

fn held(end: End) -> String {
    match (end.exit_ms, end.exit_code) {
        (Some(ms), Some(code)) => format!("ends after {}, code {code}", milliseconds(ms)),
        _ => "never ends".to_owned(),
    }
}

fn second(card: &Card) -> String {
    match (card.endings.second_signal, card.endings.second.exit_ms, card.endings.second.exit_code) {
        (second @ Second::Forces, Some(ms), Some(code)) => {
            format!("{}: {}, code {code}", second.label(), milliseconds(ms))
        }
        (second, ..) => second.label().to_owned(),
    }
}

fn doubts(peer: &Scored) -> Vec<String> {
    let rows = peer.card.profiles.iter();
    let doubts = rows.flat_map(|row| row.doubts.iter().map(move |doubt| format!("{}, {doubt}", row.profile)));
    doubts.map(|doubt| format!("- {}: {doubt}\n", peer.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_command_line_that_can_be_carried_out_and_knows_its_places() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let out = tempfile::tempdir().expect("a temporary folder can be made");
        let found = ["service", "naive"].map(|name| (name.to_owned(), PathBuf::from("/bin").join(name)));
        let binaries = Binaries::found(found, out.path().to_owned());
        let places = Places::new(&folder, out.path(), &binaries).expect("all are there");
        let peers = read(&folder).expect("it can be read");
        assert!(peers.len() >= 9, "{peers:?}");
        for peer in peers {
            let options = peer.options(&places, NonZeroU32::MIN, out.path()).expect("it can be parsed");
            let words = options.command.join(" ") + options.stop_command.as_deref().unwrap_or_default();
            let left = ["{peers}", "{out}", "{service}", "{naive}"];
            assert!(!left.iter().any(|place| words.contains(place)), "{words}");
        }
    }

    #[test]
    fn only_what_stands_between_the_lines_is_replaced() {
        let document = format!("# Peers\n\n{BEGIN}\nold\n\n{END}\nMore.\n");
        assert_eq!(replaced(&document, "new\n"), format!("# Peers\n\n{BEGIN}\nnew\n\n{END}\nMore.\n"));
        assert_eq!(
            replaced(&replaced(&document, "new\n"), "old\n"),
            format!("# Peers\n\n{BEGIN}\nold\n\n{END}\nMore.\n")
        );
    }
}
