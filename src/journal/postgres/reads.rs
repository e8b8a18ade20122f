//! The reads of every journal, for the recorder's connection and for those of readers.
//!
//! Every answer is one message with up to a few thousand rows, so that nothing holds more than that.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::answer::{Answers, RECORD_COLUMNS, Row};
use super::head::{HEAD_COLUMNS, HeadRow};
use super::server::Server;
use super::transaction::BEGIN_SNAPSHOT;
use crate::event::{InputId, Record, Timestamp};
use crate::journal::columns::{Unreadable, read_rules};
use crate::journal::{Checkpoint, InputRow, JournalError, KeptBody, KeptBodySummary, Reader, Snapshot};

/// Number of records that are read at once.
const RECORDS: usize = 5000;
/// Number of rows of inputs that are read at once.
const ROWS: usize = 500;
/// Number of bodies that are read at once.
const BODIES: usize = 100;

/// Sends statements to the server, for one thread.
pub(super) trait Query {
    fn server(&self) -> &Server;

    /// Sends statements in one message.
    fn ask(&self, sql: &str) -> Result<Answers, JournalError>;

    /// Sends a statement whose answer does not matter.
    fn send(&self, sql: &str);

    /// Whether a snapshot is open. Its reads need the session in which it began.
    fn in_snapshot(&self) -> &Cell<bool>;

    fn interrupt_when(&mut self, raised: Arc<AtomicBool>);

    /// Every record up to this head was read.
    fn note_replayed(&self, _: &HeadRow) {}

    /// The documents were read, after this number of changes.
    fn note_documents(&self, _: u64) {}
}

/// A transaction that sees one moment.
struct PostgresSnapshot<'a, Q: Query>(&'a Q);

impl<Q: Query> Snapshot for PostgresSnapshot<'_, Q> {}

impl<Q: Query> Drop for PostgresSnapshot<'_, Q> {
    fn drop(&mut self) {
        self.0.send("COMMIT");
        self.0.in_snapshot().set(false);
    }
}

impl<Q: Query> Reader for Q {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, JournalError> {
        let schema = self.server().quoted_schema();
        // The moment is that of the first statement.
        self.ask(&format!("{BEGIN_SNAPSHOT} SELECT position FROM {schema}.head"))?;
        self.in_snapshot().set(true);
        Ok(Box::new(PostgresSnapshot(self)))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        let schema = self.server().quoted_schema();
        let sql = format!(
            "SELECT position, version, state, (SELECT data FROM {schema}.rules WHERE id = 1) \
             FROM {schema}.checkpoint WHERE id = 1"
        );
        let Some(row) = self.ask(&sql)?.rows().into_iter().next() else { return Ok(None) };
        let read = || {
            let rules = read_rules(&row.string(3)?.unwrap_or_default()).map_err(Unreadable::problem)?;
            let (position, version, state) = (row.number(0)?, row.number(1)?, row.string(2)?.unwrap_or_default());
            Ok(Checkpoint { position, rules, version, state })
        };
        read().map(Some).map_err(|problem| self.damaged("the checkpoint", problem))
    }

    fn input_rows(
        &self,
        visit: &mut dyn FnMut(InputId, InputRow) -> Result<(), &'static str>,
    ) -> Result<(), JournalError> {
        let schema = self.server().quoted_schema();
        let mut after = String::new();
        loop {
            // The order must be that of the comparison.
            let sql = format!(
                "SELECT input_id, position, version, state, encode(seen, 'hex') FROM {schema}.inputs \
                 WHERE input_id > '{after}' ORDER BY input_id LIMIT {ROWS}"
            );
            let rows = self.ask(&sql)?.rows();
            for row in &rows {
                let name = row.text(0).ok().flatten().unwrap_or_default().to_owned();
                let input_id = name.parse().map_err(|_| "the input id is not 32 hexadecimal digits");
                let visited = input_id.and_then(|input_id| {
                    let (position, version) = (row.number(1)?, row.number(2)?);
                    let (state, seen) = (row.string(3)?.unwrap_or_default(), row.bytes(4)?);
                    visit(input_id, InputRow { position, version, state, seen })
                });
                visited.map_err(|problem| self.damaged(&format!("input {name}"), problem))?;
                after = name;
            }
            if rows.len() < ROWS {
                return Ok(());
            }
        }
    }

    fn replay(&self, mut after: u64, visit: &mut dyn FnMut(Record)) -> Result<(), JournalError> {
        let schema = self.server().quoted_schema();
        let head = format!("SELECT {HEAD_COLUMNS} FROM {schema}.head WHERE id = 1");
        let end = self.server().head(&mut self.ask(&head)?)?;
        while after < end.position {
            let condition = format!("position > {after} AND position <= {}", end.position);
            // Records may have expired since the head was read.
            after = visit_records(self, &condition, "ASC", RECORDS, visit)?.unwrap_or(end.position);
        }
        self.note_replayed(&end);
        Ok(())
    }

    fn last_seen(&self) -> Result<Option<String>, JournalError> {
        let row = first(self, &format!("SELECT last_seen FROM {}.head", self.server().quoted_schema()))?;
        let last_seen = row.map(|row| row.string(0)).transpose();
        last_seen.map(Option::flatten).map_err(|problem| self.damaged("the head", problem))
    }

    fn documents(&self) -> Result<BTreeMap<String, String>, JournalError> {
        let schema = self.server().quoted_schema();
        // In this order, because they may change in between.
        let sql = format!("SELECT documents FROM {schema}.head; SELECT name, text FROM {schema}.documents");
        let mut answers = self.ask(&sql)?;
        let mut read = || {
            let changes = answers.row()?.number(0)?;
            let document = |row: &Row| Ok((row.string(0)?.unwrap_or_default(), row.string(1)?.unwrap_or_default()));
            let documents = answers.rows().iter().map(document).collect::<Result<_, &'static str>>()?;
            self.note_documents(changes);
            Ok(documents)
        };
        read().map_err(|problem| self.damaged("the documents", problem))
    }

    fn oldest_event_at(&self) -> Result<Option<Timestamp>, JournalError> {
        let schema = self.server().quoted_schema();
        let sql =
            format!("SELECT received_at FROM {schema}.records WHERE received_at IS NOT NULL ORDER BY position LIMIT 1");
        let oldest = first(self, &sql)?.map(|row| row.time(0)).transpose();
        oldest.map_err(|problem| self.damaged("the oldest event", problem))
    }

    fn oldest_position(&self) -> Result<u64, JournalError> {
        end(self, "min")
    }

    fn newest_position(&self) -> Result<u64, JournalError> {
        end(self, "max")
    }

    fn first_from(&self, position: u64) -> Result<Option<(u64, Timestamp)>, JournalError> {
        let schema = self.server().quoted_schema();
        let position = clamped(position);
        let sql = format!(
            "SELECT position, recorded_at FROM {schema}.records WHERE position >= {position} ORDER BY position LIMIT 1"
        );
        let first = first(self, &sql)?.map(|row| Ok((row.number(0)?, row.time(1)?))).transpose();
        first.map_err(|problem| self.damaged("a record", problem))
    }

    fn newest_events(&self, count: u64) -> Result<Vec<Record>, JournalError> {
        let limit = usize::try_from(count).unwrap_or(usize::MAX);
        newest(self, "received_at IS NOT NULL", u64::MAX, limit)
    }

    fn newest_of(&self, input_id: &InputId, after: u64, until: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        newest(self, &format!("input_id = '{input_id}' AND position > {}", clamped(after)), until, limit)
    }

    fn newest_unrecognized(&self, before: u64, limit: usize) -> Result<Vec<KeptBodySummary>, JournalError> {
        let (schema, before) = (self.server().quoted_schema(), clamped(before));
        let limit = clamped(limit as u64);
        let sql = format!(
            "SELECT seq, received_at, reason, length(body) FROM {schema}.unrecognized WHERE seq < {before} \
             ORDER BY seq DESC LIMIT {limit}"
        );
        let summary = |row: &Row| {
            let (number, received_at, size) = (row.number(0)?, row.time(1)?, row.number(3)?);
            Ok(KeptBodySummary { number, received_at, reason: row.string(2)?.unwrap_or_default(), size })
        };
        let summaries: Result<_, &'static str> = self.ask(&sql)?.rows().iter().map(summary).collect();
        summaries.map_err(|problem| self.damaged("a kept body", problem))
    }

    fn unrecognized(&self) -> Result<Vec<KeptBody>, JournalError> {
        let mut kept: Vec<KeptBody> = Vec::new();
        loop {
            let after = kept.last().map_or(0, |body| body.number);
            let part = bodies(self, &format!("seq > {after}"))?;
            if part.is_empty() {
                return Ok(kept);
            }
            kept.extend(part);
        }
    }

    fn kept_body(&self, number: u64) -> Result<Option<KeptBody>, JournalError> {
        Ok(bodies(self, &format!("seq = {}", clamped(number)))?.pop())
    }

    fn interrupt_when(&mut self, raised: Arc<AtomicBool>) -> Result<(), JournalError> {
        Query::interrupt_when(self, raised);
        Ok(())
    }

    fn damaged(&self, row: &str, problem: &'static str) -> JournalError {
        self.server().damaged(row, problem)
    }
}

fn first(query: &impl Query, sql: &str) -> Result<Option<Row>, JournalError> {
    Ok(query.ask(sql)?.rows().into_iter().next())
}

/// Position of the oldest or newest record; 0 if there is none.
fn end(query: &impl Query, function: &str) -> Result<u64, JournalError> {
    let schema = query.server().quoted_schema();
    let sql = format!("SELECT coalesce({function}(position), 0) FROM {schema}.records");
    let position = query.ask(&sql)?.row().and_then(|row| row.number(0));
    position.map_err(|problem| query.server().damaged("a record", problem))
}

/// The newest records up to `until` under a condition, newest first.
fn newest(query: &impl Query, condition: &str, mut until: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
    let mut newest: Vec<Record> = Vec::new();
    while newest.len() < limit {
        let part = RECORDS.min(limit - newest.len());
        let condition = format!("{condition} AND position <= {}", clamped(until));
        match visit_records(query, &condition, "DESC", part, &mut |record| newest.push(record))? {
            Some(oldest) => until = oldest - 1,
            None => break,
        }
    }
    Ok(newest)
}

/// Visits up to `limit` records under a condition. Returns the position of the last one.
fn visit_records(
    query: &impl Query,
    condition: &str,
    order: &str,
    limit: usize,
    visit: &mut dyn FnMut(Record),
) -> Result<Option<u64>, JournalError> {
    let schema = query.server().quoted_schema();
    let sql = format!(
        "SELECT {RECORD_COLUMNS} FROM {schema}.records WHERE {condition} ORDER BY position {order} LIMIT {limit}"
    );
    let mut last = None;
    for row in query.ask(&sql)?.rows() {
        let record = query.server().record(&row)?;
        last = Some(record.position);
        visit(record);
    }
    Ok(last)
}

fn bodies(query: &impl Query, condition: &str) -> Result<Vec<KeptBody>, JournalError> {
    let schema = query.server().quoted_schema();
    let sql = format!(
        "SELECT seq, received_at, reason, encode(body, 'hex') FROM {schema}.unrecognized WHERE {condition} \
         ORDER BY seq LIMIT {BODIES}"
    );
    let body = |row: &Row| {
        let (number, received_at, body) = (row.number(0)?, row.time(1)?, row.bytes(3)?);
        Ok(KeptBody { number, received_at, reason: row.string(2)?.unwrap_or_default(), body })
    };
    let bodies: Result<_, &'static str> = query.ask(&sql)?.rows().iter().map(body).collect();
    bodies.map_err(|problem| query.server().damaged("a kept body", problem))
}

/// Numbers are signed in PostgreSQL.
fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
