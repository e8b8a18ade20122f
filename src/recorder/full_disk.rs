//! A full disk: expiry makes room for new records, and the daemon recovers by itself.
//!
//! Deleted records leave free pages in the database, which new records use. Deleting them needs some space first: the
//! reserve.

use std::time::Duration;

use super::batch::Batch;
use super::housekeeping::EXPIRY_SLICE;
use super::run_loop::Recorder;
use crate::clock::{self, Stopwatch};
use crate::journal::{JournalError, JournalErrorKind, SqliteJournal};
use crate::live::{Changes, Verdict};

/// Longest time for expiry between two probes. Notifications are refused meanwhile anyway.
const EXPIRY_TIME: Duration = Duration::from_secs(1);

impl Recorder {
    /// Checks whether the journal can be written again. If the disk is full, deletes expired records first.
    pub(super) fn probe(&mut self) -> &'static str {
        self.timers.restart_checkpoint();
        let probing = self.disk_operation("write test");
        let mut probed = self.journal.local().map_or(Ok(()), SqliteJournal::probe);
        drop(probing);
        if is_full(&probed) {
            match self.expire_on_full_disk() {
                Ok(0) => {}
                Ok(expired) => {
                    tracing::info!(expired, "expired records deleted because the disk is full");
                    // The journal could be written, so new records can be too.
                    probed = Ok(());
                }
                Err(error) => probed = Err(error),
            }
        }
        self.note_written(probed);
        "probe"
    }

    /// Writes a batch again after it failed on a full disk. A WAL that is transferred is overwritten, so it does not have
    /// to grow.
    pub(super) fn write_on_full_disk(
        &mut self,
        batch: &mut Batch,
        error: JournalError,
    ) -> Result<(Changes, Vec<Verdict>), JournalError> {
        let transferring = self.disk_operation("WAL checkpoint");
        let transferred = self.transfer_wal();
        drop(transferring);
        match transferred {
            Ok(()) => self.write(batch),
            Err(failed) if failed.kind() == JournalErrorKind::SyncFailed => Err(failed),
            Err(_) => Err(error),
        }
    }

    /// Deletes expired records. Returns their number.
    fn expire_on_full_disk(&mut self) -> Result<u64, JournalError> {
        let horizon = self.expiry_horizon();
        let preparing = self.disk_operation("write test");
        let Some(journal) = self.journal.local() else { return Ok(0) };
        if !journal.has_expired(horizon, clock::now(), EXPIRY_SLICE)? {
            return Ok(0);
        }
        journal.release_reserve();
        journal.make_writable()?;
        drop(preparing);
        let stopwatch = Stopwatch::start();
        let mut expired = 0;
        loop {
            // The WAL is then overwritten from its start, so it does not have to grow.
            let transferring = self.disk_operation("WAL checkpoint");
            self.transfer_wal()?;
            drop(transferring);
            let count = self.expire()?;
            expired += count;
            if count < EXPIRY_SLICE || stopwatch.elapsed() > EXPIRY_TIME {
                return Ok(expired);
            }
        }
    }

    fn transfer_wal(&mut self) -> Result<(), JournalError> {
        self.journal.local().map_or(Ok(()), SqliteJournal::transfer_wal)
    }

    /// Makes the reserve for expiry again, if there is space for it.
    pub(super) fn keep_reserve(&mut self) {
        let reserve = self.journal.local().map_or(Ok(true), |journal| journal.keep_reserve());
        let has_reserve = reserve.as_ref().is_ok_and(|exists| *exists);
        if self.has_reserve && !has_reserve {
            let error = reserve.err().map(tracing::field::display);
            tracing::warn!(error, "too little disk space to reserve some for the deletion of expired records");
        }
        self.has_reserve = has_reserve;
    }
}

fn is_full(result: &Result<(), JournalError>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == JournalErrorKind::DiskFull)
}
