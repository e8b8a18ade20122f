//! The bodies that were not understood, for people.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::journal::{JournalError, KeptBody, KeptBodySummary, Location, Reader};

/// Reads the bodies that the journal keeps, by a connection of its own, so that the recorder does not wait for a reader.
#[derive(Debug, Clone)]
pub struct KeptBodies {
    location: Location,
}

impl KeptBodies {
    /// The bodies in this journal.
    pub fn new(location: Location) -> Self {
        Self { location }
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

    fn open(&self, cancelled: Arc<AtomicBool>) -> Result<Box<dyn Reader + Send>, JournalError> {
        let mut journal = self.location.open_to_read()?;
        journal.interrupt_when(cancelled)?;
        Ok(journal)
    }
}
