//! The write-ahead log: when it is transferred to the database.

use std::sync::atomic::Ordering;

use super::database::Database;
use super::wal_file::keep_wal_on_close;
use super::{JournalError, SqliteJournal, space};
use crate::journal::error::failed;

/// A WAL with this many pages that the database does not have is transferred.
pub(super) const WAL_CHECKPOINT_PAGES: i64 = 500;

impl Database {
    /// Recovers the WAL that an earlier process left behind: transfers it to the database and syncs it. After a failed
    /// sync, readable data may not be on disk. Only a migration may write to the database before this.
    ///
    /// If the disk is full, the database can still be read, and this can be tried again.
    pub(in crate::journal) fn recover_wal(&mut self) -> Result<(), JournalError> {
        if self.suspended {
            self.reopen()?;
        }
        // New frames must not follow frames that may not be on disk.
        self.suspended = true;
        self.checkpoint_wal("truncate")?;
        keep_wal_on_close(&self.connection, false).map_err(failed(&self.path, "cannot be prepared"))?;
        self.suspended = false;
        space::require_space(&self.path)
    }

    /// Makes a database writable that was opened on a full disk. Does nothing with another one.
    pub(in crate::journal) fn make_writable(&mut self) -> Result<(), JournalError> {
        if self.suspended { self.recover_wal() } else { Ok(()) }
    }

    /// Transfers the WAL to the database, as far as no reader needs it.
    pub(in crate::journal) fn transfer_wal(&mut self) -> Result<(), JournalError> {
        self.require_writable("cannot be written")?;
        self.checkpoint_wal("passive").map(drop)
    }

    /// Transfers a large WAL to the database. Returns whether it was large and is now small. While a reader is active,
    /// pages that were written after its start stay in the WAL.
    pub(in crate::journal) fn checkpoint_wal_if_large(&mut self) -> Result<bool, JournalError> {
        // Asking SQLite how many pages are transferred already costs a twentieth of a batch.
        let may_be_large = !self.suspended && self.wal_pages.load(Ordering::Relaxed) >= WAL_CHECKPOINT_PAGES;
        Ok(may_be_large
            && self.checkpoint_wal("noop")? >= WAL_CHECKPOINT_PAGES
            && self.checkpoint_wal("passive")? < WAL_CHECKPOINT_PAGES)
    }

    /// Transfers the whole WAL to the database and closes it.
    pub(in crate::journal) fn close(mut self) -> Result<(), JournalError> {
        if self.suspended { Ok(()) } else { self.transfer_wal() }
    }

    /// Runs a WAL checkpoint in this mode. Returns the number of pages that only the WAL has afterwards.
    pub(in crate::journal) fn checkpoint_wal(&mut self, mode: &str) -> Result<i64, JournalError> {
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        let left = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?);
        self.connection.query_one(&pragma, [], left).map_err(|source| self.not_written("cannot be written", source))
    }
}

/// What SQLite leaves to the recorder, which runs it between batches.
impl SqliteJournal {
    /// Recovers the WAL that an earlier process left behind: transfers it to the database and syncs it.
    ///
    /// # Errors
    ///
    /// If the disk is full, the journal can still be read, and this can be tried again.
    pub fn recover_wal(&mut self) -> Result<(), JournalError> {
        self.database.recover_wal()
    }

    /// Transfers the WAL to the database, as far as no reader needs it.
    ///
    /// # Errors
    ///
    /// The WAL is unchanged.
    pub fn transfer_wal(&mut self) -> Result<(), JournalError> {
        self.database.transfer_wal()
    }

    /// Transfers a large WAL to the database. Returns whether it was large and is now small. While a reader is active,
    /// pages that were written after its start stay in the WAL.
    ///
    /// # Errors
    ///
    /// The WAL is unchanged.
    pub fn checkpoint_wal_if_large(&mut self) -> Result<bool, JournalError> {
        self.database.checkpoint_wal_if_large()
    }

    /// Transfers the whole WAL to the database and closes the journal.
    ///
    /// # Errors
    ///
    /// The WAL is unchanged.
    pub fn close(self) -> Result<(), JournalError> {
        self.database.close()
    }
}
