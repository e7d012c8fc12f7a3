//! Servers of the field, probed one after the other.

/// The options of `chaos peers`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Nothing yet.
pub fn run(_: &Args) -> anyhow::Result<()> {
    Ok(())
}
