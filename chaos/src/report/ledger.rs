//! `ledger.jsonl`: the joined ledger of a stop, written as it passes by.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::Context;

use super::timeline::Timeline;
use crate::{join::Join, stop::Stop};

/// Writes the joined ledger of `stop`, whose signal was sent at `signal`, into `folder`, and keeps what a picture needs.
pub fn keep(join: &Join, signal: u64, stop: &Stop, folder: &Path) -> anyhow::Result<Timeline> {
    let path = folder.join("ledger.jsonl");
    write(join, signal, stop, &path).with_context(|| format!("cannot write {}", path.display()))
}

fn write(join: &Join, signal: u64, stop: &Stop, path: &Path) -> anyhow::Result<Timeline> {
    let last_phase = join.phases(signal).map(|(ms, _)| ms).fold(0.0, f64::max);
    let mut timeline = Timeline::new(stop.exit_ms.unwrap_or(last_phase));
    let mut file = BufWriter::new(File::create(path)?);
    for joined in join.joined(signal) {
        serde_json::to_writer(&mut file, &joined)?;
        file.write_all(b"\n")?;
        timeline.add(&joined);
    }
    file.flush()?;

    join.phases(signal).for_each(|(ms, phase)| timeline.phase(ms, phase));
    timeline.mark(0.0, "signal");
    if let Some(ms) = stop.not_ready_ms {
        timeline.mark(ms, "not ready");
    }
    if let (Some(ms), Some(code)) = (stop.exit_ms, stop.exit_code) {
        timeline.mark(ms, format!("exit, code {code}"));
    }
    stop.faults.iter().for_each(|fault| timeline.mark(fault.ms, fault.what.clone()));
    timeline.finish();
    Ok(timeline)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::verdict::tests::stop;

    #[test]
    fn every_request_is_a_line_and_the_timeline_has_phases_and_marks() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (client, audit) = (folder.path().join("client.ledger"), folder.path().join("audit.log"));
        let records: Vec<_> = (1..=50)
            .map(|n| format!("{n} intent {n} 0 fresh h1 fast r{n}\n{n}000000 outcome ok 200 - r{n}\n"))
            .collect();
        fs::write(&client, records.concat()).expect("a temporary folder has room");
        fs::write(&audit, "25000000 phase lame_duck\n").expect("a temporary folder has room");
        let join = Join::read(&client, &audit).expect("the ledgers are well formed");

        let timeline = keep(&join, 25_000_000, &stop(1, &[]), folder.path()).expect("a temporary folder has room");
        let lines = fs::read_to_string(folder.path().join("ledger.jsonl")).expect("it was written");
        let mut ids: Vec<_> = lines
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
                line["id"].as_str().expect("it has an id").to_owned()
            })
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 50);
        assert_eq!(timeline.phases, [(0.0, "lame_duck".to_owned())]);
        let marks: Vec<_> = timeline.marks.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!(marks, ["signal", "not ready", "exit, code 0"]);
    }
}
