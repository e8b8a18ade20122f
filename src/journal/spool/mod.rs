//! The spool: what was accepted while the shared journal was away, and waits to be appended to it.

#![expect(clippy::unimplemented, reason = "the implementation follows")]

use std::path::Path;

use super::{BatchId, JournalError, Unrecognized};
use crate::event::Record;

/// The spool's file in the data folder.
pub const SPOOL_FILE: &str = "spool.db";

/// A durable queue of limited length, in a data folder that one process owns.
#[derive(Debug)]
pub struct Spool {
    limit: u64,
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
    pub fn open(_folder: &Path, _limit: u64) -> Result<Self, JournalError> {
        unimplemented!()
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
        _tried: Option<BatchId>,
        _records: &[Record],
        _unrecognized: &[Unrecognized],
        _last_seen: &str,
    ) -> Result<(), JournalError> {
        unimplemented!()
    }

    /// The oldest batch; `None` if the spool is empty. Until it is removed, it stays the same.
    ///
    /// # Errors
    ///
    /// The spool cannot be read, or the id of the batch cannot be made durable.
    pub fn oldest(&mut self) -> Result<Option<SpooledBatch>, JournalError> {
        unimplemented!()
    }

    /// Removes the oldest batch after it was appended to the journal.
    ///
    /// # Errors
    ///
    /// It stays in the spool.
    pub fn remove(&mut self, _batch: &SpooledBatch) -> Result<(), JournalError> {
        unimplemented!()
    }

    /// All records of the spool, in order.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, JournalError> {
        unimplemented!()
    }

    /// Number of records.
    pub fn len(&self) -> u64 {
        unimplemented!()
    }

    /// Whether nothing waits: neither a record, nor a body, nor the time of a delivery.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }

    /// Maximum number of records.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Sets the maximum number of records. Records above it stay.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Closes the spool. What it has stays in its file.
    ///
    /// # Errors
    ///
    /// Its file could not be closed in order. Everything that was appended is durable.
    pub fn close(self) -> Result<(), JournalError> {
        unimplemented!()
    }
}
