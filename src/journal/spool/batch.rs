//! The batches of the spool: which records and bodies are appended together.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::event::Timestamp;
use crate::journal::{BatchId, Unrecognized};

/// Maximum number of records that are joined in a batch: as many as the recorder appends at once.
const MAX_RECORDS: u64 = 1024;

/// Bodies of a batch are at most this large together, unless the first one alone is larger. Appending them must not take
/// so long that the journal counts as away.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// A row of `batches`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) number: u64,
    /// `None` until it is tried.
    pub(super) id: Option<BatchId>,
    pub(super) first: u64,
    pub(super) last: u64,
}

const SELECT: &str = "SELECT number, id, first_record, last_record FROM batches ORDER BY number";

/// Puts `count` records from position `next` into the newest batch, or into one of their own if they were tried. Returns
/// their batch; `None` without records.
pub(super) fn extend(
    connection: &Connection,
    tried: Option<BatchId>,
    next: u64,
    count: u64,
) -> rusqlite::Result<Option<Batch>> {
    let Some(last) = (next + count).checked_sub(1).filter(|_| count > 0) else { return Ok(None) };
    let newest = connection.prepare_cached(&format!("{SELECT} DESC LIMIT 1"))?.query_one([], read).optional()?;
    let number = newest.map_or(1, |newest| newest.number + 1);
    let new = Batch { number, id: tried, first: next, last };
    let has_room = |newest: &Batch| newest.id.is_none() && tried.is_none() && last - newest.first < MAX_RECORDS;
    let batch = newest.filter(has_room).map_or(new, |newest| Batch { last, ..newest });
    batch.save(connection)?;
    Ok(Some(batch))
}

impl Batch {
    /// The oldest batch; `None` if there is none with records or with an id.
    pub(super) fn oldest(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        connection.prepare_cached(&format!("{SELECT} LIMIT 1"))?.query_one([], read).optional()
    }

    /// Gives the oldest batch an id and the oldest bodies. Without a batch, bodies get one without records.
    pub(super) fn close_oldest(connection: &Connection) -> rusqlite::Result<Self> {
        let none = Self { number: 1, id: None, first: 1, last: 0 };
        let oldest = Self::oldest(connection)?.unwrap_or(none);
        let closed = Self { id: Some(BatchId::random()), ..oldest };
        closed.save(connection)?;
        closed.take_oldest_bodies(connection)?;
        Ok(closed)
    }

    fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO batches (number, id, first_record, last_record) VALUES (?1, ?2, ?3, ?4)";
        let id = self.id.as_ref().map(BatchId::as_bytes);
        connection.prepare_cached(sql)?.execute(params![self.number, id, self.first, self.last]).map(drop)
    }

    fn take_oldest_bodies(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE unrecognized SET batch = ?1 WHERE seq IN ( \
                SELECT seq FROM (SELECT seq, row_number() OVER oldest AS bodies, sum(length(body)) OVER oldest AS bytes \
                    FROM unrecognized WHERE batch IS NULL WINDOW oldest AS (ORDER BY seq)) \
                WHERE bodies = 1 OR bytes <= ?2)";
        connection.prepare_cached(sql)?.execute(params![self.number, MAX_BODY_BYTES]).map(drop)
    }

    /// Makes the newest bodies part of the batch.
    pub(super) fn take_newest_bodies(&self, connection: &Connection, count: usize) -> rusqlite::Result<()> {
        let sql = "UPDATE unrecognized SET batch = ?1 WHERE seq IN ( \
                SELECT seq FROM unrecognized ORDER BY seq DESC LIMIT ?2)";
        connection.prepare_cached(sql)?.execute(params![self.number, count]).map(drop)
    }

    /// The bodies of the batch, oldest first.
    pub(super) fn bodies(&self, connection: &Connection) -> rusqlite::Result<Vec<Unrecognized>> {
        let sql = "SELECT received_at, reason, body FROM unrecognized WHERE batch = ?1 ORDER BY seq";
        let mut select = connection.prepare_cached(sql)?;
        let rows = select.query_map([self.number], |row| {
            let received_at = Timestamp::from_nanos(row.get::<_, i64>(0)?.max(0));
            Ok(Unrecognized { received_at, reason: row.get::<_, String>(1)?.into(), body: row.get(2)? })
        })?;
        rows.collect()
    }

    /// Deletes a batch with its records and bodies. Returns the number of records.
    pub(super) fn delete(connection: &Connection, number: u64) -> rusqlite::Result<u64> {
        let delete = |sql| connection.prepare_cached(sql)?.execute([number]);
        let records =
            delete("DELETE FROM records WHERE position <= (SELECT last_record FROM batches WHERE number = ?1)")?;
        delete("DELETE FROM unrecognized WHERE batch = ?1")?;
        delete("DELETE FROM batches WHERE number = ?1")?;
        Ok(records as u64)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Batch> {
    let id = row.get::<_, Option<[u8; 16]>>(1)?.map(BatchId::from_bytes);
    Ok(Batch { number: row.get(0)?, id, first: row.get(2)?, last: row.get(3)? })
}
