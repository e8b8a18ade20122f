//! Stage 2: records become durable, each with a position, exactly once.
//!
//! The journal is an SQLite database in WAL mode with `synchronous = FULL`: when [`Append::commit`] returns, the batch
//! has been synced. One process at a time owns a data folder, by a lock on a file beside the database; readers need no
//! lock.
//!
//! If fsync fails, the kernel may mark dirty pages as clean although they were not written, and reports the error only
//! once. A later fsync that succeeds therefore proves nothing. The caller must stop on
//! [`JournalErrorKind::SyncFailed`]. The WAL is left in place, and the next start rewrites and syncs it
//! ([`Journal::recover_wal`]). For the same reason SQLite's automatic WAL checkpoints are off: they do not report a
//! failed sync.
//!
//! | table | content |
//! |---|---|
//! | `records` | the journal: every record, without gaps in the positions; the oldest are deleted after the retention |
//! | `other_records` | the positions of records that are not events, to count them |
//! | `inputs` | state per input, each row with the position up to which it has the records |
//! | `checkpoint`, `rules` | state of all inputs together and the rules, as of the checkpoint's position |
//! | `last_seen` | when deliveries were last seen, with or without an event |
//! | `unrecognized` | the newest authenticated bodies that were not understood |
//!
//! Times are nanoseconds since the Unix epoch. For this module, the recorder's values in `inputs`, `checkpoint` and
//! `last_seen` are opaque text and bytes with a version number.

mod append;
mod check;
mod checkpoint;
mod error;
mod lock;
mod rows;
mod salvage;
mod schema;
mod wal;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, params};

pub use append::Append;
pub use check::FolderUse;
pub use checkpoint::{Checkpoint, InputRow};
pub use error::{JournalError, JournalErrorKind};
pub use rows::Unrecognized;
pub use salvage::Salvaged;

use crate::event::{Record, Timestamp};
use error::failed;
use lock::{LOCK_FILE, Lock};
use wal::wal_file;

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "journal.db";
/// Scratch file that [`Journal::probe`] writes to check for free disk space, and its size in bytes.
const PROBE_FILE: &str = "journal.room";
const PROBE_SIZE: usize = 64 << 10;

/// How long a write waits for the lock of another program: shorter than the time after which the recorder treats the disk
/// as hanging, so that the cause that is reported is the lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The durable records and the checkpoint of their state.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// Position of the oldest kept record; `next` if there is none.
    first: u64,
    /// Position of the next record.
    next: u64,
    /// Number of kept records that are not events.
    other_records: u64,
    /// Pages in the WAL after the last commit.
    wal_pages: Arc<AtomicI64>,
    /// Held as long as the journal may be written.
    _lock: Option<Lock>,
}

impl Journal {
    /// Opens the journal in a data folder and owns it. A missing folder is created, an older schema is migrated.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if another process owns the folder; otherwise why the journal cannot be used. A file
    /// that cannot be used is never overwritten.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(in_folder)?;
        let lock = Lock::take(folder).map_err(in_folder)?.ok_or(JournalError::InUse { path: folder.to_owned() })?;
        let path = folder.join(DATABASE_FILE);
        refuse_wal_without_database(&path)?;
        let connection = Connection::open(&path).map_err(failed(&path, "cannot be opened"))?;
        let journal = Self::prepare(connection, path, Some(lock))?;
        // Without a synced directory entry, a power failure could lose the file.
        [Some(folder), folder.parent()].into_iter().flatten().try_for_each(sync_folder)?;
        Ok(journal)
    }

    /// Opens the journal for reading only, also while a daemon is writing it.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn open_to_read(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(DATABASE_FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed(&path, "cannot be opened"))?;
        Self::prepare(connection, path, None)
    }

    /// Opens the journal of a stopped daemon for reading only, and owns it. No journal is created or migrated.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if another process owns the folder; otherwise why it cannot be read.
    pub fn open_stopped(folder: &Path) -> Result<Self, JournalError> {
        let lock = Lock::take(folder).map_err(|source| JournalError::Folder { path: folder.to_owned(), source })?;
        let lock = lock.ok_or(JournalError::InUse { path: folder.to_owned() })?;
        Ok(Self { _lock: Some(lock), ..Self::open_to_read(folder)? })
    }

    fn prepare(mut connection: Connection, path: PathBuf, lock: Option<Lock>) -> Result<Self, JournalError> {
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(&path, "cannot be opened"))?;
        wal::keep_wal_on_close(&connection, true).map_err(failed(&path, "cannot be opened"))?;
        schema::prepare(&mut connection, &path, lock.is_some())?;
        let wal_pages = wal::count_wal_pages(&mut connection).map_err(failed(&path, "cannot be prepared"))?;
        let mut journal = Self { wal_pages, _lock: lock, ..Self::unbounded(connection, path) };
        journal.find_bounds().map_err(failed(&journal.path, "cannot be read"))?;
        Ok(journal)
    }

    /// A journal whose bounds are not known yet, to read a checkpoint from.
    fn unbounded(connection: Connection, path: PathBuf) -> Self {
        Self { connection, path, first: 0, next: 0, other_records: 0, wal_pages: Arc::default(), _lock: None }
    }

    fn find_bounds(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT (SELECT min(position) FROM records), (SELECT max(position) FROM records), \
                   (SELECT count(*) FROM other_records)";
        let (first, last): (Option<u64>, Option<u64>);
        (first, last, self.other_records) =
            self.connection.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        self.next = last.unwrap_or(0).max(self.checkpoint_position()?) + 1;
        self.first = first.unwrap_or(self.next);
        Ok(())
    }

    /// Appends records atomically, as one batch. They get their positions.
    ///
    /// # Errors
    ///
    /// Nothing was recorded.
    pub fn append(&mut self, records: &mut [Record]) -> Result<(), JournalError> {
        let mut append = self.begin()?;
        append.records(records.iter_mut())?;
        append.commit()
    }

    /// The last appended times at which deliveries were last seen, opaque; `None` if there are none yet.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn last_seen(&self) -> Result<Option<String>, JournalError> {
        let select = self.connection.query_one("SELECT state FROM last_seen", [], |row| row.get(0)).optional();
        select.map_err(failed(&self.path, "cannot be read"))
    }

    /// Calls `visit` with every kept record after this position, in order.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn replay(&self, after: u64, visit: impl FnMut(Record)) -> Result<(), JournalError> {
        self.visit(rows::SELECT_RECORDS, params![after], visit)
    }

    /// The newest events, newest first.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn newest_events(&self, count: u64) -> Result<Vec<Record>, JournalError> {
        let mut newest = Vec::new();
        let sql =
            rows::SELECT_RECORDS.replace("ORDER BY position", "AND received_at IS NOT NULL ORDER BY position DESC");
        self.visit(&format!("{sql} LIMIT ?2"), params![0, count], |record| newest.push(record))?;
        Ok(newest)
    }

    fn visit(&self, sql: &str, parameters: impl Params, mut visit: impl FnMut(Record)) -> Result<(), JournalError> {
        let failed = || failed(&self.path, "cannot be read");
        let mut select = self.connection.prepare(sql).map_err(failed())?;
        let mut rows = select.query(parameters).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            let position = row.get(0).map_err(failed())?;
            let record = rows::read_record(position, row);
            visit(record.map_err(|problem| self.damaged(&format!("record {position}"), problem))?);
        }
        Ok(())
    }

    /// Deletes up to `limit` of the oldest records: those that are part of the checkpoint and have no record before them
    /// that was recorded since `horizon`. Returns their number.
    ///
    /// The time of a record from after `now` was recorded by a wrong clock. Such a record is as old as the next one.
    ///
    /// # Errors
    ///
    /// Nothing was deleted.
    pub fn expire(&mut self, horizon: Timestamp, now: Timestamp, limit: u64) -> Result<u64, JournalError> {
        let position = self.checkpoint_position().map_err(failed(&self.path, "the checkpoint cannot be read"))?;
        let last = position.min((self.first + limit).saturating_sub(1));
        let old = params![last, horizon.as_nanos(), now.as_nanos()];
        let first = self.first;
        let (expired, others) = self.transaction("cannot be expired", |transaction| {
            let delete = "DELETE FROM records WHERE position <= ( \
                SELECT max(position) FROM records WHERE recorded_at < ?2 AND position < coalesce( \
                    (SELECT min(position) FROM records WHERE position <= ?1 AND recorded_at BETWEEN ?2 AND ?3), ?1 + 1))";
            let expired = transaction.prepare_cached(delete)?.execute(old)? as u64;
            let delete = "DELETE FROM other_records WHERE position < ?1";
            let others = transaction.prepare_cached(delete)?.execute(params![first + expired])? as u64;
            Ok((expired, others))
        })?;
        self.first += expired;
        self.other_records -= others;
        Ok(expired)
    }

    /// Checks that the journal can be written and that the disk has some free space.
    ///
    /// # Errors
    ///
    /// The journal cannot be written.
    pub fn probe(&mut self) -> Result<(), JournalError> {
        let scratch = self.path.with_file_name(PROBE_FILE);
        let written = fs::write(&scratch, [0; PROBE_SIZE]).and_then(|()| File::open(&scratch)?.sync_all());
        // If it could not be created, there is nothing to remove.
        let _ = fs::remove_file(&scratch);
        written.map_err(|source| JournalError::Folder { path: scratch, source })?;
        self.transaction("cannot be written", |transaction| {
            transaction.execute("UPDATE probe SET count = count + 1", []).map(drop)
        })
    }

    /// Runs SQLite's own check of the whole file. Returns every problem that it finds.
    ///
    /// # Errors
    ///
    /// The check could not run.
    pub fn integrity_problems(&self) -> Result<Vec<String>, JournalError> {
        let failed = || failed(&self.path, "cannot be checked");
        let mut check = self.connection.prepare("PRAGMA integrity_check").map_err(failed())?;
        let lines = check.query_map([], |row| row.get::<_, String>(0)).map_err(failed())?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(failed())?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Position of the newest record; 0 before the first.
    pub fn last_position(&self) -> u64 {
        self.next - 1
    }

    /// Number of kept events.
    pub fn events(&self) -> u64 {
        self.next - self.first - self.other_records
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn transaction<T>(
        &mut self,
        action: &'static str,
        write: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let written = self.connection.transaction().and_then(|transaction| {
            let written = write(&transaction)?;
            transaction.commit().map(|()| written)
        });
        written.map_err(|source| self.not_written(action, source))
    }

    fn not_written(&self, action: &'static str, source: rusqlite::Error) -> JournalError {
        let error = failed(&self.path, action)(source);
        match error.kind() {
            JournalErrorKind::SyncFailed => {
                // Only a connection in use refuses this, and this one is not.
                let _ = wal::keep_wal_on_close(&self.connection, true);
                error
            }
            JournalErrorKind::Other if is_read_only(&self.path) => {
                JournalError::ReadOnly { path: self.path.clone(), action }
            }
            JournalErrorKind::DiskFull
            | JournalErrorKind::ReadOnly
            | JournalErrorKind::Busy
            | JournalErrorKind::Damaged
            | JournalErrorKind::Other => error,
        }
    }

    fn damaged(&self, row: &str, problem: &'static str) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), row: row.to_owned(), problem }
    }
}

/// Size of the journal in a data folder: database and WAL, in bytes.
pub fn size_bytes(folder: &Path) -> u64 {
    let size =
        |suffix: &str| fs::metadata(folder.join(format!("{DATABASE_FILE}{suffix}"))).map_or(0, |file| file.len());
    size("") + size("-wal")
}

/// SQLite treats an empty file as a new database, and deletes its WAL.
fn refuse_wal_without_database(path: &Path) -> Result<(), JournalError> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    if size(path) == 0 && size(&wal_file(path)) > 0 {
        let problem = "it is missing or empty, but its WAL is not".to_owned();
        return Err(JournalError::Unsound { path: path.to_owned(), problem });
    }
    Ok(())
}

/// SQLite reports one error for every write that the disk refuses; the lock file shows whether it is read-only.
fn is_read_only(path: &Path) -> bool {
    let lock = File::options().write(true).open(path.with_file_name(LOCK_FILE));
    lock.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| JournalError::FolderUnsynced { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests;
