//! Appends a batch to the journal in one transaction.

use rusqlite::params;

use super::rows::{INSERT_RECORD, insert_record};
use super::unrecognized;
use super::{JournalError, SqliteJournal};
use crate::event::Record;
use crate::journal::Unrecognized;

const ACTION: &str = "cannot be appended to";

/// A write transaction. It is rolled back if it is dropped without [`SqliteAppend::commit`].
#[derive(Debug)]
#[must_use = "nothing is recorded before the commit"]
pub struct SqliteAppend<'a> {
    journal: &'a mut SqliteJournal,
    next: u64,
    other_records: u64,
}

impl SqliteJournal {
    /// Begins a batch: takes SQLite's write lock.
    ///
    /// # Errors
    ///
    /// The journal cannot be written, or another program holds the lock.
    pub fn begin(&mut self) -> Result<SqliteAppend<'_>, JournalError> {
        self.database.require_writable(ACTION)?;
        let begun =
            self.database.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.raw_execute());
        begun.map_err(|source| self.database.not_written(ACTION, source))?;
        let Self { next, other_records, .. } = *self;
        Ok(SqliteAppend { journal: self, next, other_records })
    }
}

impl SqliteAppend<'_> {
    /// Appends records, which get their positions.
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    pub fn records<'r>(&mut self, records: impl Iterator<Item = &'r mut Record>) -> Result<(), JournalError> {
        let insert = |next: &mut u64, other_records: &mut u64| {
            let mut insert = self.journal.database.connection.prepare_cached(INSERT_RECORD)?;
            for record in records {
                record.position = *next;
                *next += 1;
                insert_record(&mut insert, record)?;
                if record.event().is_none() {
                    *other_records += 1;
                    let sql = "INSERT INTO other_records (position) VALUES (?1)";
                    self.journal.database.connection.prepare_cached(sql)?.execute(params![record.position])?;
                }
            }
            Ok(())
        };
        insert(&mut self.next, &mut self.other_records)
            .map_err(|source| self.journal.database.not_written(ACTION, source))
    }

    /// Keeps bodies that were not understood; above fixed limits, the oldest are deleted.
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    pub fn unrecognized(&mut self, bodies: &[Unrecognized]) -> Result<(), JournalError> {
        if bodies.is_empty() {
            return Ok(());
        }
        unrecognized::insert(&self.journal.database.connection, bodies)
            .map_err(|source| self.journal.database.not_written(ACTION, source))
    }

    /// Deletes kept bodies that are understood now.
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    pub fn forget_unrecognized(&mut self, numbers: &[u64]) -> Result<(), JournalError> {
        let forget = |number| unrecognized::delete(&self.journal.database.connection, number);
        numbers.iter().copied().try_for_each(forget).map_err(|source| self.journal.database.not_written(ACTION, source))
    }

    /// Replaces the times at which deliveries were last seen, see [`SqliteJournal::last_seen`].
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    pub fn last_seen(&mut self, last_seen: &str) -> Result<(), JournalError> {
        let save = || {
            let sql = "INSERT OR REPLACE INTO last_seen (id, state) VALUES (1, ?1)";
            self.journal.database.connection.prepare_cached(sql)?.execute(params![last_seen]).map(drop)
        };
        save().map_err(|source| self.journal.database.not_written(ACTION, source))
    }

    /// Makes the batch durable.
    ///
    /// # Errors
    ///
    /// Nothing was recorded; the journal is unchanged.
    pub fn commit(self) -> Result<(), JournalError> {
        let committed =
            self.journal.database.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.raw_execute());
        committed.map_err(|source| self.journal.database.not_written(ACTION, source))?;
        self.journal.next = self.next;
        self.journal.other_records = self.other_records;
        Ok(())
    }
}

impl Drop for SqliteAppend<'_> {
    fn drop(&mut self) {
        if !self.journal.database.connection.is_autocommit() {
            // SQLite rolls back by itself after some errors, and then refuses this.
            let _ = self.journal.database.connection.execute_batch("ROLLBACK");
        }
    }
}
