//! Checks a data folder without changing it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use super::database::refuse_wal_without_database;
use super::lock::{LOCK_FILE, Lock};
use super::{DATABASE_FILE, SqliteJournal};
use crate::journal::JournalError;

/// What a data folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderUse {
    /// No records; the folder may not exist yet.
    New,
    /// A journal with records.
    Existing,
    /// A journal that another process has opened.
    Running,
}

impl SqliteJournal {
    /// Checks whether [`SqliteJournal::open`] could use the folder. Damage of the records is not searched for.
    ///
    /// # Errors
    ///
    /// Why the folder or the journal in it cannot be used.
    pub fn check(folder: &Path) -> Result<FolderUse, JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.to_owned(), source };
        if !writable_or_creatable(folder).map_err(in_folder)? {
            return Ok(FolderUse::New);
        }
        if is_locked(folder).map_err(in_folder)? {
            return Ok(FolderUse::Running);
        }
        refuse_wal_without_database(&folder.join(DATABASE_FILE))?;
        let last_position = match Self::open_to_read(folder) {
            Err(JournalError::Missing { .. }) => 0,
            journal => journal?.last_position(),
        };
        Ok(if last_position == 0 { FolderUse::New } else { FolderUse::Existing })
    }
}

/// Whether the folder exists. It must be writable, or its nearest existing ancestor if it does not exist.
fn writable_or_creatable(folder: &Path) -> io::Result<bool> {
    let mut ancestors = folder.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let nearest = ancestors.find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(Path::new("/"));
    if !fs::metadata(nearest)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    access(nearest, Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(nearest == folder)
}

fn is_locked(folder: &Path) -> io::Result<bool> {
    match File::options().write(true).open(folder.join(LOCK_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(file) => Ok(Lock::of(file)?.is_none()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folder_is_new_until_it_has_records_and_running_while_it_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        assert_eq!(SqliteJournal::check(&data).unwrap(), FolderUse::New);
        assert!(!folder.path().join("a").exists());
        let journal = SqliteJournal::open(&data).unwrap();
        assert_eq!(SqliteJournal::check(&data).unwrap(), FolderUse::Running);
        drop(journal);
        assert_eq!(SqliteJournal::check(&data).unwrap(), FolderUse::New);
    }

    #[test]
    fn folder_that_cannot_be_used_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        symlink(path("nowhere"), path("link")).unwrap();
        for name in ["file", "file/data", "link", "link/data"] {
            assert!(matches!(SqliteJournal::check(&path(name)), Err(JournalError::Folder { .. })), "{name}");
        }
        fs::create_dir(path("foreign")).unwrap();
        fs::write(path("foreign/journal.db"), "text").unwrap();
        assert!(SqliteJournal::check(&path("foreign")).is_err());
        fs::create_dir(path("wal")).unwrap();
        fs::write(path("wal/journal.db-wal"), "text").unwrap();
        assert!(matches!(SqliteJournal::check(&path("wal")), Err(JournalError::Unsound { .. })));
    }
}
