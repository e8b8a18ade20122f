//! Copies a journal of any kind into a new database.

use std::path::Path;

use rusqlite::params;

use super::{Backup, JournalError, SqliteJournal};
use crate::event::Record;
use crate::journal::{KeptBody, Reader};

/// Number of records per transaction.
const BATCH: usize = 10_000;

impl SqliteJournal {
    /// Copies a journal, as it is at one moment, into a folder, which must be empty or not exist. `progress` gets the
    /// number of copied records.
    ///
    /// # Errors
    ///
    /// The journal cannot be read, or the copy cannot be written. The folder is as before.
    pub fn copy(from: &dyn Reader, to: &Path, mut progress: impl FnMut(u64)) -> Result<Backup, JournalError> {
        let backup = Backup::prepare(to)?;
        let mut copy = Self::open(&backup.unfinished())?;
        let _snapshot = from.snapshot()?;
        copy.copy_records(from, &mut progress)?;
        copy.copy_checkpoint(from)?;
        copy.copy_bodies(&from.unrecognized()?)?;
        copy.recover_wal()?;
        copy.close()?;
        Ok(backup)
    }

    /// Copies the records, which keep their positions.
    fn copy_records(&mut self, from: &dyn Reader, progress: &mut impl FnMut(u64)) -> Result<(), JournalError> {
        self.next = from.oldest_position()?.max(1);
        self.first = self.next;
        let (mut copied, mut written) = (0, Ok(()));
        let mut batch = Vec::with_capacity(BATCH);
        let mut write = |copy: &mut Self, batch: &mut Vec<Record>| {
            let end = batch.last().map_or(0, |record| record.position);
            copied += batch.len() as u64;
            copy.append(batch)?;
            copy.checkpoint_wal_if_large()?;
            batch.clear();
            progress(copied);
            let is_complete = end == 0 || end == copy.last_position();
            is_complete
                .then_some(())
                .ok_or_else(|| from.damaged(&format!("record {end}"), "a record before it is missing"))
        };
        from.replay(0, &mut |record| {
            if written.is_ok() {
                batch.push(record);
                if batch.len() == BATCH {
                    written = write(self, &mut batch);
                }
            }
        })?;
        written.and_then(|()| write(self, &mut batch))
    }

    fn copy_checkpoint(&mut self, from: &dyn Reader) -> Result<(), JournalError> {
        if let Some(checkpoint) = from.checkpoint()? {
            let mut rows = Vec::new();
            from.input_rows(&mut |input_id, row| {
                rows.push((input_id, Some(row)));
                Ok(())
            })?;
            self.save_checkpoint(&checkpoint, rows.into_iter())?;
        }
        let documents = from.documents()?;
        let documents: Vec<_> = documents.iter().map(|(name, text)| (name.as_str(), Some(text.as_str()))).collect();
        self.save_documents(&documents)?;
        if let Some(last_seen) = from.last_seen()? {
            let mut append = self.begin()?;
            append.last_seen(&last_seen)?;
            append.commit()?;
        }
        Ok(())
    }

    fn copy_bodies(&mut self, bodies: &[KeptBody]) -> Result<(), JournalError> {
        self.database.transaction("cannot be written", |transaction| {
            let sql = "INSERT INTO unrecognized (seq, received_at, reason, body) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = transaction.prepare_cached(sql)?;
            for KeptBody { number, received_at, reason, body } in bodies {
                insert.execute(params![number, received_at.as_nanos(), reason, body])?;
            }
            Ok(())
        })
    }
}
