//! A database that one process writes: how it is opened, written and recovered. The journal is one, the spool another.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};

use super::lock::LOCK_FILE;
use super::schema::{self, Schema};
use super::wal_file::{count_wal_pages, keep_wal_on_close, wal_file};
use super::{JournalError, JournalErrorKind, files, space};
use crate::journal::error::failed;

/// How long a write waits for the lock of another program, so that the cause that is reported is the lock: shorter than
/// the time after which the recorder treats the disk as hanging (3 s), and less than half of the time that a request waits
/// (4 s), because a delivery may wait for the write before its own too.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

/// An open database.
#[derive(Debug)]
pub(in crate::journal) struct Database {
    pub(in crate::journal) connection: Connection,
    pub(in crate::journal) path: PathBuf,
    schema: &'static Schema,
    /// Pages in the WAL after the last commit.
    pub(super) wal_pages: Arc<AtomicI64>,
    /// The disk was full when it was opened: it can be read, and is writable after [`Database::recover_wal`].
    pub(super) suspended: bool,
}

impl Database {
    /// Opens a database to write it, and creates it if it is missing. The process must own the folder.
    ///
    /// On a full disk it is opened for reading, and refuses to be written until [`Database::recover_wal`] succeeds.
    pub(in crate::journal) fn open(path: &Path, schema: &'static Schema) -> Result<Self, JournalError> {
        refuse_wal_without_database(path)?;
        match Self::open_to_write(path, schema) {
            Err(error) if error.kind() == JournalErrorKind::DiskFull => Self::open_on_full_disk(path, schema),
            opened => opened,
        }
    }

    /// Opens a database for reading only, also while another process writes it.
    pub(super) fn open_to_read(path: &Path, schema: &'static Schema) -> Result<Self, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed(path, "cannot be opened"))?;
        Self::prepare(connection, path, schema, false)
    }

    /// Opens the database again after the disk was full.
    pub(super) fn reopen(&mut self) -> Result<(), JournalError> {
        space::require_space(&self.path)?;
        let path = self.path.clone();
        // The connection that was opened on the full disk holds an exclusive lock.
        self.connection = Connection::open_in_memory().map_err(failed(&path, "cannot be opened"))?;
        let result;
        (*self, result) = match Self::open_to_write(&path, self.schema) {
            Ok(database) => (database, Ok(())),
            Err(error) => (Self::open_on_full_disk(&path, self.schema)?, Err(error)),
        };
        result
    }

    fn open_to_write(path: &Path, schema: &'static Schema) -> Result<Self, JournalError> {
        let create = files::make_database_private(path);
        create.map_err(|source| JournalError::Folder { path: path.to_owned(), source })?;
        let open = || {
            let connection = Connection::open(path).map_err(failed(path, "cannot be opened"))?;
            Self::prepare(connection, path, schema, true)
        };
        let database = open().map_err(space::explain_full_disk)?;
        let folder = path.parent();
        [folder, folder.and_then(Path::parent)].into_iter().flatten().try_for_each(files::sync_folder)?;
        Ok(database)
    }

    /// Opens the database for reading when there is no space for the WAL's index, which SQLite keeps in a file. In
    /// exclusive locking mode SQLite keeps it in memory. A new database is in memory altogether.
    fn open_on_full_disk(path: &Path, schema: &'static Schema) -> Result<Self, JournalError> {
        let database = match Self::read_on_full_disk(path, schema) {
            Err(JournalError::Missing { .. }) => {
                let connection = Connection::open_in_memory().map_err(failed(path, "cannot be opened"))?;
                Self::prepare(connection, path, schema, true)?
            }
            database => database?,
        };
        database.connection.pragma_update(None, "query_only", true).map_err(failed(path, "cannot be prepared"))?;
        Ok(Self { suspended: true, ..database })
    }

    fn read_on_full_disk(path: &Path, schema: &'static Schema) -> Result<Self, JournalError> {
        if files::size(path) == 0 {
            return Err(JournalError::Missing { path: path.to_owned() });
        }
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
            keep_wal_on_close(&connection, true)?;
            Ok(connection)
        };
        let connection = open().map_err(failed(path, "cannot be opened"))?;
        schema::refuse_damage(&connection, path)?;
        Self::prepare(connection, path, schema, false)
    }

    fn prepare(
        mut connection: Connection,
        path: &Path,
        schema: &'static Schema,
        writable: bool,
    ) -> Result<Self, JournalError> {
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(path, "cannot be opened"))?;
        keep_wal_on_close(&connection, true).map_err(failed(path, "cannot be opened"))?;
        schema.prepare(&mut connection, path, writable)?;
        let wal_pages = count_wal_pages(&mut connection).map_err(failed(path, "cannot be prepared"))?;
        Ok(Self { wal_pages, ..Self::of(connection, path, schema) })
    }

    /// An open database whose schema was prepared.
    pub(super) fn of(connection: Connection, path: &Path, schema: &'static Schema) -> Self {
        Self { connection, path: path.to_owned(), schema, wal_pages: Arc::default(), suspended: false }
    }

    /// Runs `write` in a transaction.
    pub(in crate::journal) fn transaction<T>(
        &mut self,
        action: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.require_writable(action)?;
        let written = self.connection.transaction().and_then(|transaction| {
            let written = write(&transaction)?;
            transaction.commit().map(|()| written)
        });
        written.map_err(|source| self.not_written(action, source))
    }

    /// Like [`Self::transaction`], but fails at once if another program has the lock.
    pub(super) fn transaction_without_waiting<T>(
        &mut self,
        action: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let path = self.path.clone();
        let wait = |database: &Self, limit| database.connection.busy_timeout(limit).map_err(failed(&path, action));
        wait(self, Duration::ZERO)?;
        let written = self.transaction(action, write);
        wait(self, BUSY_TIMEOUT)?;
        written
    }

    /// Fails while the database can only be read.
    pub(super) fn require_writable(&self, action: &'static str) -> Result<(), JournalError> {
        if self.suspended { Err(JournalError::Full { path: self.path.clone(), action }) } else { Ok(()) }
    }

    /// The error for a write that failed, with its cause.
    pub(super) fn not_written(&self, action: &'static str, source: rusqlite::Error) -> JournalError {
        let error = failed(&self.path, action)(source);
        let kind = error.kind();
        if kind == JournalErrorKind::SyncFailed {
            // Only a connection in use refuses this, and this one is not.
            let _ = keep_wal_on_close(&self.connection, true);
        }
        if kind != JournalErrorKind::Other {
            error
        } else if is_read_only(&self.path) {
            JournalError::ReadOnly { path: self.path.clone(), action }
        } else {
            space::explain_full_disk(error)
        }
    }

    /// The error for a value that no version writes.
    pub(in crate::journal) fn damaged(&self, row: &str, problem: &'static str) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), row: row.to_owned(), problem }
    }

    /// Size of database and WAL, in bytes.
    pub(in crate::journal) fn size_bytes(&self) -> u64 {
        files::size(&self.path) + files::size(&wal_file(&self.path))
    }
}

/// SQLite treats an empty file as a new database, and deletes its WAL.
pub(super) fn refuse_wal_without_database(path: &Path) -> Result<(), JournalError> {
    if files::size(path) == 0 && files::size(&wal_file(path)) > 0 {
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
