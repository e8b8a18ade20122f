//! The SQLite journal as a [`Journal`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{SqliteAppend, SqliteJournal};
use crate::event::{InputId, Record, SessionChange, Timestamp};
use crate::journal::{
    Append, BatchId, Checkpoint, InputRow, Journal, JournalError, KeptBody, KeptBodySummary, Reader, Snapshot,
    Unrecognized,
};

impl Reader for SqliteJournal {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, JournalError> {
        Ok(Box::new(self.snapshot()?))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        self.checkpoint()
    }

    fn input_rows(
        &self,
        visit: &mut dyn FnMut(InputId, InputRow) -> Result<(), &'static str>,
    ) -> Result<(), JournalError> {
        self.input_rows(visit)
    }

    fn replay(&self, after: u64, visit: &mut dyn FnMut(Record)) -> Result<(), JournalError> {
        self.replay(after, visit)
    }

    fn last_seen(&self) -> Result<Option<String>, JournalError> {
        self.last_seen()
    }

    fn documents(&self) -> Result<BTreeMap<String, String>, JournalError> {
        self.documents()
    }

    fn oldest_event_at(&self) -> Result<Option<Timestamp>, JournalError> {
        self.oldest_event_at()
    }

    fn oldest_position(&self) -> Result<u64, JournalError> {
        self.oldest_position()
    }

    fn newest_position(&self) -> Result<u64, JournalError> {
        self.newest_position()
    }

    fn first_from(&self, position: u64) -> Result<Option<(u64, Timestamp)>, JournalError> {
        self.first_from(position)
    }

    fn newest_events(&self, count: u64) -> Result<Vec<Record>, JournalError> {
        self.newest_events(count)
    }

    fn newest_of(&self, input_id: &InputId, after: u64, until: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        self.newest_of(input_id, after, until, limit)
    }

    fn newest_unrecognized(&self, before: u64, limit: usize) -> Result<Vec<KeptBodySummary>, JournalError> {
        self.newest_unrecognized(before, limit)
    }

    fn unrecognized(&self) -> Result<Vec<KeptBody>, JournalError> {
        self.unrecognized()
    }

    fn kept_body(&self, number: u64) -> Result<Option<KeptBody>, JournalError> {
        self.kept_body(number)
    }

    fn interrupt_when(&mut self, raised: Arc<AtomicBool>) -> Result<(), JournalError> {
        self.interrupt_when(raised)
    }

    fn integrity_problems(&self) -> Result<Vec<String>, JournalError> {
        self.integrity_problems()
    }

    fn damaged(&self, row: &str, problem: &'static str) -> JournalError {
        self.database.damaged(row, problem)
    }
}

impl Snapshot for super::Snapshot<'_> {}

impl Journal for SqliteJournal {
    fn begin(&mut self, _: BatchId) -> Result<Box<dyn Append + '_>, JournalError> {
        Ok(Box::new(self.begin()?))
    }

    fn save_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        rows: &mut dyn Iterator<Item = (InputId, Option<InputRow>)>,
        _: &mut dyn Iterator<Item = SessionChange>,
    ) -> Result<(), JournalError> {
        self.save_checkpoint(checkpoint, rows)
    }

    fn save_documents(&mut self, documents: &[(&str, Option<&str>)]) -> Result<(), JournalError> {
        self.save_documents(documents)
    }

    fn expire(&mut self, horizon: Timestamp, now: Timestamp, limit: u64) -> Result<u64, JournalError> {
        self.expire(horizon, now, limit)
    }

    fn last_position(&self) -> u64 {
        self.last_position()
    }

    fn events(&self) -> u64 {
        self.events()
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes()
    }

    fn local(&mut self) -> Option<&mut SqliteJournal> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<(), JournalError> {
        (*self).close()
    }
}

impl Append for SqliteAppend<'_> {
    fn records(&mut self, records: &mut dyn Iterator<Item = &mut Record>) -> Result<(), JournalError> {
        self.records(records)
    }

    fn unrecognized(&mut self, bodies: &[Unrecognized]) -> Result<(), JournalError> {
        self.unrecognized(bodies)
    }

    fn forget_unrecognized(&mut self, numbers: &[u64]) -> Result<(), JournalError> {
        self.forget_unrecognized(numbers)
    }

    fn last_seen(&mut self, last_seen: &str) -> Result<(), JournalError> {
        self.last_seen(last_seen)
    }

    fn commit(self: Box<Self>) -> Result<(), JournalError> {
        (*self).commit()
    }
}
