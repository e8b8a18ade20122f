//! Whether notifications can be recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::journal::JournalErrorKind;

/// Why notifications cannot be recorded at the moment, if so.
#[derive(Debug, Default)]
pub struct Readiness {
    restored: AtomicBool,
    draining: AtomicBool,
    journal_error: Mutex<Option<JournalErrorKind>>,
}

impl Readiness {
    /// The check that fails; `None` if the daemon is ready.
    pub fn failing(&self) -> Option<&'static str> {
        if self.draining() {
            Some("draining: the daemon is shutting down")
        } else if !self.restored.load(Ordering::Acquire) {
            Some("restoring: the journal is being read")
        } else {
            self.journal_error().map(check)
        }
    }

    /// Whether the daemon is shutting down.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Marks the daemon as shutting down.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(super) fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
    }

    pub(super) fn journal_failing(&self) -> bool {
        self.journal_error().is_some()
    }

    pub(super) fn set_journal_error(&self, kind: Option<JournalErrorKind>) {
        *self.journal_error.lock().unwrap_or_else(PoisonError::into_inner) = kind;
    }

    fn journal_error(&self) -> Option<JournalErrorKind> {
        *self.journal_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The check that fails with this error. The response is public, so it contains no path and no number.
fn check(kind: JournalErrorKind) -> &'static str {
    match kind {
        JournalErrorKind::DiskFull => "journal: notifications cannot be made durable: the disk is full",
        JournalErrorKind::ReadOnly => "journal: notifications cannot be made durable: the file system is read-only",
        JournalErrorKind::Busy => "journal: notifications cannot be made durable: another program holds the database",
        JournalErrorKind::SyncFailed => "journal: notifications cannot be made durable: the disk failed to sync",
        JournalErrorKind::Damaged => "journal: notifications cannot be made durable: the database is damaged",
        JournalErrorKind::Other => "journal: notifications cannot be made durable: the log has the error",
    }
}
