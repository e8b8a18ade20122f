//! What this process learns of the shared journal beside its records.

use super::answer::Row;
use crate::event::Timestamp;
use crate::journal::{BatchId, Tail};

/// What a scrape shows: the state after the tail, at this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The records that the state does not have yet. With them, it is exactly the state at the scrape's position.
    pub tail: Tail,
    /// The time of the scrape, later than that of every earlier scrape of any replica.
    pub time: Timestamp,
    /// The clock of the database.
    pub now: Timestamp,
}

/// Whether the shared journal can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The next statement is sent to the server.
    Connected,
    /// There is no connection, and every statement fails at once. A task on the runtime connects again.
    Away,
}

/// The position up to which this process has every record, and the batch that the record there is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Applied {
    pub(super) position: u64,
    /// `None` before anything was read.
    pub(super) batch: Option<BatchId>,
}

/// The columns of the table `head`.
pub(super) const HEAD_COLUMNS: &str = "position, batch_id, time, recorded_until, events, documents, last_seen";

/// The row of the table `head`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadRow {
    pub(super) position: u64,
    /// The batch that has the newest record.
    pub(super) batch: Option<BatchId>,
    /// Time of the latest scrape.
    pub(super) time: Timestamp,
    pub(super) recorded_until: Timestamp,
    pub(super) events: u64,
    pub(super) documents: u64,
    pub(super) last_seen: Option<String>,
}

impl HeadRow {
    /// Reads the columns [`HEAD_COLUMNS`].
    pub(super) fn read(row: &Row) -> Result<Self, &'static str> {
        Ok(Self {
            position: row.number(0)?,
            batch: row.batch_id(1)?,
            time: row.time(2)?,
            recorded_until: row.time(3)?,
            events: row.number(4)?,
            documents: row.number(5)?,
            last_seen: row.string(6)?,
        })
    }

    pub(super) fn applied(&self) -> Applied {
        Applied { position: self.position, batch: self.batch }
    }

    /// Whether the journal has what this process applied. `found` is the batch of the record at its position.
    pub(super) fn continues(&self, applied: Applied, found: Option<BatchId>) -> bool {
        match applied.batch {
            None => true,
            Some(_) if self.position == applied.position => self.batch == applied.batch,
            // The batch of an empty journal has no records.
            Some(_) if applied.position == 0 => true,
            Some(_) => self.position > applied.position && found == applied.batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_continues_what_was_applied_only_with_the_same_batch_at_its_position() {
        let batch = |number| Some(BatchId::from_bytes([number; 16]));
        let head = HeadRow {
            position: 7,
            batch: batch(7),
            time: Timestamp::EPOCH,
            recorded_until: Timestamp::EPOCH,
            events: 0,
            documents: 0,
            last_seen: None,
        };
        let continues = |position, applied, found| head.continues(Applied { position, batch: applied }, found);
        for (position, applied, found, expected) in [
            (0, None, None, true),
            (0, batch(1), batch(5), true),
            (5, batch(5), batch(5), true),
            (5, batch(5), batch(6), false),
            (5, batch(5), None, false),
            (7, batch(7), None, true),
            (7, batch(6), batch(7), false),
            (8, batch(8), None, false),
        ] {
            assert_eq!(continues(position, applied, found), expected, "{position} {applied:?} {found:?}");
        }
    }
}
