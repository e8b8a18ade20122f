//! Reads that find a part of the journal. Records are numbered without gaps, and have no other index.

use rusqlite::{OptionalExtension, params};

use super::{JournalError, SqliteJournal, rows};
use crate::event::{InputId, Record, Timestamp};
use crate::journal::error::failed;

impl SqliteJournal {
    /// Position and time of the first record from this position on.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn first_from(&self, position: u64) -> Result<Option<(u64, Timestamp)>, JournalError> {
        let sql = "SELECT position, recorded_at FROM records WHERE position >= ?1 ORDER BY position LIMIT 1";
        let read = || {
            let mut select = self.database.connection.prepare_cached(sql)?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Timestamp::from_nanos(row.get(1)?)));
            select.query_one([position], read).optional()
        };
        read().map_err(failed(self.path(), "cannot be read"))
    }

    /// The newest records of an input with positions after `after` and up to `until`, newest first, up to `limit`.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn newest_of(
        &self,
        input_id: &InputId,
        after: u64,
        until: u64,
        limit: usize,
    ) -> Result<Vec<Record>, JournalError> {
        let sql = rows::SELECT_RECORDS
            .replace("ORDER BY position", "AND position <= ?2 AND input_id = ?3 ORDER BY position DESC LIMIT ?4");
        let mut newest = Vec::new();
        let parameters = params![after, until, input_id.to_string(), limit as u64];
        self.visit(&sql, parameters, |record| newest.push(record))?;
        Ok(newest)
    }
}
