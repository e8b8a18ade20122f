//! Where a journal is.

use std::fmt;
use std::path::PathBuf;

use super::{
    Created, DATABASE_FILE, Journal, JournalError, PostgresJournal, PostgresReader, Reader, Server, SqliteJournal,
};

/// Names a process that is no daemon, where replicas have their names.
const COMMAND: &str = "command";

/// Where a journal is.
#[derive(Debug, Clone)]
pub enum Location {
    /// In a database file in this data folder.
    Folder(PathBuf),
    /// In PostgreSQL, with any number of processes.
    Shared(Server),
}

impl Location {
    /// Opens the journal for reading only, also while others write it. It must exist.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn open_to_read(&self) -> Result<Box<dyn Reader + Send>, JournalError> {
        match self {
            Self::Folder(folder) => Ok(Box::new(SqliteJournal::open_to_read(folder)?)),
            Self::Shared(server) => Ok(Box::new(PostgresReader::open(server.clone())?)),
        }
    }

    /// Opens the journal for reading only, like [`Location::open_to_read`], and keeps a daemon from starting on a local
    /// one meanwhile.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if a daemon runs on a local journal; otherwise why it cannot be read.
    pub fn open_stopped(&self) -> Result<Box<dyn Reader + Send>, JournalError> {
        match self {
            Self::Folder(folder) => Ok(Box::new(SqliteJournal::open_stopped(folder)?)),
            Self::Shared(_) => self.open_to_read(),
        }
    }

    /// Creates the journal if there is none, or migrates an older one.
    ///
    /// # Errors
    ///
    /// Why there can be no journal.
    pub fn create(&self) -> Result<Created, JournalError> {
        match self {
            Self::Folder(folder) => SqliteJournal::create(folder),
            Self::Shared(server) => server.create(),
        }
    }

    /// Opens the journal for writing. It must exist.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if a daemon runs on a local journal; otherwise why it cannot be used.
    pub fn open_existing(&self) -> Result<Box<dyn Journal>, JournalError> {
        match self {
            Self::Folder(folder) => {
                // Fails if there is no journal; opening it for writing would create one.
                drop(SqliteJournal::open_stopped(folder)?);
                Ok(Box::new(SqliteJournal::open(folder)?))
            }
            Self::Shared(server) => {
                // Says why there is no connection. Opening the journal for writing would also create the tables.
                drop(PostgresReader::open(server.clone())?);
                Ok(Box::new(PostgresJournal::open(server.clone(), COMMAND, || {})?))
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => fmt::Display::fmt(&folder.join(DATABASE_FILE).display(), f),
            Self::Shared(server) => server.fmt(f),
        }
    }
}
