//! The tables, and the migrations of older schemas.
//!
//! Everything runs in transactions and names its schema, so that it works through a pooler.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::error::{PostgresError, Refusal};
use super::server::Server;
use super::session::Session;
use super::views;
use crate::journal::JournalError;

/// The first version whose features are used.
const OLDEST: u32 = 13;
/// A migration waits for those of other replicas, and may have to change every record.
const MIGRATION_DEADLINE: Duration = Duration::from_secs(60);

/// Migration N leads from version N to version N + 1, in several parts. Released migrations are never changed, only added
/// to.
const MIGRATIONS: &[&[&str]] = &[&[TABLES, views::SESSIONS, views::TIME_INDEXES, views::VIEWS]];

const TABLES: &str = "
    CREATE TABLE head (
        id             smallint PRIMARY KEY CHECK (id = 1),
        schema_version int NOT NULL,
        position       bigint NOT NULL,
        batch_id       uuid NOT NULL,
        time           bigint NOT NULL,
        recorded_until bigint NOT NULL,
        events         bigint NOT NULL,
        documents      bigint NOT NULL,
        last_seen      text
    ) WITH (fillfactor = 10);
    -- Random, so that a journal that was created again is not taken for the one before.
    INSERT INTO head VALUES (1, 0, 0, gen_random_uuid(), 0, 0, 0, 0, NULL);
    CREATE TABLE records (
        position    bigint PRIMARY KEY,
        recorded_at bigint NOT NULL,
        shown_until bigint NOT NULL,
        received_at bigint,
        sent_at     bigint,
        updated_at  bigint,
        input_id    text,
        kind        text NOT NULL,
        note        text,
        code        text,
        message     text,
        video_codec text,
        audio_codec text,
        data        text
    );
    CREATE INDEX records_of_input ON records (input_id, position);
    CREATE TABLE batches (
        id       uuid PRIMARY KEY,
        position bigint NOT NULL
    );
    CREATE INDEX batches_by_position ON batches (position);
    CREATE TABLE inputs (
        input_id text PRIMARY KEY,
        position bigint NOT NULL,
        version  int NOT NULL,
        state    text NOT NULL,
        seen     bytea NOT NULL
    );
    CREATE TABLE checkpoint (
        id       smallint PRIMARY KEY CHECK (id = 1),
        position bigint NOT NULL,
        version  int NOT NULL,
        state    text NOT NULL
    );
    CREATE TABLE rules (
        id   smallint PRIMARY KEY CHECK (id = 1),
        data text NOT NULL
    );
    CREATE TABLE documents (
        name text PRIMARY KEY,
        text text NOT NULL
    );
    CREATE TABLE unrecognized (
        seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        received_at bigint NOT NULL,
        reason      text NOT NULL,
        body        bytea NOT NULL
    );
    CREATE TABLE lease (
        id      smallint PRIMARY KEY CHECK (id = 1),
        replica text NOT NULL,
        until   timestamptz NOT NULL
    );
";

/// Version of the schema after all migrations.
#[expect(clippy::cast_possible_truncation, reason = "there are few")]
const KNOWN: i32 = MIGRATIONS.len() as i32;

/// What to do with a schema that is missing or older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Create it or migrate it.
    Write,
    /// Leave it as it is.
    Read,
}

/// Which settings of the server protect what it commits. `None`: the setting cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Durability {
    /// Whether it syncs at all.
    pub(super) fsync: Option<bool>,
    /// Whether commits wait for the disk by default. The journal's own commits always do.
    pub(super) synchronous_commit: Option<bool>,
}

impl Durability {
    /// Whether both are on.
    pub(super) fn is_full(self) -> bool {
        self.fsync == Some(true) && self.synchronous_commit == Some(true)
    }

    /// What is not as it should be.
    pub(super) fn warnings(self) -> impl Iterator<Item = &'static str> {
        let unknown = self.fsync.is_none().then_some("the setting fsync cannot be read; make sure that it is on");
        let by_default = (self.synchronous_commit != Some(true)).then_some(
            "synchronous_commit is off by default; the journal's commits turn it on for themselves, other programs' \
             commits can be lost",
        );
        unknown.into_iter().chain(by_default)
    }
}

impl Server {
    /// Refuses a server or a schema that cannot have the journal. To write it, creates or migrates the schema, and logs
    /// warnings about the server.
    ///
    /// # Errors
    ///
    /// Why a start is refused; or the server is away.
    pub(super) async fn prepare(&self, session: &Session, access: Access) -> Result<Durability, JournalError> {
        let client = &session.client;
        let overdue = |_| self.error("the tables cannot be prepared", PostgresError::Overdue);
        let checked = async { Ok((self.check_settings(client).await?, self.needs_migration(client, access).await?)) };
        let (durability, needs_migration) = timeout(self.limit(), checked).await.map_err(overdue)??;
        if needs_migration {
            timeout(MIGRATION_DEADLINE, self.migrate(client)).await.map_err(overdue)??;
        }
        if access == Access::Write {
            durability.warnings().for_each(|warning| tracing::warn!(server = %self, "{warning}"));
        }
        Ok(durability)
    }

    pub(super) async fn check_settings(&self, client: &Client) -> Result<Durability, JournalError> {
        let setting = async |name: &str| {
            let sql = format!("SELECT current_setting('{name}', true)");
            value(client, &sql).await.map_err(|error| self.cannot_connect(error))
        };
        let version = setting("server_version_num").await?;
        check_version(version.as_deref()).map_err(|refusal| self.refused(refusal))?;
        match setting("server_encoding").await? {
            Some(encoding) if encoding != "UTF8" => return Err(self.refused(Refusal::Encoding(encoding))),
            _ => {}
        }
        // A role may lack the privilege to read some settings.
        let fsync = setting("fsync").await.ok().flatten().map(|value| value == "on");
        if fsync == Some(false) {
            return Err(self.refused(Refusal::NoSync));
        }
        let synchronous_commit = setting("synchronous_commit").await.ok().flatten().map(|value| value != "off");
        Ok(Durability { fsync, synchronous_commit })
    }

    async fn needs_migration(&self, client: &Client, access: Access) -> Result<bool, JournalError> {
        match (self.schema_version(client).await?, access) {
            (Some(KNOWN), _) => Ok(false),
            (_, Access::Write) => Ok(true),
            (None, Access::Read) => Err(self.refused(Refusal::Missing(self.schema().to_owned()))),
            // A reader of this version can only read tables of this version.
            (Some(found), Access::Read) => Err(self.refused(Refusal::Older { found, known: KNOWN })),
        }
    }

    async fn migrate(&self, client: &Client) -> Result<(), JournalError> {
        let failed = |error| self.cannot_prepare(error);
        let begin = format!(
            "BEGIN; SET LOCAL synchronous_commit = on; \
             SELECT pg_advisory_xact_lock(hashtextextended('stream-live-exporter {}', 0))",
            self.schema()
        );
        client.batch_execute(&begin).await.map_err(failed)?;
        let migrated = self.migrate_locked(client).await;
        if migrated.is_err() {
            // The first error is the one to report.
            _ = client.batch_execute("ROLLBACK").await;
            return migrated;
        }
        client.batch_execute("COMMIT").await.map_err(failed)
    }

    /// Reads the version again, because another replica may have migrated before the lock was free.
    async fn migrate_locked(&self, client: &Client) -> Result<(), JournalError> {
        let schema = self.schema();
        let found = self.schema_version(client).await?;
        let mut sql = String::new();
        if found.is_none() {
            // With IF NOT EXISTS, PostgreSQL asks for the privilege also if the schema exists.
            let exists = format!("SELECT 1 FROM pg_namespace WHERE nspname = '{schema}'");
            if value(client, &exists).await.map_err(|error| self.cannot_prepare(error))?.is_none() {
                sql = format!("CREATE SCHEMA \"{schema}\";");
            }
        }
        sql += &format!("SET LOCAL search_path = \"{schema}\", pg_catalog;");
        let applied = usize::try_from(found.unwrap_or_default()).unwrap_or_default();
        sql.extend(MIGRATIONS.iter().skip(applied).copied().flatten().copied());
        sql += &format!("UPDATE head SET schema_version = {KNOWN};");
        client.batch_execute(&sql).await.map_err(|error| self.cannot_prepare(error))
    }

    /// `None` if the schema is missing or empty.
    async fn schema_version(&self, client: &Client) -> Result<Option<i32>, JournalError> {
        let schema = self.schema();
        let failed = |error| self.cannot_prepare(error);
        let foreign = || self.refused(Refusal::Foreign(schema.to_owned()));
        // No row if the schema is missing or has no relation.
        let relations = format!(
            "SELECT coalesce(bool_or(c.relname = 'head' AND a.attname IS NOT NULL), false) FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'schema_version' \
             WHERE n.nspname = '{schema}' HAVING count(*) > 0"
        );
        match value(client, &relations).await.map_err(failed)?.as_deref() {
            None => return Ok(None),
            Some("t") => {}
            Some(_) => return Err(foreign()),
        }
        let version = format!("SELECT schema_version FROM \"{schema}\".head WHERE id = 1");
        let found = value(client, &version).await.map_err(failed)?;
        match found.and_then(|found| found.parse().ok()) {
            Some(found @ 1..=KNOWN) => Ok(Some(found)),
            Some(found @ 1..) => Err(self.refused(Refusal::Newer { schema: schema.to_owned(), found, known: KNOWN })),
            Some(_) | None => Err(foreign()),
        }
    }

    fn cannot_prepare(&self, error: tokio_postgres::Error) -> JournalError {
        self.cannot_use("the tables cannot be prepared", error)
    }
}

/// The version is the major one with four more digits.
pub(super) fn check_version(version: Option<&str>) -> Result<(), Refusal> {
    let version: u32 = version.and_then(|version| version.parse().ok()).unwrap_or(0);
    if version >= OLDEST * 10_000 { Ok(()) } else { Err(Refusal::TooOld(version / 10_000)) }
}

/// The first column of the first row, if there is one.
pub(super) async fn value(client: &Client, sql: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages.iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        row.get(0).map(str::to_owned)
    }))
}
