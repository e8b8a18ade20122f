//! Stage 2: an event becomes durable, numbered, once.
//!
//! The journal is an SQLite database in WAL mode with `synchronous = FULL`: when [`Journal::append`]
//! returns, the batch has been synced. One process owns a data folder at a time, by a lock on a file
//! beside the database; readers need none.
//!
//! | table | holds |
//! |---|---|
//! | `events` | the log: every recorded event, numbered without gaps, oldest deleted after the retention |
//! | `inputs`, `checkpoint` | the fold of all events up to a position, so that a restart replays only the rest |
//! | `unrecognized` | the newest authenticated bodies that were not understood |
//!
//! Times are nanoseconds since the Unix epoch. The journal knows nothing of what its events amount
//! to: the checkpoint's contents are opaque texts and bytes here.

mod checkpoint;
mod lock;
mod rows;
mod schema;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};
use thiserror::Error;

pub use checkpoint::{Checkpoint, InputRow};
pub use rows::{Entry, Unrecognized};

use crate::event::Timestamp;
use lock::Lock;

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "journal.db";
/// So many bodies that were not understood are kept.
const UNRECOGNIZED_KEPT: u64 = 1000;

/// The durable log of events and the checkpoint of their fold.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// The number of the oldest kept event; one past the newest when there is none.
    first: u64,
    /// The number that the next event gets.
    next: u64,
    /// Held for as long as the journal may be written.
    _lock: Option<Lock>,
}

/// The journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The data folder cannot be made or read.
    #[error("{}: cannot be used as data folder", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process owns the data folder.
    #[error("{}: in use by another stream-live-exporter; stop it or choose another --storage.path", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The database was written by a newer version.
    #[error("{}: has schema version {found}, but this version knows only {known}; use a newer stream-live-exporter", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// The file is a database of something else.
    #[error("{}: is not a journal of stream-live-exporter", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// SQLite failed.
    #[error("{}: {action}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// A row holds what no version has written.
    #[error("{}: {row} is damaged: {problem}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The table and the row's key.
        row: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Journal {
    /// Opens the journal in a data folder, which is made when it does not exist, and owns it.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] when another process owns the folder; otherwise what stands in the
    /// way of using it. What cannot be used is never overwritten.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(in_folder)?;
        let lock = Lock::take(folder).map_err(in_folder)?.ok_or(JournalError::InUse { path: folder.to_owned() })?;
        let path = folder.join(DATABASE_FILE);
        let connection = Connection::open(&path).map_err(failed(&path, "cannot be opened"))?;
        Self::prepare(connection, path, Some(lock))
    }

    /// Opens the journal for reading alone, also while a daemon is writing it.
    ///
    /// # Errors
    ///
    /// What stands in the way of reading it.
    pub fn open_to_read(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(DATABASE_FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed(&path, "cannot be opened"))?;
        Self::prepare(connection, path, None)
    }

    fn prepare(mut connection: Connection, path: PathBuf, lock: Option<Lock>) -> Result<Self, JournalError> {
        schema::prepare(&mut connection, &path, lock.is_some())?;
        let (first, last): (Option<u64>, Option<u64>) = connection
            .query_one("SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(failed(&path, "cannot be read"))?;
        let mut journal = Self { connection, path, first: 0, next: 0, _lock: lock };
        let position = journal.checkpoint()?.map_or(0, |checkpoint| checkpoint.position);
        journal.next = last.unwrap_or(0).max(position) + 1;
        journal.first = first.unwrap_or(journal.next);
        Ok(journal)
    }

    /// Makes a batch durable: all of it or nothing. Entries get their numbers here.
    ///
    /// # Errors
    ///
    /// The batch was not recorded; the journal is as it was.
    pub fn append(&mut self, entries: &mut [Entry], unrecognized: &[Unrecognized]) -> Result<(), JournalError> {
        let next = self.next;
        for (seq, entry) in (next..).zip(entries.iter_mut()) {
            entry.seq = seq;
        }
        self.transaction("cannot be appended to", |transaction| {
            let mut insert = transaction.prepare_cached(rows::INSERT_EVENT)?;
            entries.iter().try_for_each(|entry| rows::insert_event(&mut insert, entry))?;
            if !unrecognized.is_empty() {
                rows::insert_unrecognized(transaction, unrecognized, UNRECOGNIZED_KEPT)?;
            }
            Ok(())
        })?;
        self.next += entries.len() as u64;
        Ok(())
    }

    /// Calls `visit` with every kept event after the position, in order.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn replay(&self, after: u64, mut visit: impl FnMut(Entry)) -> Result<(), JournalError> {
        let failed = || failed(&self.path, "cannot be read");
        let mut select = self.connection.prepare(rows::SELECT_EVENTS_AFTER).map_err(failed())?;
        let mut rows = select.query(params![after]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            visit(rows::read_event(row).map_err(|damage| self.damaged(row, damage))?);
        }
        Ok(())
    }

    /// The newest events, oldest first.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn newest(&self, count: u64) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        self.replay(self.next.saturating_sub(count + 1), |entry| entries.push(entry))?;
        Ok(entries)
    }

    /// Deletes up to `limit` of the oldest events: those that were recorded before `horizon` and are
    /// part of the checkpoint. Returns how many.
    ///
    /// # Errors
    ///
    /// Nothing was deleted.
    pub fn expire(&mut self, horizon: Timestamp, limit: u64) -> Result<u64, JournalError> {
        let position = self.checkpoint()?.map_or(0, |checkpoint| checkpoint.position);
        let last = position.min((self.first + limit).saturating_sub(1));
        let expired = self.transaction("cannot be expired", |transaction| {
            transaction
                .execute("DELETE FROM events WHERE seq <= ?1 AND recorded_at < ?2", params![last, horizon.as_nanos()])
        })?;
        self.first += expired as u64;
        Ok(expired as u64)
    }

    /// Writes something and takes it back: whether the journal can be written.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn probe(&mut self) -> Result<(), JournalError> {
        self.transaction("cannot be written", |transaction| {
            transaction.execute("UPDATE probe SET count = count + 1", []).map(drop)
        })
    }

    /// SQLite's own check of the whole file: every problem that it finds.
    ///
    /// # Errors
    ///
    /// The check could not be made.
    pub fn integrity_problems(&self) -> Result<Vec<String>, JournalError> {
        let failed = || failed(&self.path, "cannot be checked");
        let mut check = self.connection.prepare("PRAGMA integrity_check").map_err(failed())?;
        let lines = check.query_map([], |row| row.get::<_, String>(0)).map_err(failed())?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(failed())?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// The number of the newest event ever recorded; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.next - 1
    }

    /// How many events are kept.
    pub fn events(&self) -> u64 {
        self.next - self.first
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn transaction<T>(
        &mut self,
        action: &'static str,
        write: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let transaction = self.connection.transaction().map_err(failed(&self.path, action))?;
        let written = write(&transaction).map_err(failed(&self.path, action))?;
        transaction.commit().map_err(failed(&self.path, action))?;
        Ok(written)
    }

    fn damaged(&self, row: &rusqlite::Row<'_>, problem: &'static str) -> JournalError {
        let seq = row.get::<_, i64>(0).unwrap_or_default();
        JournalError::Damaged { path: self.path.clone(), row: format!("event {seq}"), problem }
    }
}

/// The size of the journal in a data folder: database and write-ahead log, in bytes.
pub fn size_bytes(folder: &Path) -> u64 {
    let size =
        |suffix: &str| fs::metadata(folder.join(format!("{DATABASE_FILE}{suffix}"))).map_or(0, |file| file.len());
    size("") + size("-wal")
}

fn failed(path: &Path, action: &'static str) -> impl Fn(rusqlite::Error) -> JournalError {
    move |source| JournalError::Sqlite { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests;
