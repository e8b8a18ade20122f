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
        let (schema, applied) = (&self.schema, self.applied.get());
        // The head stays locked until the commit, so the tail ends at its position.
        let sql = format!(
            "{BEGIN} UPDATE {schema}.head SET time = greatest(time + 1000, {NOW}) WHERE id = 1 \
             RETURNING {HEAD_COLUMNS}; SELECT {}, {NOW}; {}; COMMIT",
            batch_at(schema, &applied.position.to_string()),
            select_tail(schema, applied.position),
        );
        let mut answers = self.link.run(SCRAPE, Instant::now() + DEADLINE, async |session| {
            let warnings = session.warnings();
            let answers = ask(session, &sql).await?;
            if session.warnings() > warnings { Err(PostgresError::NotDurable) } else { Ok(answers) }
        })?;
        let head = self.server.head(&mut answers)?;
        let mut read = || {
            let row = answers.row()?;
            Ok((row.batch_id(0)?, row.time(1)?))
        };
        let (found, now) = read().map_err(|problem| self.server.damaged("the head", problem))?;
        let (time, until, next) = (head.time, head.position, head.applied());
        if until.saturating_sub(applied.position) > MAX_TAIL {
            self.head.set(head.head());
            return Err(JournalError::Behind { server: self.server.to_string(), action: SCRAPE });
        }
        let tail = self.tail_until(head, found, now, until, &mut answers)?;
        self.applied.set(next);
        Ok(Shown { tail, time })
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
        self.head.set(head.head());
        if !head.continues(applied, found) {
            return Err(self.server.tail_lost(applied));
        }
        self.events.set(head.events);
        let facts = Facts { head, documents_read: self.documents.get(), now, has_batch: false };
        self.server.tail(&facts, applied, until, &answers.rows())
    }
}
