//! Brings another journal into the shared one.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::types::Type;

use super::answer::{RECORD_COLUMNS, ask};
use super::arrays::{Parameter, RecordArrays, Statement, UNNEST};
use super::checkpoint_rows::{Rows, Sessions};
use super::error::{PostgresError, Refusal};
use super::runtime;
use super::schema::Access;
use super::server::Server;
use super::session::Session;
use super::text::escape;
use super::transaction::{BEGIN, NOW};
use crate::event::{Record, SessionChange, Timestamp};
use crate::journal::columns::rules_data;
use crate::journal::{BatchId, Checkpoint, JournalError, KeptBody, Reader};

/// Number of records per statement.
const BATCH: usize = 5_000;
/// No statement of an import takes longer, also on a slow server.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a wait looks for Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

const IMPORT: &str = "cannot be imported into";

impl Server {
    /// Brings a journal into the shared one, which must be empty: everything in one transaction. Creates the tables if
    /// there are none. `progress` gets the
    /// number of records that were sent. Setting `interrupted` ends it; `from` must fail then, too.
    ///
    /// # Errors
    ///
    /// The shared journal is unchanged. If the connection was lost during the commit, it may have all records.
    pub fn import(
        &self,
        from: &dyn Reader,
        derived: &Derived<'_>,
        interrupted: &AtomicBool,
        progress: impl FnMut(u64),
    ) -> Result<(), JournalError> {
        let session = runtime::handle().block_on(async {
            let session = self.connect().await?;
            self.prepare(&session, Access::Write).await?;
            Ok(session)
        })?;
        let mut import =
            Import { server: self, schema: self.quoted_schema(), session, interrupted, events: 0, position: 0 };
        import.begin()?;
        import.records(from, progress)?;
        import.checkpoint(from, derived.sessions)?;
        import.other(from)?;
        import.finish(from, derived.recorded_until)
    }
}

/// What follows from the records of a journal.
#[derive(Debug, Clone, Copy)]
pub struct Derived<'a> {
    /// The latest time that was recorded or shown.
    pub recorded_until: Timestamp,
    /// All sessions.
    pub sessions: &'a [SessionChange],
}

/// An import in its transaction, which is rolled back when the connection ends.
struct Import<'a> {
    server: &'a Server,
    schema: String,
    session: Session,
    interrupted: &'a AtomicBool,
    events: u64,
    position: u64,
}

impl Import<'_> {
    /// Begins the transaction and keeps all replicas out until its end.
    fn begin(&self) -> Result<(), JournalError> {
        let schema = &self.schema;
        // The times of one batch are too short.
        let sql = format!(
            "{BEGIN} SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT position FROM {schema}.head WHERE id = 1 FOR UPDATE"
        );
        let mut answers = self.wait(ask(&self.session, &sql))?;
        let position = answers.row().and_then(|row| row.number::<u64>(0));
        match position.map_err(|problem| self.server.damaged("the head", problem))? {
            0 => Ok(()),
            _ => Err(self.server.refused(Refusal::NotEmpty(self.server.schema().to_owned()))),
        }
    }

    /// Sends the records, which keep their positions.
    fn records(&mut self, from: &dyn Reader, mut progress: impl FnMut(u64)) -> Result<(), JournalError> {
        let (mut sent, mut written) = (0, Ok(()));
        let mut batch = Vec::with_capacity(BATCH);
        from.replay(0, &mut |record| {
            if written.is_ok() {
                batch.push(record);
                if batch.len() == BATCH {
                    sent += BATCH as u64;
                    written = self.insert_records(&batch);
                    batch.clear();
                    progress(sent);
                }
            }
        })?;
        written?;
        self.insert_records(&batch)?;
        progress(sent + batch.len() as u64);
        Ok(())
    }

    fn insert_records(&mut self, records: &[Record]) -> Result<(), JournalError> {
        let mut rows = RecordArrays::default();
        records.iter().for_each(|record| rows.push(record));
        let schema = &self.schema;
        let insert = format!("INSERT INTO {schema}.records ({RECORD_COLUMNS}) SELECT * FROM {UNNEST}");
        self.execute(&insert, &rows.parameters())?;
        self.events += rows.events();
        self.position = rows.last_position().unwrap_or(self.position);
        Ok(())
    }

    fn checkpoint(&mut self, from: &dyn Reader, sessions: &[SessionChange]) -> Result<(), JournalError> {
        let mut rows = Vec::new();
        from.input_rows(&mut |input_id, row| {
            rows.push((input_id, Some(row)));
            Ok(())
        })?;
        let (mut rows, mut sessions) = (rows.into_iter(), sessions.iter().copied());
        while let Some(part) = Rows::next(&mut rows) {
            self.execute_all(&part.statements(&self.schema))?;
        }
        while let Some(part) = Sessions::next(&mut sessions) {
            self.execute_all(&part.statements(&self.schema))?;
        }
        let Some(Checkpoint { position, rules, version, state }) = from.checkpoint()? else { return Ok(()) };
        self.position = self.position.max(position);
        let (schema, state, rules) = (&self.schema, escape(&state), rules_data(&rules));
        let (state, rules) = (&*state, &*escape(&rules));
        let save = format!(
            "INSERT INTO {schema}.checkpoint (id, position, version, state) VALUES (1, {position}, {version}, $1)"
        );
        self.execute(&save, &[(&state, Type::TEXT)])?;
        self.execute(&format!("INSERT INTO {schema}.rules (id, data) VALUES (1, $1)"), &[(&rules, Type::TEXT)])
    }

    /// Documents, and bodies that were not understood, which keep their numbers.
    fn other(&self, from: &dyn Reader) -> Result<(), JournalError> {
        let schema = &self.schema;
        for (name, text) in from.documents()? {
            let save = format!("INSERT INTO {schema}.documents (name, text) VALUES ($1, $2)");
            self.execute(&save, &[(&name, Type::TEXT), (&&*escape(&text), Type::TEXT)])?;
        }
        let bodies = from.unrecognized()?;
        for KeptBody { number, received_at, reason, body } in &bodies {
            let save = format!(
                "INSERT INTO {schema}.unrecognized (seq, received_at, reason, body) OVERRIDING SYSTEM VALUE \
                 VALUES ({number}, {}, $1, $2)",
                received_at.as_nanos()
            );
            self.execute(&save, &[(&&*escape(reason), Type::TEXT), (body, Type::BYTEA)])?;
        }
        let Some(newest) = bodies.last() else { return Ok(()) };
        let table = format!("{schema}.unrecognized");
        let next = format!("SELECT setval(pg_get_serial_sequence($1, 'seq'), {})", newest.number);
        self.execute(&next, &[(&table, Type::TEXT)])
    }

    /// Moves the head to the imported records, and commits.
    fn finish(self, from: &dyn Reader, recorded_until: Timestamp) -> Result<(), JournalError> {
        let Self { schema, position, events, .. } = &self;
        let (id, recorded_until) = (BatchId::random(), recorded_until.as_nanos());
        self.execute(&format!("INSERT INTO {schema}.batches (id, position) VALUES ('{id}', {position})"), &[])?;
        let last_seen = from.last_seen()?.map(|last_seen| escape(&last_seen).into_owned());
        // A scrape may have shown a later time than the newest record has.
        let head = format!(
            "UPDATE {schema}.head SET position = {position}, batch_id = '{id}', recorded_until = {recorded_until}, \
             events = {events}, documents = documents + 1, last_seen = $1, time = greatest({recorded_until}, {NOW})"
        );
        self.execute(&head, &[(&last_seen, Type::TEXT)])?;
        let commit = async {
            let warnings = self.session.warnings();
            let committed = timeout(DEADLINE, self.session.client.batch_execute("COMMIT")).await;
            committed.map_err(|_| PostgresError::Overdue)?.map_err(PostgresError::Failed)?;
            if self.session.warnings() == warnings { Ok(()) } else { Err(PostgresError::NotDurable) }
        };
        runtime::handle().block_on(commit).map_err(|error| self.server.error(IMPORT, error))
    }

    fn execute_all(&self, statements: &[Statement<'_>]) -> Result<(), JournalError> {
        statements.iter().try_for_each(|(sql, parameters)| self.execute(sql, parameters))
    }

    fn execute(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<(), JournalError> {
        self.wait(async { self.session.client.execute_typed(sql, parameters).await.map_err(PostgresError::Failed) })
            .map(drop)
    }

    /// The result of a statement, unless Ctrl-C comes first.
    fn wait<T>(&self, statement: impl Future<Output = Result<T, PostgresError>>) -> Result<T, JournalError> {
        let raised = async {
            while !self.interrupted.load(Ordering::Relaxed) {
                sleep(TICK).await;
            }
        };
        let ended = runtime::handle().block_on(async {
            tokio::select! {
                ended = timeout(DEADLINE, statement) => ended.unwrap_or(Err(PostgresError::Overdue)),
                () = raised => Err(PostgresError::Interrupted),
            }
        });
        ended.map_err(|error| self.server.error(IMPORT, error))
    }
}
