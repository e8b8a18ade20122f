//! The spool: what was accepted while the shared journal was away, and waits to be appended to it.
//!
//! It is a database beside which nothing else is needed, so a pod needs only a small volume for it. It is opened, synced
//! and recovered as a local journal is, and the same rule holds: after [`JournalErrorKind::SyncFailed`] the process must
//! stop.
//!
//! [`JournalErrorKind::SyncFailed`]: super::JournalErrorKind::SyncFailed
//!
//! If it is not known whether the journal has a batch, the same batch is appended again with the same id, also after a
//! restart. So a batch gets its id, and nothing more is added to it, before it is handed out for the first time.

mod batch;
mod schema;

use std::path::Path;

use rusqlite::{Connection, Row, params};

use self::batch::Batch;
use super::error::failed;
use super::sqlite::{self, Database, INSERT_RECORD, Lock, SELECT_RECORDS, insert_record};
use super::{BatchId, JournalError, JournalErrorKind, Unrecognized, columns};
use crate::event::Record;

/// The spool's file in the data folder.
pub const SPOOL_FILE: &str = "spool.db";

/// Number of records that a replay reads at once.
const REPLAY_CHUNK: u64 = 1024;

const READ: &str = "cannot be read";
const WRITTEN: &str = "cannot be written";

/// A durable queue of limited length, in a data folder that one process owns.
#[derive(Debug)]
pub struct Spool {
    database: Database,
    /// Position of the oldest record; `next` if there is none.
    first: u64,
    /// Position of the next record.
    next: u64,
    /// Nothing waits, neither a record, nor a body, nor the time of a delivery.
    is_empty: bool,
    limit: u64,
    _lock: Lock,
}

/// The oldest part of the spool, to be appended to the journal as one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledBatch {
    /// The id to append it with. It is the same each time, also after a restart.
    pub id: BatchId,
    /// Records without positions, in the order in which they were accepted.
    pub records: Vec<Record>,
    /// Bodies that were not understood.
    pub unrecognized: Vec<Unrecognized>,
    /// When deliveries were last seen, as of the newest batch of the spool; `None` if the journal has it.
    pub last_seen: Option<String>,
    /// Its number in the spool.
    number: u64,
}

impl Spool {
    /// Opens the spool of a data folder and owns the folder, which is created if it is missing. `limit` is the maximum
    /// number of records.
    ///
    /// On a full disk the spool is opened for reading, and can be written once there is space.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if another process owns the folder; otherwise why the spool cannot be used. A file that
    /// cannot be used is never overwritten.
    pub fn open(folder: &Path, limit: u64) -> Result<Self, JournalError> {
        let lock = sqlite::own_folder(folder)?;
        let database = Database::open(&folder.join(SPOOL_FILE), &schema::SPOOL)?;
        let mut spool = Self { database, first: 1, next: 1, is_empty: true, limit, _lock: lock };
        spool.find_bounds().map_err(failed(&spool.database.path, READ))?;
        spool.replay(|_| ())?;
        match spool.database.recover_wal() {
            Err(error) if error.kind() != JournalErrorKind::DiskFull => Err(error),
            Ok(()) | Err(_) => Ok(spool),
        }
    }

    fn find_bounds(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT min(position), max(position) FROM records";
        let (first, last): (Option<u64>, Option<u64>) =
            self.database.connection.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.next = last.unwrap_or(0) + 1;
        self.first = first.unwrap_or(self.next);
        self.is_empty = is_empty(&self.database.connection)?;
        Ok(())
    }

    /// Adds a batch, durably. `tried` is its id if it was appended to the journal and the commit was not answered; other
    /// batches get an id from [`Spool::oldest`].
    ///
    /// # Errors
    ///
    /// [`JournalError::SpoolFull`] if there would be more records than the limit; otherwise why the spool cannot be
    /// written. Nothing was added.
    pub fn append(
        &mut self,
        tried: Option<BatchId>,
        records: &[Record],
        unrecognized: &[Unrecognized],
        last_seen: &str,
    ) -> Result<(), JournalError> {
        let count = records.len() as u64;
        if count > 0 && self.len() + count > self.limit {
            return Err(JournalError::SpoolFull { path: self.database.path.clone(), limit: self.limit });
        }
        let next = self.next;
        self.write(|connection| {
            let batch = batch::extend(connection, tried, next, count)?;
            let mut insert = connection.prepare_cached(INSERT_RECORD)?;
            for (position, record) in (next..).zip(records) {
                insert_record(&mut insert, &Record { position, ..record.clone() })?;
            }
            if !unrecognized.is_empty() {
                sqlite::insert_unrecognized(connection, unrecognized)?;
            }
            if let (Some(_), Some(batch)) = (tried, batch) {
                batch.take_newest_bodies(connection, unrecognized.len())?;
            }
            let sql = "INSERT OR REPLACE INTO last_seen (id, state) VALUES (1, ?1)";
            connection.prepare_cached(sql)?.execute(params![last_seen]).map(drop)
        })?;
        self.next += count;
        self.is_empty = false;
        Ok(())
    }

    /// The oldest batch; `None` if the spool is empty. Until it is removed, it stays the same.
    ///
    /// # Errors
    ///
    /// The spool cannot be read, or the id of the batch cannot be made durable.
    pub fn oldest(&mut self) -> Result<Option<SpooledBatch>, JournalError> {
        if self.is_empty {
            return Ok(None);
        }
        let oldest = Batch::oldest(&self.database.connection).map_err(failed(&self.database.path, READ))?;
        let batch = match oldest.filter(|batch| batch.id.is_some()) {
            Some(batch) => batch,
            None => self.write(Batch::close_oldest)?,
        };
        self.read_batch(&batch).map(Some)
    }

    fn read_batch(&self, batch: &Batch) -> Result<SpooledBatch, JournalError> {
        let Batch { number, id, first, last } = *batch;
        let id = id.ok_or_else(|| self.database.damaged(&format!("batch {number}"), "it has no id"))?;
        let connection = &self.database.connection;
        let unrecognized = batch.bodies(connection).map_err(failed(&self.database.path, READ))?;
        let last_seen = last_seen(connection).map_err(failed(&self.database.path, READ))?;
        let records = self.read_records(first, last)?;
        Ok(SpooledBatch { id, records, unrecognized, last_seen, number })
    }

    /// Removes the oldest batch after it was appended to the journal.
    ///
    /// # Errors
    ///
    /// It stays in the spool.
    pub fn remove(&mut self, batch: &SpooledBatch) -> Result<(), JournalError> {
        let removed;
        (removed, self.is_empty) = self.write(|connection| {
            let removed = Batch::delete(connection, batch.number)?;
            let sql = "DELETE FROM last_seen WHERE state = ?1";
            connection.prepare_cached(sql)?.execute(params![batch.last_seen])?;
            Ok((removed, is_empty(connection)?))
        })?;
        self.first += removed;
        Ok(())
    }

    /// Calls `visit` with all records in order, some at a time.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn replay(&self, mut visit: impl FnMut(&[Record])) -> Result<(), JournalError> {
        let mut first = self.first;
        while first < self.next {
            let last = self.next.min(first + REPLAY_CHUNK) - 1;
            visit(&self.read_records(first, last)?);
            first = last + 1;
        }
        Ok(())
    }

    fn read_records(&self, first: u64, last: u64) -> Result<Vec<Record>, JournalError> {
        let failed = || failed(&self.database.path, READ);
        let mut select =
            self.database.connection.prepare_cached(&format!("{SELECT_RECORDS} LIMIT ?2")).map_err(failed())?;
        let mut rows = select.query(params![first - 1, last + 1 - first]).map_err(failed())?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(failed())? {
            let position: u64 = row.get(0).map_err(failed())?;
            let record = columns::read_record(0, row);
            records
                .push(record.map_err(|unreadable| {
                    self.database.damaged(&format!("record {position}"), unreadable.problem())
                })?);
        }
        Ok(records)
    }

    /// Writes in a transaction. If the disk is full, once more after the WAL was transferred: it is then overwritten and
    /// does not have to grow.
    fn write<T>(&mut self, write: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        self.database.make_writable()?;
        self.database.checkpoint_wal_if_large()?;
        match self.database.transaction(WRITTEN, |transaction| write(transaction)) {
            Err(error) if error.kind() == JournalErrorKind::DiskFull => {
                self.database.transfer_wal()?;
                self.database.transaction(WRITTEN, |transaction| write(transaction))
            }
            written => written,
        }
    }

    /// Number of records.
    pub fn len(&self) -> u64 {
        self.next - self.first
    }

    /// Whether nothing waits: neither a record, nor a body, nor the time of a delivery.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Maximum number of records.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.database.size_bytes()
    }

    /// Closes the spool. What it has stays in its file.
    ///
    /// # Errors
    ///
    /// Its file could not be closed in order. Everything that was appended is durable.
    pub fn close(self) -> Result<(), JournalError> {
        self.database.close()
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT * FROM batches) AND NOT EXISTS (SELECT * FROM unrecognized) \
               AND NOT EXISTS (SELECT * FROM last_seen)";
    connection.prepare_cached(sql)?.query_one([], |row| row.get(0))
}

/// When deliveries were last seen; `None` if the journal has it.
fn last_seen(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT max(state) FROM last_seen";
    connection.prepare_cached(sql)?.query_one([], |row: &Row<'_>| row.get(0))
}

#[cfg(test)]
mod tests;
