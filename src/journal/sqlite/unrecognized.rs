//! Authenticated bodies that were not understood: the newest are kept.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteJournal;
use crate::event::Timestamp;
use crate::journal::content::{MAX_BODIES, MAX_BYTES};
use crate::journal::error::failed;
use crate::journal::{JournalError, KeptBody, KeptBodySummary, Unrecognized};

impl SqliteJournal {
    /// The newest bodies with numbers below this one, newest first, without their contents.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn newest_unrecognized(&self, before: u64, limit: usize) -> Result<Vec<KeptBodySummary>, JournalError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            let sql = "SELECT seq, received_at, reason, length(body) FROM unrecognized WHERE seq < ?1 \
                       ORDER BY seq DESC LIMIT ?2";
            let mut select = self.database.connection.prepare(sql)?;
            // Numbers are signed in SQLite.
            let before = i64::try_from(before).unwrap_or(i64::MAX);
            let rows = select.query_map(params![before, limit], |row| {
                let received_at = Timestamp::from_nanos(row.get::<_, i64>(1)?.max(0));
                Ok(KeptBodySummary { number: row.get(0)?, received_at, reason: row.get(2)?, size: row.get(3)? })
            })?;
            rows.collect()
        };
        read().map_err(failed(&self.database.path, "the unrecognized bodies cannot be read"))
    }

    /// The kept bodies that were not understood, oldest first.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn unrecognized(&self) -> Result<Vec<KeptBody>, JournalError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            let sql = "SELECT seq, received_at, reason, body FROM unrecognized ORDER BY seq";
            let mut select = self.database.connection.prepare(sql)?;
            let rows = select.query_map([], kept_body)?;
            rows.collect()
        };
        read().map_err(failed(&self.database.path, "the unrecognized bodies cannot be read"))
    }

    /// The kept body with this number, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn kept_body(&self, number: u64) -> Result<Option<KeptBody>, JournalError> {
        let sql = "SELECT seq, received_at, reason, body FROM unrecognized WHERE seq = ?1";
        let read = self.database.connection.query_row(sql, [i64::try_from(number).unwrap_or(i64::MAX)], kept_body);
        read.optional().map_err(failed(&self.database.path, "an unrecognized body cannot be read"))
    }
}

fn kept_body(row: &Row<'_>) -> rusqlite::Result<KeptBody> {
    let received_at = Timestamp::from_nanos(row.get::<_, i64>(1)?.max(0));
    Ok(KeptBody { number: row.get(0)?, received_at, reason: row.get(2)?, body: row.get(3)? })
}

pub(super) fn delete(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM unrecognized WHERE seq = ?1")?.execute([number]).map(drop)
}

/// Inserts bodies, and deletes the oldest above the limits.
pub(in crate::journal) fn insert(connection: &Connection, unrecognized: &[Unrecognized]) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT INTO unrecognized (received_at, reason, body) VALUES (?1, ?2, ?3)")?;
    for delivery in unrecognized {
        insert.execute(params![delivery.received_at.as_nanos(), delivery.reason, delivery.body])?;
    }
    let mut trim = connection.prepare_cached(
        "DELETE FROM unrecognized WHERE seq <= ( \
            SELECT seq FROM ( \
                SELECT seq, row_number() OVER newest AS bodies, sum(length(body)) OVER newest AS bytes \
                FROM unrecognized WINDOW newest AS (ORDER BY seq DESC) \
            ) WHERE bodies > ?1 OR bytes > ?2 ORDER BY seq DESC LIMIT 1)",
    )?;
    trim.execute(params![MAX_BODIES, MAX_BYTES]).map(drop)
}
