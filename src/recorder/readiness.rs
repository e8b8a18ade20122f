//! Whether notifications can be recorded.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::disk_activity::DiskActivity;
use crate::clock;
use crate::event::Timestamp;
use crate::journal::JournalErrorKind;

const NOT_DURABLE: &str = "journal: notifications cannot be made durable:";

/// Why notifications cannot be recorded at the moment, if so.
#[derive(Debug, Default)]
pub struct Readiness {
    restored: AtomicBool,
    draining: watch::Sender<bool>,
    journal_error: Mutex<Option<JournalFailure>>,
    disk: DiskActivity,
    /// The shared journal is away, and the spool is full.
    spool_full: AtomicBool,
    /// Why this replica of a shared journal is not ready.
    shared: Mutex<Option<&'static str>>,
}

/// An error of the journal.
#[derive(Debug, Clone, Copy)]
struct JournalFailure {
    kind: JournalErrorKind,
    /// When the first of the failures in a row happened.
    since: Timestamp,
}

impl Readiness {
    /// The check that fails; `None` if the daemon is ready.
    pub fn failing(&self) -> Option<Cow<'static, str>> {
        if self.draining() {
            return Some("draining: the daemon is shutting down".into());
        }
        if !self.restored.load(Ordering::Acquire) {
            let under_way = self.disk.current().map(|operation| format!("restoring: {operation} has not ended"));
            return Some(under_way.map_or("restoring: the journal is being read".into(), Into::into));
        }
        if let Some(operation) = self.disk.hanging() {
            let cause = "the disk hangs, or another program holds the database";
            return Some(format!("{NOT_DURABLE} {operation} has not ended; {cause}").into());
        }
        if let Some(error) = self.journal_error() {
            return Some(format!("{NOT_DURABLE} {}", cause(error.kind)).into());
        }
        self.shared().map(|reason| format!("journal: {reason}").into())
    }

    /// Since when notifications cannot be made durable, if so.
    pub fn failing_since(&self) -> Option<Timestamp> {
        let hanging = self.disk.hanging().map(|operation| operation.since);
        hanging.or_else(|| self.journal_error().map(|error| error.since))
    }

    /// What the recorder does on the disk.
    pub fn disk(&self) -> &DiskActivity {
        &self.disk
    }

    /// Whether the daemon is shutting down.
    pub fn draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Completes when the daemon shuts down.
    pub fn until_draining(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // Without a sender, the daemon has ended.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }

    /// Marks the daemon as shutting down.
    pub fn begin_draining(&self) {
        self.draining.send_replace(true);
    }

    pub(super) fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
    }

    /// Whether notifications are refused because the spool is full.
    pub fn spool_full(&self) -> bool {
        self.spool_full.load(Ordering::Acquire)
    }

    pub(super) fn set_spool_full(&self, full: bool) {
        self.spool_full.store(full, Ordering::Release);
    }

    /// Sets why this replica of a shared journal is not ready, if so.
    pub(super) fn set_shared(&self, reason: Option<&'static str>) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn shared(&self) -> Option<&'static str> {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn journal_failing(&self) -> bool {
        self.journal_error().is_some()
    }

    pub(super) fn set_journal_error(&self, kind: Option<JournalErrorKind>) {
        let mut error = self.journal_error.lock().unwrap_or_else(PoisonError::into_inner);
        let since = error.map_or_else(clock::wall, |error| error.since);
        *error = kind.map(|kind| JournalFailure { kind, since });
    }

    fn journal_error(&self) -> Option<JournalFailure> {
        *self.journal_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cause in the text of a failing check. It contains no path.
fn cause(kind: JournalErrorKind) -> &'static str {
    match kind {
        JournalErrorKind::DiskFull => "the disk is full",
        JournalErrorKind::ReadOnly => "the file system is read-only",
        JournalErrorKind::Busy => "another program holds the database",
        JournalErrorKind::SpoolFull => "the spool is full",
        JournalErrorKind::Away | JournalErrorKind::TailLost | JournalErrorKind::NotLeader => "PostgreSQL is away",
        JournalErrorKind::SyncFailed => "the disk failed to sync",
        JournalErrorKind::Damaged => "the database is damaged",
        JournalErrorKind::Behind => "records of other replicas must be read first",
        JournalErrorKind::UnknownRecord => "a record was written by a newer version",
        JournalErrorKind::Other => "the log has the error",
    }
}
