//! The lock of a data folder, which one process at a time holds.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::{JournalError, files};

pub(super) const LOCK_FILE: &str = "journal.lock";

/// An advisory lock. It is released when it is dropped; if the process crashes, by the kernel.
#[derive(Debug)]
pub(in crate::journal) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of a folder; `None` when another process has it.
    pub(super) fn take(folder: &Path) -> io::Result<Option<Self>> {
        Self::of(files::open_private(&folder.join(LOCK_FILE))?)
    }

    /// Takes the lock of an open file or folder.
    pub(super) fn of(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    /// Closing the file is not enough: a child process has a copy of it until it runs its program.
    fn drop(&mut self) {
        // If this fails, the lock ends with the last copy.
        let _ = self.file.unlock();
    }
}

/// Creates a data folder if it is missing, and takes its lock.
pub(in crate::journal) fn own_folder(folder: &Path) -> Result<Lock, JournalError> {
    let in_folder = |source| JournalError::Folder { path: folder.to_owned(), source };
    files::create_folder(folder).map_err(in_folder)?;
    Lock::take(folder).map_err(in_folder)?.ok_or(JournalError::InUse { path: folder.to_owned() })
}
