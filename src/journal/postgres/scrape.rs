//! Reads the tail outside of a batch: to follow the others, and for a scrape.

use tokio::time::Instant;

use super::answer::{Answers, ask};
use super::error::PostgresError;
use super::head::{Applied, HEAD_COLUMNS, HeadRow, Shown};
use super::journal::PostgresJournal;
use super::tail::{Facts, MAX_TAIL, batch_at, select_tail};
use super::transaction::{BEGIN, NOW};
use crate::event::Timestamp;
use crate::journal::{JournalError, Tail};

const FOLLOW: &str = "cannot be read";
const SCRAPE: &str = "the time of a scrape cannot be written";

impl PostgresJournal {
    /// Reads the tail, up to its longest part.
    pub(super) fn read_tail(&mut self) -> Result<Tail, JournalError> {
        let sql = format!("SELECT {HEAD_COLUMNS}, {NOW} FROM {}.head WHERE id = 1", self.schema);
        let deadline = self.server.deadline();
        let mut answers = self.link.run(FOLLOW, deadline, async |session| ask(session, &sql).await)?;
        let (head, now) = self.head_and_time(&mut answers)?;
        let until = head.position.min(self.applied.get().position + MAX_TAIL);
        let (tail, applied) = self.tail_until(FOLLOW, deadline, head, now, until)?;
        self.applied.set(applied);
        Ok(tail)
    }

    /// Advances the time that scrapes show, and reads the tail.
    pub(super) fn advance_time(&mut self) -> Result<Shown, JournalError> {
        let schema = &self.schema;
        let sql = format!(
            "{BEGIN} UPDATE {schema}.head SET time = greatest(time + 1000, {NOW}) WHERE id = 1 \
             RETURNING {HEAD_COLUMNS}, {NOW}; COMMIT",
        );
        let deadline = self.server.deadline();
        let mut answers = self.link.run(SCRAPE, deadline, async |session| {
            let warnings = session.warnings();
            let answers = ask(session, &sql).await?;
            if session.warnings() > warnings { Err(PostgresError::NotDurable) } else { Ok(answers) }
        })?;
        let (head, now) = self.head_and_time(&mut answers)?;
        let (time, applied) = (head.time, head.applied());
        let tail = self.tail_to(SCRAPE, deadline, head, now)?;
        self.applied.set(applied);
        Ok(Shown { tail, time, now })
    }

    /// The columns of the head, and the time after them.
    fn head_and_time(&self, answers: &mut Answers) -> Result<(HeadRow, Timestamp), JournalError> {
        let read = answers.row().and_then(|row| Ok((HeadRow::read(&row)?, row.time(7)?)));
        read.map_err(|problem| self.server.damaged("the head", problem))
    }

    /// Reads the tail up to a head that was read before.
    pub(super) fn tail_to(
        &self,
        action: &'static str,
        deadline: Instant,
        head: HeadRow,
        now: Timestamp,
    ) -> Result<Tail, JournalError> {
        let until = head.position;
        if until.saturating_sub(self.applied.get().position) > MAX_TAIL {
            self.head.set(until);
            return Err(JournalError::Behind { server: self.server.to_string(), action });
        }
        self.tail_until(action, deadline, head, now, until).map(|(tail, _)| tail)
    }

    /// Reads the tail up to a position that the head has, and returns what is applied with it. Most often there is no tail,
    /// and nothing is sent.
    fn tail_until(
        &self,
        action: &'static str,
        deadline: Instant,
        head: HeadRow,
        now: Timestamp,
        until: u64,
    ) -> Result<(Tail, Applied), JournalError> {
        let (schema, applied) = (&self.schema, self.applied.get());
        self.head.set(head.position);
        let (mut found, mut batch, mut rows) = (None, head.batch, Vec::new());
        if until > applied.position {
            let (first, last) = (batch_at(schema, applied.position), batch_at(schema, until));
            let sql = format!("SELECT {first}, {last}; {}", select_tail(schema, applied.position));
            let mut answers = self.link.run(action, deadline, async |session| ask(session, &sql).await)?;
            let batches = answers.row().and_then(|row| Ok((row.batch_id(0)?, row.batch_id(1)?)));
            (found, batch) = batches.map_err(|problem| self.server.damaged("a batch", problem))?;
            rows = answers.rows();
        }
        if !head.continues(applied, found) {
            return Err(self.server.tail_lost(applied));
        }
        self.events.set(head.events);
        // A batch may expect that the head is still like this.
        self.expected.replace((until == head.position).then(|| head.clone()));
        let facts = Facts { head, documents_read: self.documents.get(), now };
        let tail = self.server.tail(facts, applied, until, &rows)?;
        Ok((tail, Applied { position: until, batch }))
    }
}
