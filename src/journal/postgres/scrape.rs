//! Reads the tail outside of a batch: to follow the others, and for a scrape.

use tokio::time::Instant;

use super::answer::{Answers, ask};
use super::error::PostgresError;
use super::head::{Applied, HEAD_COLUMNS, HeadRow, Shown};
use super::journal::PostgresJournal;
use super::session::DEADLINE;
use super::tail::{Facts, MAX_TAIL, batch_at, select_tail};
use super::transaction::{BEGIN, NOW};
use crate::event::Timestamp;
use crate::journal::{BatchId, JournalError, Tail};

const FOLLOW: &str = "cannot be read";
const SCRAPE: &str = "the time of a scrape cannot be written";

impl PostgresJournal {
    /// Reads the tail, up to its longest part.
    pub(super) fn read_tail(&mut self) -> Result<Tail, JournalError> {
        let (schema, applied) = (&self.schema, self.applied.get());
        let end = applied.position + MAX_TAIL;
        // Records are never changed, so those up to the head are there for the second statement as well.
        let sql = format!(
            "SELECT {HEAD_COLUMNS}, {}, {}, {NOW} FROM {schema}.head AS head WHERE id = 1; {}",
            batch_at(schema, &applied.position.to_string()),
            batch_at(schema, &format!("least(head.position, {end})")),
            select_tail(schema, applied.position),
        );
        let deadline = Instant::now() + DEADLINE;
        let mut answers = self.link.run(FOLLOW, deadline, async |session| ask(session, &sql).await)?;
        let mut read = || {
            let row = answers.row()?;
            Ok((HeadRow::read(&row)?, row.batch_id(7)?, row.batch_id(8)?, row.time(9)?))
        };
        let (head, found, last, now) = read().map_err(|problem| self.server.damaged("the head", problem))?;
        let until = head.position.min(end);
        let batch = if until == head.position { head.batch } else { last };
        let tail = self.tail_until(head, found, now, until, &mut answers)?;
        self.applied.set(Applied { position: until, batch });
        Ok(tail)
    }

    /// Advances the time that scrapes show, and reads the tail.
    pub(super) fn advance_time(&mut self) -> Result<Shown, JournalError> {
        let schema = &self.schema;
        let sql = format!(
            "{BEGIN} UPDATE {schema}.head SET time = greatest(time + 1000, {NOW}) WHERE id = 1 \
             RETURNING {HEAD_COLUMNS}, {NOW}; COMMIT",
        );
        let deadline = Instant::now() + DEADLINE;
        let mut answers = self.link.run(SCRAPE, deadline, async |session| {
            let warnings = session.warnings();
            let answers = ask(session, &sql).await?;
            if session.warnings() > warnings { Err(PostgresError::NotDurable) } else { Ok(answers) }
        })?;
        let read = answers.row().and_then(|row| Ok((HeadRow::read(&row)?, row.time(7)?)));
        let (head, now) = read.map_err(|problem| self.server.damaged("the head", problem))?;
        let (time, applied) = (head.time, head.applied());
        let tail = self.tail_to(SCRAPE, deadline, head, now)?;
        self.applied.set(applied);
        Ok(Shown { tail, time, now })
    }

    /// Reads the tail up to a head that was read before. Most often there is none, and nothing is sent.
    pub(super) fn tail_to(
        &self,
        action: &'static str,
        deadline: Instant,
        head: HeadRow,
        now: Timestamp,
    ) -> Result<Tail, JournalError> {
        let (schema, applied, until) = (&self.schema, self.applied.get(), head.position);
        let missing = until.saturating_sub(applied.position);
        if missing > MAX_TAIL {
            self.head.set(head.position);
            return Err(JournalError::Behind { server: self.server.to_string(), action });
        }
        if missing == 0 {
            return self.tail_until(head, None, now, until, &mut Answers::default());
        }
        let sql = format!(
            "SELECT {}; {}",
            batch_at(schema, &applied.position.to_string()),
            select_tail(schema, applied.position)
        );
        let mut answers = self.link.run(action, deadline, async |session| ask(session, &sql).await)?;
        let found = answers.row().and_then(|row| row.batch_id(0));
        let found = found.map_err(|problem| self.server.damaged("a batch", problem))?;
        self.tail_until(head, found, now, until, &mut answers)
    }

    fn tail_until(
        &self,
        head: HeadRow,
        found: Option<BatchId>,
        now: Timestamp,
        until: u64,
        answers: &mut Answers,
    ) -> Result<Tail, JournalError> {
        let applied = self.applied.get();
        self.head.set(head.position);
        if !head.continues(applied, found) {
            return Err(self.server.tail_lost(applied));
        }
        self.events.set(head.events);
        // A batch may expect that the head is still like this.
        self.expected.replace((until == head.position).then(|| head.clone()));
        let facts = Facts { head, documents_read: self.documents.get(), now };
        self.server.tail(facts, applied, until, &answers.rows())
    }
}
