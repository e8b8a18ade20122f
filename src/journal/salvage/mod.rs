//! What can still be read of a damaged journal, as a new one.
//!
//! SQLite reaches a row from the root of its table: one damaged page hides all that are below it. So
//! the pages are read one by one, and each that holds events gives them, wherever it belongs. The
//! checkpoint is kept as a whole or not at all, and read by SQLite from a copy. The damaged files are
//! read and nothing else.
//!
//! Events that were deleted after their retention may be found again; the daemon deletes them again.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::lock::Lock;
use super::{Checkpoint, DATABASE_FILE, Entry, InputRow, Journal, JournalError, schema, wal_file};
use crate::event::{EventKind, Timestamp};

mod cells;
mod pages;

use pages::Pages;

/// So many events are written at once.
const BATCH: usize = 10_000;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// So many events are in the new journal.
    pub events: u64,
    /// The numbers of events that are known to have been there, and could not be read.
    pub lost: Vec<RangeInclusive<u64>>,
    /// Whether the checkpoint is in the new journal.
    pub checkpoint: bool,
}

impl Journal {
    /// Makes a new journal in the folder `to`, which must not exist, of all that can be read in the
    /// folder `from`. Times in it that are later than `now` are taken for damaged.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] when a daemon runs on the folder; [`JournalError::Newer`] when a newer
    /// version wrote it; otherwise what cannot be read or written.
    pub fn salvage(from: &Path, to: &Path, now: Timestamp) -> Result<(Self, Salvaged), JournalError> {
        // On a disk that is read-only by now there is no lock to be had, and no daemon either.
        let _lock = match Lock::take(from) {
            Ok(None) => return Err(JournalError::InUse { path: from.to_owned() }),
            Ok(lock) => lock,
            Err(_) => None,
        };
        let in_folder = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Folder { path, source }
        };
        let source = from.join(DATABASE_FILE);
        let pages = Pages::new(
            fs::read(&source).map_err(in_folder(&source))?,
            read_if_there(&wal_file(&source)).map_err(in_folder(&source))?,
        );
        schema::refuse_newer(&source, pages.current(1).unwrap_or_default())?;
        let entries = entries(&pages);
        fs::DirBuilder::new().mode(0o700).create(to).map_err(in_folder(to))?;
        let checkpoint = checkpoint(&source, to).map_err(in_folder(to))?;
        write(to, entries, checkpoint, now)
    }

    /// Forgets the checkpoint, and what was kept of all deliveries: the state is what the kept events amount to.
    ///
    /// # Errors
    ///
    /// The checkpoint is as it was.
    pub fn forget_checkpoint(&mut self) -> Result<(), JournalError> {
        self.transaction("the checkpoint cannot be written", |transaction| {
            transaction.execute_batch("DELETE FROM checkpoint; DELETE FROM inputs; DELETE FROM deliveries")
        })
    }
}

fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Every event on a readable page, by its number.
fn entries(pages: &Pages) -> Vec<Entry> {
    let mut found: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
    for page in (1..=pages.count()).filter_map(|number| pages.current(number)) {
        for entry in cells::events(page, |number| pages.current(number)) {
            let same_number = found.entry(entry.seq).or_default();
            // A page that is no longer used may have the same row; a damaged number may be another's.
            if !same_number.contains(&entry) {
                same_number.push(entry);
            }
        }
    }
    // What was never committed was sent, and may have been sent again.
    let mut known: HashSet<_> = found.values().flatten().map(identity).collect();
    for page in pages.loose() {
        for entry in cells::events(page, |number| pages.loose_or_current(number)) {
            if known.insert(identity(&entry)) {
                found.entry(entry.seq).or_default().push(entry);
            }
        }
    }
    found.into_values().flatten().collect()
}

/// What makes an event the same event.
fn identity(entry: &Entry) -> (crate::event::InputId, &'static str, Timestamp, String) {
    let event = &entry.event;
    let code = match &event.kind {
        EventKind::Errored(detail) => detail.code.as_str().to_owned(),
        EventKind::Connected | EventKind::Disconnected => String::new(),
    };
    (event.input_id, event.kind.name(), event.updated_at, code)
}

/// A checkpoint with all of its inputs, and what was kept of all deliveries.
#[derive(Debug)]
struct SalvagedCheckpoint {
    checkpoint: Checkpoint,
    inputs: Vec<InputRow>,
    deliveries: Option<String>,
}

/// The checkpoint, when all of it can be read.
fn checkpoint(source: &Path, to: &Path) -> io::Result<Option<SalvagedCheckpoint>> {
    let copy = to.join("damaged").join(DATABASE_FILE);
    let folder = to.join("damaged");
    fs::create_dir(&folder)?;
    fs::copy(source, &copy)?;
    if wal_file(source).exists() {
        fs::copy(wal_file(source), wal_file(&copy))?;
    }
    let read = || {
        let connection = Connection::open(&copy).ok()?;
        for table in ["checkpoint", "inputs"] {
            let pragma = format!("PRAGMA integrity_check({table})");
            let verdict: String = connection.query_one(&pragma, [], |row| row.get(0)).ok()?;
            (verdict == "ok").then_some(())?;
        }
        let journal =
            Journal { connection, path: copy.clone(), first: 0, next: 0, wal_pages: Arc::default(), _lock: None };
        let mut inputs = Vec::new();
        let checkpoint = journal.checkpoint().ok()??;
        journal
            .checkpointed_inputs(|row| {
                inputs.push(row);
                Ok(())
            })
            .ok()?;
        Some(SalvagedCheckpoint { checkpoint, inputs, deliveries: journal.last_seen().ok()? })
    };
    let checkpoint = read();
    fs::remove_dir_all(folder)?;
    Ok(checkpoint)
}

/// Numbers the events anew and without gaps, so that those that were part of the checkpoint still are.
fn write(
    to: &Path,
    mut entries: Vec<Entry>,
    kept: Option<SalvagedCheckpoint>,
    now: Timestamp,
) -> Result<(Journal, Salvaged), JournalError> {
    let position = kept.as_ref().map_or(0, |kept| kept.checkpoint.position);
    let before = entries.partition_point(|entry| entry.seq <= position) as u64;
    let lost = lost(&entries, position);
    let events = entries.len() as u64;
    let mut recorded_at = Timestamp::EPOCH;
    for entry in &mut entries {
        recorded_at = recorded_at.max(entry.recorded_at.min(now));
        entry.recorded_at = recorded_at;
        entry.shown_until = entry.shown_until.min(now);
    }
    let mut journal = Journal::open(to)?;
    journal.next = position.saturating_sub(before) + 1;
    journal.first = journal.next;
    for batch in entries.chunks_mut(BATCH) {
        journal.append(batch, &[], None)?;
        journal.checkpoint_wal_if_large()?;
    }
    let salvaged = Salvaged { events, lost, checkpoint: kept.is_some() };
    if let Some(SalvagedCheckpoint { checkpoint, inputs, deliveries }) = kept {
        journal.save_checkpoint(&checkpoint, inputs.into_iter(), &[])?;
        journal.append(&mut [], &[], deliveries.as_deref())?;
    }
    journal.recover_wal()?;
    Ok((journal, salvaged))
}

/// The gaps between the events' numbers, and up to the last that the checkpoint knows.
fn lost(entries: &[Entry], position: u64) -> Vec<RangeInclusive<u64>> {
    let mut next = entries.first().map_or(position + 1, |entry| entry.seq);
    let mut lost = Vec::new();
    for seq in entries.iter().map(|entry| entry.seq) {
        if seq > next {
            lost.push(next..=seq - 1);
        }
        next = seq + 1;
    }
    if next <= position {
        lost.push(next..=position);
    }
    lost
}

#[cfg(test)]
mod tests;
