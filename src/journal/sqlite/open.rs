//! Opens the journal: to write it, only to read it, or on a full disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::lock::Lock;
use super::wal::{self, wal_file};
use super::{BUSY_TIMEOUT, DATABASE_FILE, JournalError, JournalErrorKind, SqliteJournal, files, schema, space};
use crate::journal::error::failed;

impl SqliteJournal {
    /// Opens the journal in a data folder and owns it. A missing folder is created, an older schema is migrated.
    ///
    /// On a full disk the journal is opened for reading, and refuses to be written until [`SqliteJournal::recover_wal`]
    /// succeeds.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if another process owns the folder; otherwise why the journal cannot be used. A file
    /// that cannot be used is never overwritten.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.to_owned(), source };
        files::create_folder(folder).map_err(in_folder)?;
        let lock = Lock::take(folder).map_err(in_folder)?.ok_or(JournalError::InUse { path: folder.to_owned() })?;
        let path = folder.join(DATABASE_FILE);
        refuse_wal_without_database(&path)?;
        let opened = match Self::open_to_write(&path) {
            Err(error) if error.kind() == JournalErrorKind::DiskFull => Self::open_on_full_disk(&path),
            opened => opened,
        };
        Ok(Self { lock: Some(lock), ..opened? })
    }

    /// Opens the journal for reading only, also while a daemon is writing it.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn open_to_read(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(DATABASE_FILE);
        if path.try_exists().is_ok_and(|exists| !exists) {
            return Err(JournalError::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed(&path, "cannot be opened"))?;
        Self::prepare(connection, path, false)
    }

    /// Opens the journal of a stopped daemon for reading only, and owns it. No journal is created or migrated.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if another process owns the folder; otherwise why it cannot be read.
    pub fn open_stopped(folder: &Path) -> Result<Self, JournalError> {
        let lock = Lock::take(folder).map_err(|source| JournalError::Folder { path: folder.to_owned(), source })?;
        let lock = lock.ok_or(JournalError::InUse { path: folder.to_owned() })?;
        Ok(Self { lock: Some(lock), ..Self::open_to_read(folder)? })
    }

    /// Opens the database again after the disk was full.
    pub(super) fn reopen(&mut self) -> Result<(), JournalError> {
        space::require_space(&self.path)?;
        let path = self.path.clone();
        // The connection that was opened on the full disk holds an exclusive lock.
        self.connection = Connection::open_in_memory().map_err(failed(&path, "cannot be opened"))?;
        let (reopened, result) = match Self::open_to_write(&path) {
            Ok(journal) => (journal, Ok(())),
            Err(error) => (Self::open_on_full_disk(&path)?, Err(error)),
        };
        *self = Self { lock: self.lock.take(), ..reopened };
        result
    }

    fn open_to_write(path: &Path) -> Result<Self, JournalError> {
        let create = files::make_database_private(path);
        create.map_err(|source| JournalError::Folder { path: path.to_owned(), source })?;
        let open = || {
            let connection = Connection::open(path).map_err(failed(path, "cannot be opened"))?;
            Self::prepare(connection, path.to_owned(), true)
        };
        let journal = open().map_err(space::explain_full_disk)?;
        let folder = path.parent();
        [folder, folder.and_then(Path::parent)].into_iter().flatten().try_for_each(files::sync_folder)?;
        Ok(journal)
    }

    /// Opens the database for reading when there is no space for the WAL's index, which SQLite keeps in a file. In
    /// exclusive locking mode SQLite keeps it in memory. A new journal is in memory altogether.
    fn open_on_full_disk(path: &Path) -> Result<Self, JournalError> {
        let is_new = files::size(path) == 0;
        let open = || {
            if is_new {
                return Connection::open_in_memory();
            }
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
            wal::keep_wal_on_close(&connection, true)?;
            Ok(connection)
        };
        let connection = open().map_err(failed(path, "cannot be opened"))?;
        if !is_new {
            schema::refuse_damage(&connection, path)?;
        }
        let journal = Self::prepare(connection, path.to_owned(), is_new)?;
        journal.connection.pragma_update(None, "query_only", true).map_err(failed(path, "cannot be prepared"))?;
        Ok(Self { suspended: true, ..journal })
    }

    fn prepare(mut connection: Connection, path: PathBuf, writable: bool) -> Result<Self, JournalError> {
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(&path, "cannot be opened"))?;
        wal::keep_wal_on_close(&connection, true).map_err(failed(&path, "cannot be opened"))?;
        schema::prepare(&mut connection, &path, writable)?;
        let wal_pages = wal::count_wal_pages(&mut connection).map_err(failed(&path, "cannot be prepared"))?;
        let mut journal = Self { wal_pages, ..Self::unbounded(connection, path) };
        journal.find_bounds().map_err(failed(&journal.path, "cannot be read"))?;
        Ok(journal)
    }

    /// A journal whose bounds are not known yet, to read a checkpoint from.
    pub(super) fn unbounded(connection: Connection, path: PathBuf) -> Self {
        let (wal_pages, lock) = (Arc::default(), None);
        Self { connection, path, first: 0, next: 0, other_records: 0, wal_pages, lock, suspended: false }
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
