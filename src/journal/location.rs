//! Where a journal is.

use std::fmt;
use std::path::PathBuf;

use super::{JournalError, Reader, SqliteJournal};

/// Where a journal is.
#[derive(Debug, Clone)]
pub enum Location {
    /// In a database file in this data folder.
    Folder(PathBuf),
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
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => fmt::Display::fmt(&folder.display(), f),
        }
    }
}
