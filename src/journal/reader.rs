//! Reads a journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Checkpoint, InputRow, JournalError, KeptBody, KeptBodySummary};
use crate::event::{InputId, Record, Timestamp};

/// Reads a journal, also while others write it.
pub trait Reader {
    /// Keeps the content as it is now for all reads until the snapshot is dropped. It holds back the upkeep of the
    /// database, so it must end soon.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, JournalError>;

    /// The checkpoint; `None` if there has been none yet.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn checkpoint(&self) -> Result<Option<Checkpoint>, JournalError>;

    /// Calls `visit` with every row of an input.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read, or for which `visit` returns a problem.
    fn input_rows(
        &self,
        visit: &mut dyn FnMut(InputId, InputRow) -> Result<(), &'static str>,
    ) -> Result<(), JournalError>;

    /// Calls `visit` with every kept record after this position, in order.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    fn replay(&self, after: u64, visit: &mut dyn FnMut(Record)) -> Result<(), JournalError>;

    /// The last appended times at which deliveries were last seen, opaque; `None` if there are none yet.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn last_seen(&self) -> Result<Option<String>, JournalError>;

    /// All documents, by name.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn documents(&self) -> Result<BTreeMap<String, String>, JournalError>;

    /// When the oldest kept event was received; `None` if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn oldest_event_at(&self) -> Result<Option<Timestamp>, JournalError>;

    /// Position of the oldest kept record at the moment; 0 if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn oldest_position(&self) -> Result<u64, JournalError>;

    /// Position of the newest record at the moment; 0 if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn newest_position(&self) -> Result<u64, JournalError>;

    /// Position and time of the first record that was recorded at this time or later; `None` if there is none. If the
    /// clock was set back, of one of the records around which the time is.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    fn first_since(&self, time: Timestamp) -> Result<Option<(u64, Timestamp)>, JournalError> {
        // Records in between may be deleted at any moment: each query finds the first one from a position on.
        let (mut low, mut high) = (self.oldest_position()?, self.newest_position()? + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_from(middle)? {
                Some((position, recorded_at)) if recorded_at < time => low = position + 1,
                _ => high = middle,
            }
        }
        self.first_from(low)
    }

    /// Position and time of the first record from this position on.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    fn first_from(&self, position: u64) -> Result<Option<(u64, Timestamp)>, JournalError>;

    /// The newest events, newest first.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    fn newest_events(&self, count: u64) -> Result<Vec<Record>, JournalError>;

    /// The newest records of an input with positions after `after` and up to `until`, newest first, up to `limit`.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    fn newest_of(&self, input_id: &InputId, after: u64, until: u64, limit: usize) -> Result<Vec<Record>, JournalError>;

    /// The newest kept bodies with numbers below this one, newest first, without their contents.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn newest_unrecognized(&self, before: u64, limit: usize) -> Result<Vec<KeptBodySummary>, JournalError>;

    /// The kept bodies that were not understood, oldest first.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn unrecognized(&self) -> Result<Vec<KeptBody>, JournalError>;

    /// The kept body with this number, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn kept_body(&self, number: u64) -> Result<Option<KeptBody>, JournalError>;

    /// Makes all reads fail once this is set.
    ///
    /// # Errors
    ///
    /// It cannot be prepared.
    fn interrupt_when(&mut self, raised: Arc<AtomicBool>) -> Result<(), JournalError>;

    /// Runs the database's own check of its files. Returns every problem that it finds. A shared database checks its
    /// files by itself.
    ///
    /// # Errors
    ///
    /// The check could not run.
    fn integrity_problems(&self) -> Result<Vec<String>, JournalError> {
        Ok(Vec::new())
    }

    /// The error for a value that no version writes.
    fn damaged(&self, row: &str, problem: &'static str) -> JournalError;
}

/// A state of the journal that stays the same for reads until it is dropped.
pub trait Snapshot {}
