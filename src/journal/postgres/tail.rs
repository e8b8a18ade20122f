//! Reads what others appended.

use super::answer::{Answers, RECORD_COLUMNS, Row};
use super::head::{Applied, HeadRow};
use super::server::Server;
use crate::event::{Record, Timestamp};
use crate::journal::columns::Unreadable;
use crate::journal::{JournalError, Tail};

/// Maximum number of records of a tail.
pub(super) const MAX_TAIL: u64 = 10_000;

/// The statement that reads the records after a position, as many as a tail may have.
///
/// With both limits PostgreSQL expects few records and uses the index, also before it has statistics of the table.
pub(super) fn select_tail(schema: &str, after: u64) -> String {
    let until = after + MAX_TAIL;
    format!(
        "SELECT {RECORD_COLUMNS} FROM {schema}.records WHERE position > {after} AND position <= {until} ORDER BY position"
    )
}

/// The expression for the batch of the record at a position.
pub(super) fn batch_at(schema: &str, position: u64) -> String {
    format!("(SELECT id FROM {schema}.batches WHERE position >= {position} ORDER BY position LIMIT 1)")
}

/// What a statement reads beside the records.
pub(super) struct Facts {
    pub(super) head: HeadRow,
    /// Number of changes of the documents when they were last read.
    pub(super) documents_read: u64,
    /// The clock of the server.
    pub(super) now: Timestamp,
}

impl Server {
    /// The tail after `applied`, up to a position that the head has.
    pub(super) fn tail(&self, facts: Facts, applied: Applied, until: u64, rows: &[Row]) -> Result<Tail, JournalError> {
        let count = usize::try_from(until - applied.position).unwrap_or(usize::MAX);
        let records: Vec<Record> = rows.iter().take(count).map(|row| self.record(row)).collect::<Result<_, _>>()?;
        let follow = records.iter().zip(applied.position + 1..).all(|(record, position)| record.position == position);
        if records.len() < count || !follow {
            // They expired before this process read them.
            return Err(self.tail_lost(applied));
        }
        let Facts { head, documents_read, now } = facts;
        Ok(Tail {
            records,
            shown_until: head.time,
            recorded_until: head.recorded_until,
            last_seen: head.last_seen,
            now: Some(now),
            documents_changed: head.documents != documents_read,
            has_batch: false,
        })
    }

    pub(super) fn tail_lost(&self, applied: Applied) -> JournalError {
        JournalError::TailLost { server: self.to_string(), position: applied.position }
    }

    /// Reads a record.
    pub(super) fn record(&self, row: &Row) -> Result<Record, JournalError> {
        row.record().map_err(|(position, unreadable)| {
            let row = format!("record {position}");
            match unreadable {
                Unreadable::Damaged(problem) => self.damaged(&row, problem),
                Unreadable::Unknown(problem) => JournalError::UnknownRecord { server: self.to_string(), row, problem },
            }
        })
    }

    /// Reads the row of the head from the next answer.
    pub(super) fn head(&self, answers: &mut Answers) -> Result<HeadRow, JournalError> {
        let head = answers.row().and_then(|row| HeadRow::read(&row));
        head.map_err(|problem| self.damaged("the head", problem))
    }

    /// The error for a value that no version writes.
    pub(super) fn damaged(&self, row: &str, problem: &'static str) -> JournalError {
        JournalError::Damaged { path: self.to_string().into(), row: row.to_owned(), problem }
    }
}
