//! The tables, and the migrations of older databases.

use std::path::Path;

use rusqlite::Connection;

use super::JournalError;
use crate::journal::error::failed;

/// The tables of a database, and how they came to be.
#[derive(Debug)]
pub(in crate::journal) struct Schema {
    /// Marks the file as this database.
    pub(in crate::journal) application_id: i64,
    /// Migration N leads from version N to version N + 1. Released migrations are never changed, only added to.
    pub(in crate::journal) migrations: &'static [&'static str],
    /// Show a database of an older version to a reader as if it were migrated: one with the last of these if it is of
    /// the version before, with the last two if it is of the one before that, and so on.
    pub(in crate::journal) views: &'static [&'static str],
}

/// The journal. `SLEx` as a number marks its file.
pub(super) static JOURNAL: Schema = Schema { application_id: 0x534c_4578, migrations: MIGRATIONS, views: &VIEWS };

/// The rules in force at a checkpoint of version 2, which had only the reconnect window.
macro_rules! rules_of_version_2 {
    () => {
        "SELECT 1 AS id, json_object('version', 1, 'reconnect_window', state -> '$.reconnect_window', \
            'max_inputs', 0, 'configured', json('[]')) AS data \
        FROM main.checkpoint WHERE json_valid(state)"
    };
}

/// Rows of inputs that a checkpoint of version 2 names as forgotten.
macro_rules! forgotten_of_version_2 {
    () => {
        "SELECT value ->> 0 AS input_id, value ->> 1 AS position, 1 AS version, \
            json_object('forgotten_at', state -> '$.recorded_until') AS state, x'' AS seen \
        FROM main.checkpoint, json_each(CASE WHEN json_valid(state) THEN state ELSE '{}' END, '$.forgotten')"
    };
}

pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE events (
        seq         INTEGER PRIMARY KEY,
        recorded_at INTEGER NOT NULL,
        shown_until INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        sent_at     INTEGER,
        updated_at  INTEGER NOT NULL,
        input_id    TEXT NOT NULL,
        event       TEXT NOT NULL,
        note        TEXT,
        code        TEXT,
        message     TEXT,
        video_codec TEXT,
        audio_codec TEXT
    ) STRICT;
    CREATE TABLE inputs (
        input_id   TEXT PRIMARY KEY,
        state      TEXT NOT NULL,
        identities BLOB NOT NULL
    ) STRICT;
    CREATE TABLE checkpoint (
        id       INTEGER PRIMARY KEY CHECK (id = 1),
        position INTEGER NOT NULL,
        state    TEXT NOT NULL
    ) STRICT;
    CREATE TABLE unrecognized (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        received_at INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        body        BLOB NOT NULL
    ) STRICT;
    CREATE TABLE probe (count INTEGER NOT NULL) STRICT;
    INSERT INTO probe VALUES (0);
", "
    CREATE TABLE deliveries (
        id    INTEGER PRIMARY KEY CHECK (id = 1),
        state TEXT NOT NULL
    ) STRICT;
    INSERT INTO deliveries
        SELECT 1, deliveries FROM
            (SELECT CASE WHEN json_valid(state) THEN json_extract(state, '$.deliveries') END AS deliveries FROM checkpoint)
        WHERE deliveries IS NOT NULL;
", concat!("
    CREATE TABLE records (
        position    INTEGER PRIMARY KEY,
        recorded_at INTEGER NOT NULL,
        shown_until INTEGER NOT NULL,
        received_at INTEGER,
        sent_at     INTEGER,
        updated_at  INTEGER,
        input_id    TEXT,
        kind        TEXT NOT NULL,
        note        TEXT,
        code        TEXT,
        message     TEXT,
        video_codec TEXT,
        audio_codec TEXT,
        data        TEXT
    ) STRICT;
    INSERT INTO records SELECT *, NULL FROM events;
    DROP TABLE events;
    CREATE TABLE other_records (position INTEGER PRIMARY KEY) STRICT;
    ALTER TABLE inputs RENAME COLUMN identities TO seen;
    ALTER TABLE inputs ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE inputs ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
    INSERT INTO inputs (input_id, position, version, state, seen) ", forgotten_of_version_2!(), ";
    ALTER TABLE checkpoint ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
    CREATE TABLE rules (
        id   INTEGER PRIMARY KEY CHECK (id = 1),
        data TEXT NOT NULL
    ) STRICT;
    INSERT INTO rules ", rules_of_version_2!(), ";
    ALTER TABLE deliveries RENAME TO last_seen;
"), "
    CREATE TABLE documents (
        name TEXT PRIMARY KEY,
        text TEXT NOT NULL
    ) STRICT;
"];

const VIEWS: [&str; 3] = ["
    CREATE TEMP VIEW deliveries AS
        SELECT 1 AS id, CASE WHEN json_valid(state) THEN json_extract(state, '$.deliveries') END AS state
        FROM main.checkpoint WHERE json_valid(state) AND json_extract(state, '$.deliveries') IS NOT NULL;
", concat!("
    CREATE TEMP VIEW records AS
        SELECT seq AS position, recorded_at, shown_until, received_at, sent_at, updated_at, input_id, event AS kind, note,
            code, message, video_codec, audio_codec, NULL AS data
        FROM main.events;
    CREATE TEMP VIEW other_records AS SELECT seq AS position FROM main.events WHERE FALSE;
    CREATE TEMP VIEW inputs AS
        SELECT input_id, 0 AS position, 1 AS version, state, identities AS seen FROM main.inputs
        UNION ALL ", forgotten_of_version_2!(), ";
    CREATE TEMP VIEW checkpoint AS SELECT id, position, 1 AS version, state FROM main.checkpoint;
    CREATE TEMP VIEW rules AS ", rules_of_version_2!(), ";
    CREATE TEMP VIEW last_seen AS SELECT id, state FROM deliveries;
"), "
    CREATE TEMP VIEW documents AS SELECT '' AS name, '' AS text WHERE FALSE;
"];

impl Schema {
    /// Migrates the database to the current version. For a reader, shows an older one as if it were migrated.
    pub(super) fn prepare(&self, connection: &mut Connection, path: &Path, writable: bool) -> Result<(), JournalError> {
        let failed = |action| failed(path, action);
        let pragma = |connection: &Connection, name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed("cannot be read"))
        };
        let known = self.version();
        let found = pragma(connection, "user_version")?;
        let application_id = pragma(connection, "application_id")?;
        // A first start that was killed leaves an empty database.
        let is_empty =
            application_id == 0 && found == 0 && !holds_anything(connection).map_err(failed("cannot be read"))?;
        if is_empty && !writable {
            return Err(JournalError::Missing { path: path.to_owned() });
        }
        if !is_empty && application_id != self.application_id {
            return Err(JournalError::Foreign { path: path.to_owned() });
        }
        if found > known {
            return Err(JournalError::Newer { path: path.to_owned(), found, known });
        }
        if !writable {
            let views = self.views[self.views.len() - usize::try_from(known - found).unwrap_or_default()..].concat();
            connection.execute_batch(&views).map_err(failed("cannot be read"))?;
        } else {
            refuse_damage(connection, path)?;
            configure(connection).map_err(failed("cannot be prepared"))?;
            if found < known {
                self.migrate(connection, found).map_err(failed("cannot be migrated"))?;
            }
        }
        Ok(())
    }

    /// The newest version.
    pub(super) fn version(&self) -> i64 {
        self.migrations.len() as i64
    }

    fn migrate(&self, connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for (version, migration) in (1..).zip(self.migrations).skip_while(|(version, _)| *version <= from) {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
        }
        transaction.pragma_update(None, "application_id", self.application_id)?;
        transaction.commit()
    }
}

/// Refuses a database of a newer version, even a damaged one if its first page can be read.
pub(super) fn refuse_newer(path: &Path, header: &[u8]) -> Result<(), JournalError> {
    let field = |at: usize| header.get(at..at + 4).and_then(|field| field.try_into().ok()).map(i32::from_be_bytes);
    let (found, known) = (field(60).map_or(0, i64::from), JOURNAL.version());
    if header.starts_with(b"SQLite format 3\0")
        && field(68).map(i64::from) == Some(JOURNAL.application_id)
        && found > known
    {
        return Err(JournalError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Reads every page before the first write: 0.2 seconds for 1,000,000 events.
pub(super) fn refuse_damage(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let problem: String =
        connection.query_one("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed(path, "cannot be read"))?;
    if problem == "ok" { Ok(()) } else { Err(JournalError::Unsound { path: path.to_owned(), problem }) }
}

fn holds_anything(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_one("SELECT EXISTS (SELECT * FROM sqlite_schema)", [], |row| row.get(0))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // The recorder runs WAL checkpoints: one in a commit would not report a failed sync.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    // The WAL may grow while a reader is active. Afterwards it shrinks to this size.
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))
}
