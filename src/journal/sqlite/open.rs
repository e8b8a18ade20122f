//! Opens the journal: to write it, or only to read it.

use std::path::Path;

use super::database::Database;
use super::lock::{Lock, own_folder};
use super::{DATABASE_FILE, JournalError, SqliteJournal, schema};
use crate::journal::Created;
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
        let lock = own_folder(folder)?;
        let database = Database::open(&folder.join(DATABASE_FILE), &schema::JOURNAL)?;
        Ok(Self { _lock: Some(lock), ..Self::of(database)? })
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
        Self::of(Database::open_to_read(&path, &schema::JOURNAL)?)
    }

    /// Creates the journal in a data folder, or migrates an older one.
    ///
    /// # Errors
    ///
    /// Why there can be no journal. A file that cannot be used is never overwritten.
    pub fn create(folder: &Path) -> Result<Created, JournalError> {
        let found = match Self::open_to_read(folder) {
            Err(JournalError::Missing { .. }) => None,
            opened => Some(opened?.schema_version()?),
        };
        let mut journal = match (Self::open(folder), found) {
            (Err(JournalError::InUse { .. }), Some(_)) => return Ok(Created::InUse),
            (opened, _) => opened?,
        };
        journal.recover_wal()?;
        journal.close()?;
        Ok(match found {
            None => Created::New,
            Some(version) if version < schema::JOURNAL.version() => Created::Migrated,
            Some(_) => Created::Existing,
        })
    }

    fn schema_version(&self) -> Result<i64, JournalError> {
        let version = self.database.connection.pragma_query_value(None, "user_version", |row| row.get(0));
        version.map_err(failed(self.path(), "cannot be read"))
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

    fn of(database: Database) -> Result<Self, JournalError> {
        let mut journal = Self::unbounded(database);
        journal.find_bounds().map_err(failed(journal.path(), "cannot be read"))?;
        Ok(journal)
    }

    /// A journal whose bounds are not known yet, to read a checkpoint from.
    pub(super) fn unbounded(database: Database) -> Self {
        Self { database, first: 0, next: 0, other_records: 0, _lock: None }
    }
}
