//! The tables of the spool.

use crate::journal::sqlite::Schema;

/// `SLEs` as a number marks the file.
pub(super) static SPOOL: Schema = Schema { application_id: 0x534c_4573, migrations: MIGRATIONS, views: &[] };

/// `records` and `last_seen` are as in a journal. A batch has the records from the first to the last one. Its id is null
/// until it is tried; until then, later records are added to it. `batch` of a body is null until the body is part of one.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE batches (
        number       INTEGER PRIMARY KEY,
        id           BLOB,
        first_record INTEGER NOT NULL,
        last_record  INTEGER NOT NULL
    ) STRICT;
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
    CREATE TABLE unrecognized (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        batch       INTEGER,
        received_at INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        body        BLOB NOT NULL
    ) STRICT;
    CREATE TABLE last_seen (
        id    INTEGER PRIMARY KEY CHECK (id = 1),
        state TEXT NOT NULL
    ) STRICT;
"];
