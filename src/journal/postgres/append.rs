//! Appends a batch to the journal in one transaction.
//!
//! `begin` locks the head, in one round trip, and reads the tail in another one if there is any; `commit` writes everything
//! in one. In between the recorder applies the tail and judges the batch.
//!
//! Most batches find the head as this process has last seen it. `begin_without_tail` expects that, and then the commit is
//! the only round trip: one statement, which writes only if the head is as expected.

use futures_util::future::{OptionFuture, join, join_all};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::answer::{Answers, RECORD_COLUMNS, ask};
use super::arrays::{RecordArrays, Statement, UNNEST};
use super::bodies::BodyArrays;
use super::error::PostgresError;
use super::head::{HEAD_COLUMNS, HeadRow};
use super::journal::PostgresJournal;
use super::session::Session;
use super::text::escape;
use super::transaction::{BEGIN, DURABLE, NOW};
use crate::event::{Record, RecordKind, Timestamp};
use crate::journal::{Append, BatchId, JournalError, Tail, Unrecognized};

const ACTION: &str = "cannot be appended to";

/// A batch. It is rolled back if it is dropped without a commit.
#[must_use = "nothing is recorded before the commit"]
pub(super) struct PostgresAppend<'a> {
    journal: &'a mut PostgresJournal,
    id: BatchId,
    deadline: Instant,
    /// The head on which the batch builds.
    head: HeadRow,
    /// The transaction that holds the lock of the head; `None` if the commit is one of its own.
    transaction: Option<Transaction>,
    tail: Option<Tail>,
    has_batch: bool,
    records: RecordArrays,
    bodies: BodyArrays,
    forgotten: Vec<i64>,
    last_seen: Option<String>,
    /// The clock was set back to this time: scrapes go on from there.
    set_back: Option<Timestamp>,
}

/// A transaction that has not ended.
struct Transaction {
    /// Warnings of the session before it.
    warnings: u64,
}

impl PostgresJournal {
    /// Begins a batch: takes the lock of the head and reads the tail.
    pub(super) fn begin_batch(&mut self, id: BatchId) -> Result<PostgresAppend<'_>, JournalError> {
        self.was_unexpected.set(false);
        let schema = &self.schema;
        // The second statement needs a newer snapshot than the first one, which waited for the lock.
        let sql = format!(
            "{BEGIN} SELECT {HEAD_COLUMNS} FROM {schema}.head WHERE id = 1 FOR UPDATE; \
             SELECT EXISTS (SELECT FROM {schema}.batches WHERE id = '{id}'), {NOW}"
        );
        let deadline = self.server.deadline();
        let (warnings, mut answers) = self.link.run(ACTION, deadline, async |session| {
            let warnings = session.warnings();
            Ok((warnings, ask(session, &sql).await?))
        })?;
        match self.read_batch(deadline, &mut answers) {
            Ok((head, tail)) => Ok(self.append(id, deadline, head, tail, Some(Transaction { warnings }))),
            Err(error) => {
                self.link.send("ROLLBACK");
                Err(error)
            }
        }
    }

    fn read_batch(&self, deadline: Instant, answers: &mut Answers) -> Result<(HeadRow, Tail), JournalError> {
        let head = self.server.head(answers)?;
        let read = answers.row().and_then(|row| Ok((row.is_true(0)?, row.time(1)?)));
        let (has_batch, now) = read.map_err(|problem| self.server.damaged("the head", problem))?;
        let tail = self.tail_to(ACTION, deadline, head.clone(), now)?;
        Ok((head, Tail { has_batch, ..tail }))
    }

    /// Begins a batch that expects the head as it was last seen, if that was right for the batch before.
    pub(super) fn begin_unlocked(&mut self, id: BatchId) -> Result<PostgresAppend<'_>, JournalError> {
        let expected = self.expected.take().filter(|_| !self.was_unexpected.get());
        let Some(head) = expected else { return self.begin_batch(id) };
        let tail = Tail {
            records: Vec::new(),
            shown_until: head.time,
            recorded_until: head.recorded_until,
            last_seen: None,
            now: None,
            documents_changed: false,
            has_batch: false,
        };
        Ok(self.append(id, self.server.deadline(), head, tail, None))
    }

    fn append(
        &mut self,
        id: BatchId,
        deadline: Instant,
        head: HeadRow,
        tail: Tail,
        transaction: Option<Transaction>,
    ) -> PostgresAppend<'_> {
        PostgresAppend {
            journal: self,
            id,
            deadline,
            head,
            transaction,
            has_batch: tail.has_batch,
            tail: Some(tail),
            records: RecordArrays::default(),
            bodies: BodyArrays::default(),
            forgotten: Vec::new(),
            last_seen: None,
            set_back: None,
        }
    }
}

impl PostgresAppend<'_> {
    /// Sends everything at once, and waits until all of it is done. Without a transaction there is one statement, which is a
    /// transaction of its own. Returns whether the head was as expected: otherwise nothing was written.
    async fn write(
        &self,
        session: &Session,
        transaction: Option<Transaction>,
        statements: &[Statement<'_>],
    ) -> Result<bool, PostgresError> {
        let warnings = transaction.as_ref().map_or_else(|| session.warnings(), |transaction| transaction.warnings);
        let each = statements.iter().map(|(sql, parameters)| session.client.execute_typed(sql, parameters));
        let commit = transaction.is_some().then(|| session.client.batch_execute("COMMIT"));
        // They are polled, and so sent, in this order.
        let (executed, committed) = join(join_all(each), OptionFuture::from(commit)).await;
        // After an error, the commit is a rollback and succeeds.
        let executed: Vec<u64> = match executed.into_iter().collect() {
            Err(error) if transaction.is_none() && needs_transaction(&error) => return Ok(false),
            executed => executed.map_err(PostgresError::Failed)?,
        };
        committed.transpose().map_err(PostgresError::Failed)?;
        if session.warnings() > warnings {
            return Err(PostgresError::NotDurable);
        }
        Ok(executed.last().is_some_and(|rows| *rows > 0))
    }

    /// Always writes to the head, so that the commit waits for the standby even if the records are there already.
    fn update_head<'a>(
        &'a self,
        last_seen: &'a Option<String>,
        expected_last_seen: &'a Option<String>,
    ) -> Statement<'a> {
        let Self { journal, id, records, .. } = self;
        let schema = &journal.schema;
        let expected = self.head.batch.map(|batch| format!(" AND batch_id = '{batch}'")).unwrap_or_default();
        let parameter = if records.is_empty() { 2 } else { 16 };
        let expected = format!(
            "id = 1{expected} AND time = {} AND last_seen IS NOT DISTINCT FROM ${parameter}",
            self.head.time.as_nanos()
        );
        if records.is_empty() {
            let set = format!("last_seen = coalesce($1, last_seen) WHERE {expected} RETURNING {DURABLE}");
            let sql = format!("UPDATE {schema}.head SET {set}");
            return (sql, vec![(last_seen, Type::TEXT), (expected_last_seen, Type::TEXT)]);
        }
        let HeadRow { position, recorded_until, .. } = self.new_head();
        let time = self.set_back.map(|time| format!(", time = {}", time.as_nanos())).unwrap_or_default();
        let (recorded_until, events) = (recorded_until.as_nanos(), records.events());
        // The update waits for the lock of the head, and then compares the row as it is.
        let sql = format!(
            "WITH changed AS (UPDATE {schema}.head SET position = {position}, batch_id = '{id}', \
                recorded_until = {recorded_until}, events = events + {events}, \
                last_seen = coalesce($15, last_seen){time} WHERE {expected} RETURNING {DURABLE}), \
             batch AS (INSERT INTO {schema}.batches (id, position) SELECT '{id}', {position} FROM changed) \
             INSERT INTO {schema}.records ({RECORD_COLUMNS}) SELECT records.* FROM changed, {UNNEST} AS records"
        );
        let mut parameters = records.parameters().to_vec();
        parameters.extend([(last_seen as _, Type::TEXT), (expected_last_seen as _, Type::TEXT)]);
        (sql, parameters)
    }

    /// The head after the batch.
    fn new_head(&self) -> HeadRow {
        let mut head = self.head.clone();
        head.last_seen = self.last_seen.clone().or(head.last_seen);
        if let Some(position) = self.records.last_position() {
            head.position = position;
            head.batch = Some(self.id);
            head.recorded_until = self.records.recorded_until();
            head.events = self.journal.events.get() + self.records.events();
            head.time = self.set_back.unwrap_or(head.time);
        }
        head
    }

    /// The commit fails without a change: the head is locked and read first.
    fn behind(&self) -> JournalError {
        self.journal.was_unexpected.set(true);
        JournalError::Behind { server: self.journal.server.to_string(), action: ACTION }
    }
}

/// Whether a statement failed because of a default of the role or of the database, which a transaction overrides: another
/// isolation, or read-only transactions.
fn needs_transaction(error: &tokio_postgres::Error) -> bool {
    [Some(&SqlState::T_R_SERIALIZATION_FAILURE), Some(&SqlState::READ_ONLY_SQL_TRANSACTION)].contains(&error.code())
}

impl Append for PostgresAppend<'_> {
    fn tail(&mut self) -> Option<Tail> {
        let tail = self.tail.take();
        if tail.is_some() {
            self.journal.applied.set(self.head.applied());
        }
        tail
    }

    fn records(&mut self, records: &mut dyn Iterator<Item = &mut Record>) -> Result<(), JournalError> {
        // A batch that is there already is not appended again.
        for record in records.take_while(|_| !self.has_batch) {
            record.position = self.records.last_position().unwrap_or(self.head.position) + 1;
            self.records.push(record);
            if record.kind == RecordKind::ClockSetBack {
                self.set_back = Some(record.recorded_at);
            }
        }
        Ok(())
    }

    fn unrecognized(&mut self, bodies: &[Unrecognized]) -> Result<(), JournalError> {
        bodies.iter().for_each(|body| self.bodies.push(body));
        Ok(())
    }

    fn forget_unrecognized(&mut self, numbers: &[u64]) -> Result<(), JournalError> {
        self.forgotten.extend(numbers.iter().map(|number| number.cast_signed()));
        Ok(())
    }

    fn last_seen(&mut self, last_seen: &str) -> Result<(), JournalError> {
        self.last_seen = Some(last_seen.to_owned());
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), JournalError> {
        let schema = &self.journal.schema;
        let mut statements = self.bodies.statements(schema);
        if !self.forgotten.is_empty() {
            let sql = format!("DELETE FROM {schema}.unrecognized WHERE seq = ANY ($1)");
            statements.push((sql, vec![(&self.forgotten, Type::INT8_ARRAY)]));
        }
        let transaction = self.transaction.take();
        if transaction.is_none() && !statements.is_empty() {
            // They do not depend on the head, so it must be locked before.
            return Err(self.behind());
        }
        let escaped = |text: &Option<String>| text.as_deref().map(|text| escape(text).into_owned());
        let (last_seen, expected) = (escaped(&self.last_seen), escaped(&self.head.last_seen));
        statements.push(self.update_head(&last_seen, &expected));
        let write = async |session: &Session| self.write(session, transaction, &statements).await;
        if !self.journal.link.run(ACTION, self.deadline, write)? {
            return Err(self.behind());
        }
        let head = self.new_head();
        self.journal.head.set(head.position);
        self.journal.events.set(head.events);
        // Otherwise the batch is part of the tail that the caller did not take.
        if self.tail.as_ref().is_none_or(|tail| tail.records.is_empty()) {
            self.journal.applied.set(head.applied());
            self.journal.expected.replace(Some(head));
        }
        Ok(())
    }
}

impl Drop for PostgresAppend<'_> {
    fn drop(&mut self) {
        if self.transaction.is_some() {
            self.journal.link.send("ROLLBACK");
        }
    }
}
