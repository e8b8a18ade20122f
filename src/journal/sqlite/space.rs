//! Free disk space: whether there is some, and a reserve for expiry.
//!
//! Deleting records needs space itself, in the WAL, before their place in the database can be used again. The reserve
//! is a file of zeros that is deleted for that.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::{JournalError, SqliteJournal, files};
use crate::journal::JournalErrorKind;

/// Scratch file that is written to check for free disk space, and its size in bytes.
pub(in crate::journal) const PROBE_FILE: &str = "journal.room";
const PROBE_SIZE: usize = 64 << 10;

const RESERVE_FILE: &str = "journal.reserve";
/// More than the WAL can add to the database.
const RESERVE_SIZE: u64 = 4 << 20;
/// The reserve is made only if as much space is left for the journal.
const FREE_FOR_RESERVE: u64 = 2 * RESERVE_SIZE;

impl SqliteJournal {
    /// Checks that the journal can be written and that the disk has some free space. It does not wait for the lock of
    /// another program: deliveries that arrive meanwhile would wait too, and then once more for their own write.
    ///
    /// # Errors
    ///
    /// The journal cannot be written.
    pub fn probe(&mut self) -> Result<(), JournalError> {
        write_scratch(&self.database.path, fs::File::sync_all)?;
        self.make_writable()?;
        self.database.transaction_without_waiting("cannot be written", |transaction| {
            transaction.execute("UPDATE probe SET count = count + 1", []).map(drop)
        })
    }

    /// Makes a journal writable that was opened on a full disk. Does nothing with another one.
    ///
    /// # Errors
    ///
    /// It can still only be read.
    pub fn make_writable(&mut self) -> Result<(), JournalError> {
        self.database.make_writable()
    }

    /// Makes the reserve of disk space, if it is missing and there is enough space. Returns whether there is one.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn keep_reserve(&self) -> io::Result<bool> {
        let path = self.database.path.with_file_name(RESERVE_FILE);
        files::restrict(&path);
        if files::size(&path) >= RESERVE_SIZE {
            return Ok(true);
        }
        let free = statvfs(
            self.database.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        )?;
        if free.f_bavail.saturating_mul(free.f_frsize) < FREE_FOR_RESERVE {
            return Ok(false);
        }
        let made = files::open_private(&path).and_then(|file| allocate(&file));
        if made.is_err() {
            // An incomplete reserve would only take space.
            let _ = fs::remove_file(path);
        }
        made.map(|()| true)
    }

    /// Deletes the reserve, if there is one, for records that have to be deleted.
    pub fn release_reserve(&self) {
        // If it stays, the deletion of records fails for lack of space, which is reported.
        let _ = fs::remove_file(self.database.path.with_file_name(RESERVE_FILE));
    }
}

/// Gives the file its space on the disk. It needs no sync: after a power failure it is made again.
fn allocate(mut file: &fs::File) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, RESERVE_SIZE) {
        // Some network file systems cannot do this.
        Err(Errno::OPNOTSUPP) => {
            (0..RESERVE_SIZE / PROBE_SIZE as u64).try_for_each(|_| file.write_all(&[0; PROBE_SIZE]))
        }
        allocated => Ok(allocated?),
    }
}

/// Fails if the disk of the database is full.
pub(super) fn require_space(database: &Path) -> Result<(), JournalError> {
    write_scratch(database, |_| Ok(()))
}

/// The error with its cause, if that is a full disk: SQLite reports several errors for it.
pub(super) fn explain_full_disk(error: JournalError) -> JournalError {
    if let JournalError::Sqlite { path, action, .. } = &error {
        let full = || require_space(path).is_err_and(|error| error.kind() == JournalErrorKind::DiskFull);
        if error.kind() == JournalErrorKind::Other && full() {
            return JournalError::Full { path: path.clone(), action };
        }
    }
    error
}

fn write_scratch(database: &Path, sync: impl FnOnce(&fs::File) -> io::Result<()>) -> Result<(), JournalError> {
    let scratch = database.with_file_name(PROBE_FILE);
    let written = files::open_private(&scratch).and_then(|mut file| {
        file.write_all(&[0; PROBE_SIZE])?;
        sync(&file)
    });
    // If it could not be created, there is nothing to remove.
    let _ = fs::remove_file(&scratch);
    written.map_err(|source| JournalError::Folder { path: scratch, source })
}
