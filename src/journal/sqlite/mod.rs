//! The journal as an SQLite database, which one process owns.
//!
//! The database is in WAL mode with `synchronous = FULL`: when [`SqliteAppend::commit`] returns, the batch has been synced. One
//! process at a time owns a data folder, by a lock on a file beside the database; readers need no lock.
//!
//! If fsync fails, the kernel may mark dirty pages as clean although they were not written, and reports the error only
//! once. A later fsync that succeeds therefore proves nothing. The caller must stop on
//! [`JournalErrorKind::SyncFailed`]. The WAL is left in place, and the next start rewrites and syncs it
//! ([`SqliteJournal::recover_wal`]). For the same reason SQLite's automatic WAL checkpoints are off: they do not report a
//! failed sync.
//!
//! Beside the tables of every journal, `other_records` has the positions of records that are not events, to count them.

mod append;
mod backup;
mod check;
mod checkpoint;
mod copy;
mod database;
mod files;
mod interface;
mod lock;
mod open;
mod rows;
mod salvage;
mod schema;
mod search;
mod space;
mod unrecognized;
mod wal;
mod wal_file;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{OptionalExtension, Params, params};

pub use append::SqliteAppend;
pub use backup::Backup;
pub use check::FolderUse;
pub use salvage::Salvaged;

pub(super) use database::Database;
pub(super) use lock::{Lock, own_folder};
pub(super) use rows::{INSERT_RECORD, SELECT_RECORDS, insert_record};
pub(super) use schema::Schema;
#[cfg(test)]
pub(super) use space::PROBE_FILE;
pub(super) use unrecognized::insert as insert_unrecognized;

use super::columns;
use super::error::failed;
use super::{Checkpoint, InputRow, JournalError, JournalErrorKind};
use crate::event::{Record, Timestamp};
use wal_file::wal_file;

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "journal.db";

/// Number of records that a replay reads at once.
const REPLAY_CHUNK: usize = 1024;

/// The last record up to position ?1 before those that were recorded between ?2 and ?3.
const EXPIRED: &str = "SELECT max(position) FROM records WHERE recorded_at < ?2 AND position < coalesce( \
    (SELECT min(position) FROM records WHERE position <= ?1 AND recorded_at BETWEEN ?2 AND ?3), ?1 + 1)";

/// The durable records and the checkpoint of their state.
#[derive(Debug)]
pub struct SqliteJournal {
    database: Database,
    /// Position of the oldest kept record; `next` if there is none.
    first: u64,
    /// Position of the next record.
    next: u64,
    /// Number of kept records that are not events.
    other_records: u64,
    /// Held as long as the journal may be written.
    _lock: Option<Lock>,
}

/// A state of the journal that stays the same for reads.
#[derive(Debug)]
pub struct Snapshot<'a> {
    _transaction: rusqlite::Transaction<'a>,
}

impl SqliteJournal {
    fn find_bounds(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT (SELECT min(position) FROM records), (SELECT max(position) FROM records), \
                   (SELECT count(*) FROM other_records)";
        let (first, last): (Option<u64>, Option<u64>);
        (first, last, self.other_records) =
            self.database.connection.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        self.next = last.unwrap_or(0).max(self.checkpoint_position()?) + 1;
        self.first = first.unwrap_or(self.next);
        Ok(())
    }

    /// Appends records atomically, as one batch. They get their positions.
    ///
    /// # Errors
    ///
    /// Nothing was recorded.
    pub fn append(&mut self, records: &mut [Record]) -> Result<(), JournalError> {
        let mut append = self.begin()?;
        append.records(records.iter_mut())?;
        append.commit()
    }

    /// The last appended times at which deliveries were last seen, opaque; `None` if there are none yet.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn last_seen(&self) -> Result<Option<String>, JournalError> {
        let select = self.database.connection.query_one("SELECT state FROM last_seen", [], |row| row.get(0)).optional();
        select.map_err(failed(&self.database.path, "cannot be read"))
    }

    /// Replaces documents, each given by its name, and deletes those without a text. Their texts are opaque.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    pub fn save_documents(&mut self, documents: &[(&str, Option<&str>)]) -> Result<(), JournalError> {
        self.database.transaction("cannot be written", |transaction| {
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO documents (name, text) VALUES (?1, ?2)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM documents WHERE name = ?1")?;
            for (name, text) in documents {
                match text {
                    Some(text) => insert.execute(params![name, text])?,
                    None => delete.execute(params![name])?,
                };
            }
            Ok(())
        })
    }

    /// All documents, by name.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn documents(&self) -> Result<BTreeMap<String, String>, JournalError> {
        let read = || -> rusqlite::Result<_> {
            let mut select = self.database.connection.prepare("SELECT name, text FROM documents")?;
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(failed(&self.database.path, "cannot be read"))
    }

    /// When the oldest kept event was received; `None` if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn oldest_event_at(&self) -> Result<Option<Timestamp>, JournalError> {
        let sql = "SELECT received_at FROM records WHERE received_at IS NOT NULL ORDER BY position LIMIT 1";
        let oldest = self.database.connection.query_one(sql, [], |row| row.get::<_, i64>(0)).optional();
        Ok(oldest.map_err(failed(&self.database.path, "cannot be read"))?.map(Timestamp::from_nanos))
    }

    /// Calls `visit` with every kept record after this position, in order.
    ///
    /// No read transaction is open while `visit` runs, unless there is a [`SqliteJournal::snapshot`]. A reader that is slow
    /// or stopped would otherwise hold back the WAL checkpoints of the daemon.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn replay(&self, mut after: u64, mut visit: impl FnMut(Record)) -> Result<(), JournalError> {
        let last = self.newest_position()?;
        let sql = format!("{SELECT_RECORDS} LIMIT {REPLAY_CHUNK}");
        while after < last {
            let mut chunk = Vec::with_capacity(REPLAY_CHUNK);
            let read = self.visit(&sql, params![after], |record| chunk.push(record));
            // Records may have been deleted since the newest position was read.
            after = chunk.last().map_or(last, |record| record.position);
            chunk.into_iter().take_while(|record| record.position <= last).for_each(&mut visit);
            read?;
        }
        Ok(())
    }

    /// Keeps the content as it is now for all reads until the snapshot is dropped. Holds back the WAL checkpoints of the
    /// daemon, so it must end soon.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, JournalError> {
        let begin = || -> rusqlite::Result<_> {
            let transaction = self.database.connection.unchecked_transaction()?;
            // The transaction begins with its first read.
            transaction.query_one("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(Snapshot { _transaction: transaction })
        };
        begin().map_err(failed(&self.database.path, "cannot be read"))
    }

    /// Position of the oldest kept record at the moment; 0 if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn oldest_position(&self) -> Result<u64, JournalError> {
        self.position("SELECT coalesce(min(position), 0) FROM records")
    }

    /// Position of the newest record at the moment; 0 if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn newest_position(&self) -> Result<u64, JournalError> {
        self.position("SELECT coalesce(max(position), 0) FROM records")
    }

    fn position(&self, sql: &str) -> Result<u64, JournalError> {
        self.database
            .connection
            .query_one(sql, [], |row| row.get(0))
            .map_err(failed(&self.database.path, "cannot be read"))
    }

    /// Makes all reads fail once this is set.
    ///
    /// # Errors
    ///
    /// SQLite refuses it.
    pub fn interrupt_when(&mut self, raised: Arc<AtomicBool>) -> Result<(), JournalError> {
        let handler = move || raised.load(Ordering::Relaxed);
        self.database
            .connection
            .progress_handler(10_000, Some(handler))
            .map_err(failed(&self.database.path, "cannot be prepared"))
    }

    /// The newest events, newest first.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn newest_events(&self, count: u64) -> Result<Vec<Record>, JournalError> {
        let mut newest = Vec::new();
        let sql = SELECT_RECORDS.replace("ORDER BY position", "AND received_at IS NOT NULL ORDER BY position DESC");
        self.visit(&format!("{sql} LIMIT ?2"), params![0, count], |record| newest.push(record))?;
        Ok(newest)
    }

    fn visit(&self, sql: &str, parameters: impl Params, mut visit: impl FnMut(Record)) -> Result<(), JournalError> {
        let failed = || failed(&self.database.path, "cannot be read");
        let mut select = self.database.connection.prepare(sql).map_err(failed())?;
        let mut rows = select.query(parameters).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            let position = row.get(0).map_err(failed())?;
            let record = columns::read_record(position, row);
            visit(
                record
                    .map_err(|unreadable| self.database.damaged(&format!("record {position}"), unreadable.problem()))?,
            );
        }
        Ok(())
    }

    /// Deletes up to `limit` of the oldest records: those that are part of the checkpoint and have no record before them
    /// that was recorded since `horizon`. Returns their number.
    ///
    /// The time of a record from after `now` was recorded by a wrong clock. Such a record is as old as the next one.
    ///
    /// # Errors
    ///
    /// Nothing was deleted.
    pub fn expire(&mut self, horizon: Timestamp, now: Timestamp, limit: u64) -> Result<u64, JournalError> {
        let old = params![self.last_expirable(limit)?, horizon.as_nanos(), now.as_nanos()];
        let first = self.first;
        let (expired, others) = self.database.transaction("cannot be expired", |transaction| {
            let delete = &format!("DELETE FROM records WHERE position <= ({EXPIRED})");
            let expired = transaction.prepare_cached(delete)?.execute(old)? as u64;
            let delete = "DELETE FROM other_records WHERE position < ?1";
            let others = transaction.prepare_cached(delete)?.execute(params![first + expired])? as u64;
            Ok((expired, others))
        })?;
        self.first += expired;
        self.other_records -= others;
        Ok(expired)
    }

    /// Whether [`SqliteJournal::expire`] would delete records.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn has_expired(&self, horizon: Timestamp, now: Timestamp, limit: u64) -> Result<bool, JournalError> {
        let old = params![self.last_expirable(limit)?, horizon.as_nanos(), now.as_nanos()];
        let expired: rusqlite::Result<Option<u64>> = self.database.connection.query_one(EXPIRED, old, |row| row.get(0));
        Ok(expired.map_err(failed(&self.database.path, "cannot be read"))?.is_some())
    }

    /// Position of the newest of the `limit` oldest records that is part of the checkpoint.
    fn last_expirable(&self, limit: u64) -> Result<u64, JournalError> {
        let position =
            self.checkpoint_position().map_err(failed(&self.database.path, "the checkpoint cannot be read"))?;
        Ok(position.min((self.first + limit).saturating_sub(1)))
    }

    /// Runs SQLite's own check of the whole file. Returns every problem that it finds.
    ///
    /// # Errors
    ///
    /// The check could not run.
    pub fn integrity_problems(&self) -> Result<Vec<String>, JournalError> {
        let failed = || failed(&self.database.path, "cannot be checked");
        let mut check = self.database.connection.prepare("PRAGMA integrity_check").map_err(failed())?;
        let lines = check.query_map([], |row| row.get::<_, String>(0)).map_err(failed())?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(failed())?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Position of the newest record; 0 before the first.
    pub fn last_position(&self) -> u64 {
        self.next - 1
    }

    /// Number of kept events.
    pub fn events(&self) -> u64 {
        self.next - self.first - self.other_records
    }

    /// Size of database and WAL, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.database.size_bytes()
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.database.path
    }
}

#[cfg(test)]
pub(super) mod tests;
