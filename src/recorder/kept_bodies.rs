//! The bodies that were not understood, for people.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::journal::{JournalError, KeptBody, KeptBodySummary, SqliteJournal};

/// Reads the bodies that the journal keeps, by a connection of its own, so that the recorder does not wait for a reader.
#[derive(Debug, Clone)]
pub struct KeptBodies {
    folder: PathBuf,
}

impl KeptBodies {
    /// The bodies in the journal of this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The newest bodies with numbers below this one, newest first. The read fails once `cancelled` is set.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn newest(
        &self,
        before: u64,
        limit: usize,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Vec<KeptBodySummary>, JournalError> {
        self.open(cancelled)?.newest_unrecognized(before, limit)
    }

    /// The body with this number; `None` if it is not kept. The read fails once `cancelled` is set.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn body(&self, number: u64, cancelled: Arc<AtomicBool>) -> Result<Option<KeptBody>, JournalError> {
        self.open(cancelled)?.kept_body(number)
    }

    fn open(&self, cancelled: Arc<AtomicBool>) -> Result<SqliteJournal, JournalError> {
        let mut journal = SqliteJournal::open_to_read(&self.folder)?;
        journal.interrupt_when(cancelled)?;
        Ok(journal)
    }
}
