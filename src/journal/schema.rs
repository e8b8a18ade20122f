//! The tables, and how an older database becomes a current one.

use std::path::Path;

use rusqlite::Connection;

use super::JournalError;
use super::error::failed;

/// Marks the file as ours: `SLEx` as a number.
const APPLICATION_ID: i64 = 0x534c_4578;

/// Migration N leads from version N to version N + 1. What is listed here has been released: it is
/// never changed, only added to.
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
"];

/// Brings the database to the current version, or only checks that it has it.
pub(super) fn prepare(connection: &mut Connection, path: &Path, writable: bool) -> Result<(), JournalError> {
    let failed = |action| failed(path, action);
    let pragma = |connection: &Connection, name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed("cannot be read"))
    };
    let known = MIGRATIONS.len() as i64;
    let found = pragma(connection, "user_version")?;
    let foreign = match pragma(connection, "application_id")? {
        APPLICATION_ID => false,
        // A first start that was killed leaves a database with nothing in it.
        0 => found != 0 || !writable || holds_anything(connection).map_err(failed("cannot be read"))?,
        _ => true,
    };
    if foreign {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(JournalError::Newer { path: path.to_owned(), found, known });
    }
    if writable {
        refuse_damage(connection, path)?;
        configure(connection).map_err(failed("cannot be prepared"))?;
        if found < known {
            migrate(connection, found, MIGRATIONS).map_err(failed("cannot be migrated"))?;
        }
    }
    Ok(())
}

/// What a damaged database says of itself, as far as it does: `header` is its first page.
pub(super) fn refuse_newer(path: &Path, header: &[u8]) -> Result<(), JournalError> {
    let field = |at: usize| header.get(at..at + 4).and_then(|field| field.try_into().ok()).map(i32::from_be_bytes);
    let (found, known) = (field(60).map_or(0, i64::from), MIGRATIONS.len() as i64);
    if header.starts_with(b"SQLite format 3\0") && field(68).map(i64::from) == Some(APPLICATION_ID) && found > known {
        return Err(JournalError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Reads every page before the first is written: 0.2 seconds for 1,000,000 events.
fn refuse_damage(connection: &Connection, path: &Path) -> Result<(), JournalError> {
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
    // The log is transferred when it suits us, and by no commit: that could not tell a failed sync.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    // The write-ahead log may grow while something reads; afterwards it shrinks to this again.
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))
}

pub(super) fn migrate(connection: &mut Connection, from: i64, migrations: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for (version, migration) in (1..).zip(migrations).skip_while(|(version, _)| *version <= from) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}
