//! Copies the journal by SQLite's backup API, also while a daemon writes it.
//!
//! The copy is made in a subfolder and moved to its place when it is complete and verified. So an interrupted backup
//! leaves no file that looks like one.

use std::ffi::c_int;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::StepResult;
use rusqlite::{Connection, ffi};

use super::lock::Lock;
use super::{DATABASE_FILE, JournalError, SqliteJournal, files};
use crate::journal::error::failed;

/// The subfolder of a copy that is not complete.
const UNFINISHED: &str = ".unfinished";

/// Number of pages to copy at once.
const STEP: c_int = 256;

/// A copy of a journal. It is deleted unless [`Backup::finish`] succeeds.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
    /// The folder did not exist before.
    created: bool,
    finished: bool,
    /// Two backups into one folder would delete each other's files.
    _lock: Lock,
}

impl SqliteJournal {
    /// Copies the journal into a folder, which must be empty or not exist. `progress` gets the number of copied bytes
    /// and of all bytes, and returns whether to continue.
    ///
    /// # Errors
    ///
    /// The journal cannot be read, the copy cannot be written, or `progress` ended it. The folder is as before.
    pub fn back_up(&self, to: &Path, progress: impl FnMut(u64, u64) -> bool) -> Result<Backup, JournalError> {
        let backup = Backup::prepare(to)?;
        let path = backup.unfinished().join(DATABASE_FILE);
        let in_folder = |source| JournalError::Folder { path: path.clone(), source };
        files::make_database_private(&path).map_err(in_folder)?;
        let mut copy = Connection::open(&path).map_err(failed(&path, "cannot be opened"))?;
        // An incomplete copy is deleted, so it needs no rollback and no syncs.
        let settings = "PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA locking_mode = exclusive";
        copy.execute_batch(settings).map_err(failed(&path, "cannot be prepared"))?;
        {
            // SQLite starts a backup again when another process has written between two steps. In one read transaction
            // it does not see what others write, so the backup ends.
            let _snapshot = self.snapshot()?;
            self.copy_pages(&mut copy, progress).map_err(failed(&path, "cannot be written"))?;
        }
        copy.close().map_err(|(_, source)| failed(&path, "cannot be written")(source))?;
        File::open(&path).and_then(|file| file.sync_all()).map_err(in_folder)?;
        Ok(backup)
    }

    fn copy_pages(&self, copy: &mut Connection, mut progress: impl FnMut(u64, u64) -> bool) -> rusqlite::Result<()> {
        let page_size: u64 = self.database.connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let backup = rusqlite::backup::Backup::new(&self.database.connection, copy)?;
        loop {
            let step = backup.step(STEP)?;
            let pages = backup.progress();
            let bytes = |pages: c_int| u64::try_from(pages).unwrap_or_default() * page_size;
            let go_on = progress(bytes(pages.pagecount - pages.remaining), bytes(pages.pagecount));
            if step == StepResult::Done {
                return Ok(());
            } else if step != StepResult::More {
                return Err(failure(ffi::SQLITE_BUSY));
            } else if !go_on {
                return Err(failure(ffi::SQLITE_INTERRUPT));
            }
        }
    }
}

fn failure(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

impl Backup {
    /// Opens the copy for reading, to verify it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn journal(&self) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::open_to_read(&self.unfinished())
    }

    /// Moves the copy to its place, durably.
    ///
    /// # Errors
    ///
    /// It cannot be moved.
    pub fn finish(mut self) -> Result<(), JournalError> {
        let (from, to) = (self.unfinished().join(DATABASE_FILE), self.folder.join(DATABASE_FILE));
        fs::rename(from, &to).map_err(|source| JournalError::Folder { path: to, source })?;
        self.finished = true;
        remove_unfinished(&self.folder)?;
        files::sync_folder(&self.folder)?;
        self.folder.parent().map_or(Ok(()), files::sync_folder)
    }

    pub(super) fn unfinished(&self) -> PathBuf {
        self.folder.join(UNFINISHED)
    }

    /// Makes the folder for a copy, or takes an empty one. Deletes what a killed backup left.
    pub(super) fn prepare(folder: &Path) -> Result<Self, JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.to_owned(), source };
        let created = match files::create_new_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            created => created.map(|()| true).map_err(in_folder)?,
        };
        let lock = File::open(folder).and_then(Lock::of).map_err(in_folder)?;
        let lock = lock.ok_or(JournalError::InUse { path: folder.to_owned() })?;
        let backup = Self { folder: folder.to_owned(), created, finished: false, _lock: lock };
        for entry in fs::read_dir(folder).map_err(in_folder)? {
            if entry.map_err(in_folder)?.file_name() != UNFINISHED {
                return Err(JournalError::NotEmpty { path: folder.to_owned() });
            }
        }
        remove_unfinished(folder)?;
        files::create_new_folder(&backup.unfinished()).map_err(in_folder)?;
        Ok(backup)
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = remove_unfinished(&self.folder) {
            tracing::warn!(%error, "incomplete backup cannot be deleted");
        }
        if self.created {
            // It stays if something else is in it.
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

fn remove_unfinished(folder: &Path) -> Result<(), JournalError> {
    let path = folder.join(UNFINISHED);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(JournalError::Folder { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}
