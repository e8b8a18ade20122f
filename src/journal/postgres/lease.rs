//! The lease: one replica at a time does the housekeeping. Each of its transactions locks the row of the lease, so that
//! no other replica can take it before the commit.

use super::answer::{Answers, ask};
use super::arrays::Statement;
use super::error::PostgresError;
use super::journal::PostgresJournal;
use super::transaction::BEGIN;
use crate::journal::JournalError;

/// Seconds for which a replica gets the lease.
const LEASE: u32 = 15;

/// A lease that ends later was taken while the server's clock was ahead. Its holder may have ended long ago.
const LONGEST: u32 = 2 * LEASE;

impl PostgresJournal {
    /// Takes or keeps the lease. Returns whether this process has it.
    pub(super) fn update_lease(&mut self) -> Result<bool, JournalError> {
        let (schema, replica) = (&self.schema, &self.replica);
        // After a failover that loses the row, the lease is free: it needs no standby.
        let sql = format!(
            "{BEGIN} SET LOCAL synchronous_commit = local; \
             INSERT INTO {schema}.lease AS lease (id, replica, until) \
             VALUES (1, '{replica}', clock_timestamp() + interval '{LEASE} s') \
             ON CONFLICT (id) DO UPDATE SET replica = excluded.replica, until = excluded.until \
             WHERE lease.replica = excluded.replica \
             OR NOT lease.until BETWEEN clock_timestamp() AND clock_timestamp() + interval '{LONGEST} s' \
             RETURNING 1; COMMIT"
        );
        let action = "the lease cannot be renewed";
        let mut answers = self.link.run(action, self.server.deadline(), async |session| ask(session, &sql).await)?;
        Ok(!answers.rows().is_empty())
    }

    /// Ends the lease of this process.
    pub(super) fn end_lease(&mut self) -> Result<(), JournalError> {
        let (schema, replica) = (&self.schema, &self.replica);
        let sql = format!("UPDATE {schema}.lease SET until = clock_timestamp() WHERE id = 1 AND replica = '{replica}'");
        self.link.run("the lease cannot be released", self.server.deadline(), async |session| {
            ask(session, &sql).await.map(drop)
        })
    }

    /// Begins a transaction that only the holder of the lease may make. `read` is part of the same round trip.
    pub(super) fn begin_with_lease(&self, action: &'static str, read: &str) -> Result<(u64, Answers), JournalError> {
        let (schema, replica) = (&self.schema, &self.replica);
        let sql = format!(
            "{BEGIN} SELECT 1 FROM {schema}.lease WHERE id = 1 AND replica = '{replica}' \
             AND until > clock_timestamp() FOR SHARE; {read}"
        );
        let (warnings, mut answers) = self.link.run(action, self.server.deadline(), async |session| {
            let warnings = session.warnings();
            Ok((warnings, ask(session, &sql).await?))
        })?;
        if answers.rows().is_empty() {
            self.link.send("ROLLBACK");
            return Err(JournalError::NotLeader { server: self.server.to_string() });
        }
        Ok((warnings, answers))
    }

    /// Runs the statements of a transaction, one after the other.
    pub(super) fn execute(&self, action: &'static str, statements: &[Statement<'_>]) -> Result<(), JournalError> {
        for (sql, parameters) in statements {
            self.link.run(action, self.server.deadline(), async |session| {
                session.client.execute_typed(sql, parameters).await.map(drop).map_err(PostgresError::Failed)
            })?;
        }
        Ok(())
    }

    /// Runs the last statements of a transaction, and commits it.
    pub(super) fn commit(&self, action: &'static str, warnings: u64, sql: &str) -> Result<Answers, JournalError> {
        self.link.run(action, self.server.deadline(), async |session| {
            let answers = ask(session, &format!("{sql} COMMIT")).await?;
            if session.warnings() > warnings { Err(PostgresError::NotDurable) } else { Ok(answers) }
        })
    }
}
