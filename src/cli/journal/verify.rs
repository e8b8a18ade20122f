//! `journal verify`: checks that a journal can be read and fits together.

use std::fmt;

use anyhow::bail;

use crate::config::Settings;
use crate::event::{RecordKind, Timestamp};
use crate::journal::SqliteJournal;
use crate::recorder::restore;

/// The content of a journal without damage.
pub(super) struct Verified {
    pub(super) events: u64,
    last: u64,
    inputs: usize,
    replayed: u64,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, last, inputs, replayed } = self;
        write!(f, "{events} events, newest record {last}, {inputs} inputs, {replayed} events after the checkpoint")
    }
}

pub(super) fn run(journal: &SqliteJournal, settings: &Settings) -> anyhow::Result<()> {
    let verified = verify(journal, settings)?;
    super::super::print(&format!("{}: no damage found; {verified}\n", journal.path().display()))?;
    Ok(())
}

/// Reads all of the journal.
pub(super) fn verify(journal: &SqliteJournal, settings: &Settings) -> anyhow::Result<Verified> {
    let mut problems = journal.integrity_problems()?;
    problems.append(&mut unordered_records(journal)?);
    let restored = restore(journal, &settings.inputs.rules())?;
    if !problems.is_empty() {
        bail!("{}: damaged\n{}\n{}", journal.path().display(), problems.join("\n"), super::super::SALVAGE);
    }
    let inputs = restored.fold.state().inputs().values().filter(|entry| entry.input.known_since.is_some()).count();
    Ok(Verified { events: journal.events(), last: journal.last_position(), inputs, replayed: restored.replayed })
}

/// Gaps between the records, and times that go back.
fn unordered_records(journal: &SqliteJournal) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    let progress = super::progress(journal);
    let mut before: Option<(u64, Timestamp)> = None;
    let mut after_gaps = Vec::new();
    journal.replay(0, |record| {
        progress.inc(1);
        if let Some((position, recorded_at)) = before {
            if record.position != position + 1 {
                after_gaps.push((position, record.position));
            }
            if record.recorded_at < recorded_at && record.kind != RecordKind::ClockSetBack {
                problems.push(format!("record {} was recorded before record {position}", record.position));
            }
        }
        before = Some((record.position, record.recorded_at));
    })?;
    progress.finish_and_clear();
    // A running daemon may have deleted records after their retention meanwhile, which are the oldest.
    let oldest = journal.oldest_position()?;
    after_gaps.retain(|(_, position)| *position > oldest);
    problems.extend(after_gaps.iter().map(|(before, after)| format!("record {after} follows record {before}")));
    Ok(problems)
}
