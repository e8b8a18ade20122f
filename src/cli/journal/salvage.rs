//! `journal salvage`: makes a new journal of a damaged one.

use std::path::Path;

use crate::clock;
use crate::config::Settings;
use crate::journal::{Salvaged, SqliteJournal};
use crate::recorder::restore;

pub(super) fn run(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let (mut journal, salvaged) = SqliteJournal::salvage(&settings.storage.path, folder, clock::now())?;
    let Salvaged { events, lost, checkpoint } = salvaged;
    // A readable checkpoint may still be inconsistent.
    let checkpoint = checkpoint && restore(&journal, &settings.inputs.rules()).is_ok();
    if !checkpoint {
        journal.forget_checkpoint()?;
    }
    let path = journal.path().display().to_string();
    journal.close()?;
    let count: u64 = lost.iter().map(|range| range.end() - range.start() + 1).sum();
    let ranges: Vec<_> = lost.iter().map(|range| format!("{} to {}", range.start(), range.end())).collect();
    let lost = if count == 0 { "no gaps".to_owned() } else { format!("{count} lost: {}", ranges.join(", ")) };
    let checkpoint = match checkpoint {
        true => "the checkpoint is kept",
        false => "the checkpoint is lost, so counters restart from the kept events",
    };
    super::super::print(&format!("{path}: {events} events kept, {lost}; {checkpoint}\n"))?;
    Ok(())
}
