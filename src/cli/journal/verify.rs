//! `journal verify`: checks that a journal can be read and fits together.

use std::fmt;

use anyhow::bail;

use crate::config::Settings;
use crate::event::{RecordKind, Timestamp};
use crate::journal::{Location, Reader};
use crate::recorder::{Restored, restore};

/// The content of a journal without damage.
pub(super) struct Verified {
    pub(super) events: u64,
    pub(super) last: u64,
    /// The latest time that was recorded or shown.
    pub(super) recorded_until: Timestamp,
    inputs: usize,
    replayed: u64,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, last, inputs, replayed, .. } = self;
        write!(f, "{events} events, newest record {last}, {inputs} inputs, {replayed} events after the checkpoint")
    }
}

pub(super) fn run(location: &Location, settings: &Settings) -> anyhow::Result<()> {
    let verified = verify(&*location.open_to_read()?, location, settings)?;
    super::super::print(&format!("{location}: no damage found; {verified}\n"))?;
    Ok(())
}

/// Reads all of the journal at this location.
pub(super) fn verify(
    journal: &dyn Reader,
    location: &dyn fmt::Display,
    settings: &Settings,
) -> anyhow::Result<Verified> {
    let mut problems = journal.integrity_problems()?;
    let (events, mut unordered) = read_records(journal)?;
    problems.append(&mut unordered);
    let restored = restore(journal, &settings.inputs.rules())?;
    if !problems.is_empty() {
        bail!("{location}: damaged\n{}\n{}", problems.join("\n"), super::super::SALVAGE);
    }
    let inputs = restored.fold.state().inputs().values().filter(|entry| entry.input.known_since.is_some()).count();
    let checkpoint = journal.checkpoint()?.map_or(0, |checkpoint| checkpoint.position);
    let last = journal.newest_position()?.max(checkpoint);
    let Restored { recorded_until, replayed, .. } = restored;
    Ok(Verified { events, last, recorded_until, inputs, replayed })
}

/// The number of events, gaps between the records, and times that go back.
fn read_records(journal: &dyn Reader) -> anyhow::Result<(u64, Vec<String>)> {
    let mut problems = Vec::new();
    let progress = super::progress(journal)?;
    let mut events = 0;
    let mut before: Option<(u64, Timestamp)> = None;
    let mut after_gaps = Vec::new();
    journal.replay(0, &mut |record| {
        progress.inc(1);
        events += u64::from(record.event().is_some());
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
    Ok((events, problems))
}
