//! Stage 2: an event becomes durable, numbered, once.
//!
//! The journal is an SQLite database in WAL mode with `synchronous = FULL`: when [`Journal::append`]
//! returns, the batch has been synced. One process owns a data folder at a time, by a lock on a file
//! beside the database; readers need none.
//!
//! When a sync fails, the system may take for written what never reached the disk, and says so only
//! once: nothing that is in memory can be believed any more, and no later sync makes it true. So
//! whoever sees [`JournalErrorKind::SyncFailed`] must stop. The write-ahead log then stays as it is, and the
//! next [`Journal::recover_wal`] writes all of it anew. For the same reason SQLite must not transfer the log
//! by itself: it keeps quiet when that fails.
//!
//! | table | holds |
//! |---|---|
//! | `events` | the log: every recorded event, numbered without gaps, oldest deleted after the retention |
//! | `inputs`, `checkpoint` | the fold of all events up to a position, so that a restart replays only the rest |
//! | `deliveries` | what is kept of all deliveries together, whatever they said |
//! | `unrecognized` | the newest authenticated bodies that were not understood |
//!
//! Times are nanoseconds since the Unix epoch. The journal knows nothing of what its events amount
//! to: the contents of the checkpoint and of `deliveries` are opaque texts and bytes here.

mod error;
mod checkpoint;
mod lock;
mod rows;
mod salvage;
mod schema;

use std::ffi::c_int;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

pub use checkpoint::{Checkpoint, InputRow};
pub use error::{JournalError, JournalErrorKind};
pub use rows::{Entry, Unrecognized};
pub use salvage::Salvaged;

use crate::event::Timestamp;
use error::failed;
use lock::{LOCK_FILE, Lock};

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "journal.db";
/// So many bodies that were not understood are kept.
const UNRECOGNIZED_KEPT: u64 = 1000;
/// A write-ahead log with so many pages that the database does not have is transferred to it.
const WAL_CHECKPOINT_PAGES: i64 = 500;
/// What stands here for a moment tells whether the disk has so much room, in bytes.
const PROBE_FILE: &str = "journal.room";
const PROBE_SIZE: usize = 64 << 10;

/// The durable log of events and the checkpoint of their fold.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// The number of the oldest kept event; one past the newest when there is none.
    first: u64,
    /// The number that the next event gets.
    next: u64,
    /// How many pages the write-ahead log had after the last commit.
    wal_pages: Arc<AtomicI64>,
    /// Held for as long as the journal may be written.
    _lock: Option<Lock>,
}

impl Journal {
    /// Opens the journal in a data folder, which is made when it does not exist, and owns it.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] when another process owns the folder; otherwise what stands in the
    /// way of using it. What cannot be used is never overwritten.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(in_folder)?;
        let lock = Lock::take(folder).map_err(in_folder)?.ok_or(JournalError::InUse { path: folder.to_owned() })?;
        let path = folder.join(DATABASE_FILE);
        refuse_wal_without_database(&path)?;
        let connection = Connection::open(&path).map_err(failed(&path, "cannot be opened"))?;
        let journal = Self::prepare(connection, path, Some(lock))?;
        // The files are of no use when the folder that names them is not on the disk.
        [Some(folder), folder.parent()].into_iter().flatten().try_for_each(sync_folder)?;
        Ok(journal)
    }

    /// Opens the journal for reading alone, also while a daemon is writing it.
    ///
    /// # Errors
    ///
    /// What stands in the way of reading it.
    pub fn open_to_read(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(DATABASE_FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed(&path, "cannot be opened"))?;
        Self::prepare(connection, path, None)
    }

    fn prepare(mut connection: Connection, path: PathBuf, lock: Option<Lock>) -> Result<Self, JournalError> {
        keep_wal_on_close(&connection, true).map_err(failed(&path, "cannot be opened"))?;
        schema::prepare(&mut connection, &path, lock.is_some())?;
        let (first, last): (Option<u64>, Option<u64>) = connection
            .query_one("SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(failed(&path, "cannot be read"))?;
        let wal_pages = count_wal_pages(&mut connection).map_err(failed(&path, "cannot be prepared"))?;
        let mut journal = Self { connection, path, first: 0, next: 0, wal_pages, _lock: lock };
        let position = journal.checkpoint()?.map_or(0, |checkpoint| checkpoint.position);
        journal.next = last.unwrap_or(0).max(position) + 1;
        journal.first = first.unwrap_or(journal.next);
        Ok(journal)
    }

    /// Goes on where an earlier process has ended, however it did: what it left in the write-ahead log
    /// is written into the database and synced, because what is read back after a failed sync may
    /// never have reached the disk. Until then nothing but a migration writes to the database.
    ///
    /// # Errors
    ///
    /// The database is what it was before.
    pub fn recover_wal(&mut self) -> Result<(), JournalError> {
        self.checkpoint_wal("truncate")?;
        keep_wal_on_close(&self.connection, false).map_err(failed(&self.path, "cannot be prepared"))
    }

    /// Transfers the write-ahead log to the database when it has become long; whether it had and is no more. While
    /// somebody reads the database, what came after they began stays in the log.
    ///
    /// # Errors
    ///
    /// It stays in the log.
    pub fn checkpoint_wal_if_large(&mut self) -> Result<bool, JournalError> {
        // Whether that is transferred already is asked only then: the question is a twentieth of the time that a batch
        // takes.
        let may_be_long = self.wal_pages.load(Ordering::Relaxed) >= WAL_CHECKPOINT_PAGES;
        Ok(may_be_long
            && self.checkpoint_wal("noop")? >= WAL_CHECKPOINT_PAGES
            && self.checkpoint_wal("passive")? < WAL_CHECKPOINT_PAGES)
    }

    /// Transfers all of the write-ahead log to the database, before the end.
    ///
    /// # Errors
    ///
    /// It stays in the log.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.checkpoint_wal("passive").map(drop)
    }

    /// Makes a batch durable: all of it or nothing. Entries get their numbers here. What is kept of all
    /// deliveries, [`Journal::last_seen`], is replaced by what is given.
    ///
    /// # Errors
    ///
    /// The batch was not recorded; the journal is as it was.
    pub fn append(
        &mut self,
        entries: &mut [Entry],
        unrecognized: &[Unrecognized],
        deliveries: Option<&str>,
    ) -> Result<(), JournalError> {
        let next = self.next;
        for (seq, entry) in (next..).zip(entries.iter_mut()) {
            entry.seq = seq;
        }
        self.transaction("cannot be appended to", |transaction| {
            let mut insert = transaction.prepare_cached(rows::INSERT_EVENT)?;
            entries.iter().try_for_each(|entry| rows::insert_event(&mut insert, entry))?;
            if !unrecognized.is_empty() {
                rows::insert_unrecognized(transaction, unrecognized, UNRECOGNIZED_KEPT)?;
            }
            if let Some(deliveries) = deliveries {
                let mut save =
                    transaction.prepare_cached("INSERT OR REPLACE INTO deliveries (id, state) VALUES (1, ?1)")?;
                save.execute(params![deliveries])?;
            }
            Ok(())
        })?;
        self.next += entries.len() as u64;
        Ok(())
    }

    /// What is kept of all deliveries together, as it was appended last; `None` before that.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn last_seen(&self) -> Result<Option<String>, JournalError> {
        let read = || {
            // A journal that is only read may be older than the table.
            let there = self.connection.table_exists(None, "deliveries")?;
            let select = || self.connection.query_one("SELECT state FROM deliveries", [], |row| row.get(0)).optional();
            if there { select() } else { Ok(None) }
        };
        read().map_err(failed(&self.path, "cannot be read"))
    }

    /// Calls `visit` with every kept event after the position, in order.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn replay(&self, after: u64, mut visit: impl FnMut(Entry)) -> Result<(), JournalError> {
        let failed = || failed(&self.path, "cannot be read");
        let mut select = self.connection.prepare(rows::SELECT_EVENTS_AFTER).map_err(failed())?;
        let mut rows = select.query(params![after]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            visit(rows::read_event(row).map_err(|damage| self.damaged(row, damage))?);
        }
        Ok(())
    }

    /// The newest events, oldest first.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn newest(&self, count: u64) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        self.replay(self.next.saturating_sub(count + 1), |entry| entries.push(entry))?;
        Ok(entries)
    }

    /// Deletes up to `limit` of the oldest events: those that were recorded before `horizon` and are
    /// part of the checkpoint. Returns how many.
    ///
    /// # Errors
    ///
    /// Nothing was deleted.
    pub fn expire(&mut self, horizon: Timestamp, limit: u64) -> Result<u64, JournalError> {
        let position = self.checkpoint()?.map_or(0, |checkpoint| checkpoint.position);
        let last = position.min((self.first + limit).saturating_sub(1));
        let expired = self.transaction("cannot be expired", |transaction| {
            transaction
                .execute("DELETE FROM events WHERE seq <= ?1 AND recorded_at < ?2", params![last, horizon.as_nanos()])
        })?;
        self.first += expired as u64;
        Ok(expired as u64)
    }

    /// Writes something to the journal, and more beside it: whether there is room for what may come.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn probe(&mut self) -> Result<(), JournalError> {
        let room = self.path.with_file_name(PROBE_FILE);
        let written = fs::write(&room, [0; PROBE_SIZE]).and_then(|()| File::open(&room)?.sync_all());
        // When it was not made it cannot be removed either.
        let _ = fs::remove_file(&room);
        written.map_err(|source| JournalError::Folder { path: room, source })?;
        self.transaction("cannot be written", |transaction| {
            transaction.execute("UPDATE probe SET count = count + 1", []).map(drop)
        })
    }

    /// SQLite's own check of the whole file: every problem that it finds.
    ///
    /// # Errors
    ///
    /// The check could not be made.
    pub fn integrity_problems(&self) -> Result<Vec<String>, JournalError> {
        let failed = || failed(&self.path, "cannot be checked");
        let mut check = self.connection.prepare("PRAGMA integrity_check").map_err(failed())?;
        let lines = check.query_map([], |row| row.get::<_, String>(0)).map_err(failed())?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(failed())?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// The number of the newest event ever recorded; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.next - 1
    }

    /// How many events are kept.
    pub fn events(&self) -> u64 {
        self.next - self.first
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

    /// Transfers the write-ahead log as far as the mode says; how many pages are only in the log then.
    fn checkpoint_wal(&mut self, mode: &str) -> Result<i64, JournalError> {
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        let left = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?);
        self.connection.query_one(&pragma, [], left).map_err(|source| self.not_written("cannot be written", source))
    }

    fn not_written(&self, action: &'static str, source: rusqlite::Error) -> JournalError {
        let error = failed(&self.path, action)(source);
        match error.kind() {
            JournalErrorKind::SyncFailed => {
                // Nothing but a connection that is in use refuses that, and this one is not.
                let _ = keep_wal_on_close(&self.connection, true);
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

    fn damaged(&self, row: &rusqlite::Row<'_>, problem: &'static str) -> JournalError {
        let seq = row.get::<_, i64>(0).unwrap_or_default();
        JournalError::Damaged { path: self.path.clone(), row: format!("event {seq}"), problem }
    }
}

/// The size of the journal in a data folder: database and write-ahead log, in bytes.
pub fn size_bytes(folder: &Path) -> u64 {
    let size =
        |suffix: &str| fs::metadata(folder.join(format!("{DATABASE_FILE}{suffix}"))).map_or(0, |file| file.len());
    size("") + size("-wal")
}

/// Counts the pages of the write-ahead log from now on.
fn count_wal_pages(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicI64>> {
    let pages = Arc::new(AtomicI64::new(0));
    let counted = pages.clone();
    let count = move |_: &mut Wal, pages: c_int| {
        counted.store(pages.into(), Ordering::Relaxed);
        Ok(())
    };
    connection.wal_hook(Some(count))?;
    Ok(pages)
}

/// Whether the write-ahead log stays beside the database when the connection ends.
fn keep_wal_on_close(connection: &Connection, leave: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave).map(drop)
}

/// SQLite takes an empty file for a new database, and deletes the log beside it.
fn refuse_wal_without_database(path: &Path) -> Result<(), JournalError> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    if size(path) == 0 && size(&wal_file(path)) > 0 {
        let problem = "it is missing or empty, but its write-ahead log is not".to_owned();
        return Err(JournalError::Unsound { path: path.to_owned(), problem });
    }
    Ok(())
}

/// SQLite has one error for all that a disk may refuse; a file of ours that is there can tell more.
fn is_read_only(path: &Path) -> bool {
    let lock = File::options().write(true).open(path.with_file_name(LOCK_FILE));
    lock.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| JournalError::FolderUnsynced { path: folder.to_owned(), source })
}

/// The database's write-ahead log.
fn wal_file(path: &Path) -> PathBuf {
    path.with_file_name(format!("{DATABASE_FILE}-wal"))
}

#[cfg(test)]
mod tests;
