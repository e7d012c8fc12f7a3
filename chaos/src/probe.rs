//! What a restart of any HTTP server loses, in whatever language it is written, as far as its clients can tell.
//!
//! The server is started, loaded and stopped anew for each stop ([`stops`]), once for every kind of client ([`profile`]). The
//! clients are bare sockets: nothing is pooled, nothing repeated, and what each saw is told apart by [`class`]. How
//! it ends without a load is measured apart ([`endings`]). The score card ([`card`]) says what was lost and, by what was
//! found, what to change (`advice`).
//!
//! Nobody asks the server: a client that was cut cannot know whether its request was processed. Where that matters, it takes a
//! second ledger ([`crate::join`]).

mod address;
mod advice;
mod clients;
mod h2;
mod http1;
mod load;
mod options;
mod server;
mod survey;
mod websocket;

pub mod card;
pub mod class;
pub mod endings;
pub mod profile;
pub mod stops;

use std::{
    env,
    path::{Path, PathBuf},
    time::SystemTime,
};

pub use self::{
    card::Card,
    options::{Options, Refused, SignalName},
};
use self::{endings::Endings, stops::Row, survey::Survey};
use crate::{canary::Canary, progress::Progress, runner::new_folder};

/// Probes the server of `options`, and saves the score card in a folder of its own.
///
/// # Errors
///
/// When an option is [`Refused`], the server does not get ready, or somebody interrupts the run.
pub fn run(options: &Options) -> anyhow::Result<Card> {
    options.check()?;
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let folder = new_folder(&reports(options), "probe", &started)?;
    let canary = Canary::start()?;
    let mut progress = Progress::new();

    progress.begin("survey".to_owned());
    progress.step("starting");
    let Survey { target, profiles, skipped } = Survey::take(options, &folder)?;
    let mut rows = Vec::new();
    for profile in profiles {
        rows.push(Row::measure(profile, &target, options, &canary, &folder, &mut progress)?);
    }
    let endings = Endings::measure(&target, options, &folder, &mut progress)?;
    progress.clear();

    let card = Card::new(options, started, &target, folder, rows, skipped, endings);
    card.save()?;
    Ok(card)
}

/// Where reports go: the target folder of the workspace that we are in, or a folder of their own here.
fn reports(options: &Options) -> PathBuf {
    if let Some(folder) = &options.reports {
        return folder.clone();
    }
    let here = env::current_dir().unwrap_or_default();
    let workspace = here.ancestors().filter(|folder| folder.join("Cargo.lock").is_file()).last();
    workspace.map_or_else(|| here.join("chaos-reports"), |folder: &Path| folder.join("target/chaos"))
}
