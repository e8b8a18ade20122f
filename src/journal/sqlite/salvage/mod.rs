//! Creates a new journal from the readable parts of a damaged one.
//!
//! SQLite reaches a row from the root of its table, so one damaged page hides all pages below it. Salvage therefore
//! reads every page separately and takes the records on it. The checkpoint is kept completely or not at all; SQLite
//! reads it from a copy. The damaged files are never written.
//!
//! Records that were deleted after their retention may be found again; the daemon deletes them again.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use rusqlite::Connection;

use super::lock::Lock;
use super::{Checkpoint, DATABASE_FILE, Database, InputRow, JournalError, SqliteJournal, files, schema, wal_file};
use crate::event::{EventKind, InputId, Record, RecordKind, Timestamp};

mod cells;
mod pages;

use pages::Pages;

/// Number of records per transaction.
const BATCH: usize = 10_000;

/// The result of a salvage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// Number of events in the new journal.
    pub events: u64,
    /// Positions of records that are known to have existed and could not be read.
    pub lost: Vec<RangeInclusive<u64>>,
    /// Whether the checkpoint is in the new journal.
    pub checkpoint: bool,
}

impl SqliteJournal {
    /// Creates a new journal in the folder `to`, which must not exist, from everything that can be read in the folder
    /// `from`. Times later than `now` are considered damaged.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if a daemon runs on the folder; [`JournalError::Newer`] if a newer version wrote it;
    /// otherwise the part that cannot be read or written.
    pub fn salvage(from: &Path, to: &Path, now: Timestamp) -> Result<(Self, Salvaged), JournalError> {
        // On a read-only disk there is no lock, and no running daemon either.
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
        let records = records(&pages);
        files::create_new_folder(to).map_err(in_folder(to))?;
        let checkpoint = checkpoint(&source, to).map_err(in_folder(to))?;
        write(to, records, checkpoint, now)
    }

    /// Deletes the checkpoint and the times at which deliveries were last seen. The state then follows from the kept
    /// records.
    ///
    /// # Errors
    ///
    /// The checkpoint is unchanged.
    pub fn forget_checkpoint(&mut self) -> Result<(), JournalError> {
        self.database.transaction("the checkpoint cannot be written", |transaction| {
            transaction
                .execute_batch("DELETE FROM checkpoint; DELETE FROM rules; DELETE FROM inputs; DELETE FROM last_seen")
        })
    }
}

fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Every record on a readable page, by position.
fn records(pages: &Pages) -> Vec<Record> {
    let mut found: BTreeMap<u64, Vec<Record>> = BTreeMap::new();
    for page in (1..=pages.count()).filter_map(|number| pages.current(number)) {
        for record in cells::records(page, |number| pages.current(number)) {
            let same_position = found.entry(record.position).or_default();
            // An unused page may have the same row, and a damaged position may equal that of another record.
            if !same_position.contains(&record) {
                same_position.push(record);
            }
        }
    }
    // An event that was never committed may have been sent and recorded again.
    let mut known: HashSet<_> = found.values().flatten().filter_map(identity).collect();
    for page in pages.uncommitted() {
        for record in cells::records(page, |number| pages.uncommitted_or_current(number)) {
            if identity(&record).is_some_and(|identity| known.insert(identity)) {
                found.entry(record.position).or_default().push(record);
            }
        }
    }
    found.into_values().flatten().collect()
}

/// The identity of an event. Other records have none.
fn identity(record: &Record) -> Option<(InputId, &'static str, Timestamp, String)> {
    let event = record.event()?;
    let code = match &event.kind {
        EventKind::Errored(detail) => detail.code.as_str().to_owned(),
        EventKind::Connected | EventKind::Disconnected => String::new(),
    };
    Some((event.input_id, event.kind.name(), event.updated_at, code))
}

/// A complete checkpoint, and the times at which deliveries were last seen.
#[derive(Debug)]
struct SalvagedCheckpoint {
    checkpoint: Checkpoint,
    rows: Vec<(InputId, InputRow)>,
    last_seen: Option<String>,
}

/// The checkpoint, if all of it can be read.
fn checkpoint(source: &Path, to: &Path) -> io::Result<Option<SalvagedCheckpoint>> {
    let folder = to.join("damaged");
    let copy = folder.join(DATABASE_FILE);
    fs::create_dir(&folder)?;
    fs::copy(source, &copy)?;
    if wal_file(source).exists() {
        fs::copy(wal_file(source), wal_file(&copy))?;
    }
    let checkpoint = read_checkpoint(&copy);
    fs::remove_dir_all(folder)?;
    Ok(checkpoint)
}

fn read_checkpoint(copy: &Path) -> Option<SalvagedCheckpoint> {
    let mut connection = Connection::open(copy).ok()?;
    for table in ["checkpoint", "inputs", "rules"] {
        // Schema versions up to 2 had only the first two.
        if connection.table_exists(None, table).ok()? {
            let pragma = format!("PRAGMA integrity_check({table})");
            let verdict: String = connection.query_one(&pragma, [], |row| row.get(0)).ok()?;
            (verdict == "ok").then_some(())?;
        }
    }
    schema::JOURNAL.prepare(&mut connection, copy, false).ok()?;
    let journal = SqliteJournal::unbounded(Database::of(connection, copy, &schema::JOURNAL));
    let checkpoint = journal.checkpoint().ok()??;
    let mut rows = Vec::new();
    let collect = |input_id, row| {
        rows.push((input_id, row));
        Ok(())
    };
    journal.input_rows(collect).ok()?;
    Some(SalvagedCheckpoint { checkpoint, rows, last_seen: journal.last_seen().ok()? })
}

/// Gives the records new positions without gaps. Records that were part of the checkpoint remain part of it.
fn write(
    to: &Path,
    mut records: Vec<Record>,
    kept: Option<SalvagedCheckpoint>,
    now: Timestamp,
) -> Result<(SqliteJournal, Salvaged), JournalError> {
    let position = kept.as_ref().map_or(0, |kept| kept.checkpoint.position);
    let before = records.partition_point(|record| record.position <= position) as u64;
    let lost = lost(&records, position);
    let mut recorded_at = Timestamp::EPOCH;
    for record in &mut records {
        let at = record.recorded_at.min(now);
        recorded_at = if record.kind == RecordKind::ClockSetBack { at } else { recorded_at.max(at) };
        record.recorded_at = recorded_at;
        record.shown_until = record.shown_until.min(now);
    }
    let mut journal = SqliteJournal::open(to)?;
    journal.next = position.saturating_sub(before) + 1;
    journal.first = journal.next;
    let moved = moved(&records, journal.next);
    for batch in records.chunks_mut(BATCH) {
        journal.append(batch)?;
        journal.checkpoint_wal_if_large()?;
    }
    let salvaged = Salvaged { events: journal.events(), lost, checkpoint: kept.is_some() };
    if let Some(SalvagedCheckpoint { checkpoint, rows, last_seen }) = kept {
        let rows = rows.into_iter().map(|(input_id, row)| (input_id, Some(at_new_position(row, position, &moved))));
        journal.save_checkpoint(&checkpoint, rows)?;
        if let Some(last_seen) = last_seen {
            let mut append = journal.begin()?;
            append.last_seen(&last_seen)?;
            append.commit()?;
        }
    }
    journal.recover_wal()?;
    Ok((journal, salvaged))
}

/// The old position of each record, ascending, with the new one.
fn moved(records: &[Record], next: u64) -> Vec<(u64, u64)> {
    records.iter().map(|record| record.position).zip(next..).collect()
}

/// Translates the position of a row: the record up to which it is written has a new position.
fn at_new_position(row: InputRow, checkpoint: u64, moved: &[(u64, u64)]) -> InputRow {
    if row.position <= checkpoint {
        return row;
    }
    let kept = moved.partition_point(|(old, _)| *old <= row.position);
    let position = kept.checked_sub(1).map_or(checkpoint, |last| moved[last].1).max(checkpoint);
    InputRow { position, ..row }
}

/// The gaps between the positions, up to the checkpoint's position.
fn lost(records: &[Record], checkpoint: u64) -> Vec<RangeInclusive<u64>> {
    let mut next = records.first().map_or(checkpoint + 1, |record| record.position);
    let mut lost = Vec::new();
    for position in records.iter().map(|record| record.position) {
        if position > next {
            lost.push(next..=position - 1);
        }
        next = position + 1;
    }
    if next <= checkpoint {
        lost.push(next..=checkpoint);
    }
    lost
}

#[cfg(test)]
mod tests;
