//! Whether the journal can be written.

use std::error::Error;

use super::run_loop::Recorder;
use crate::journal::{JournalError, JournalErrorKind};

impl Recorder {
    /// Sets whether the journal can be written, and logs changes of that.
    pub(super) fn note_written(&mut self, written: Result<(), JournalError>) {
        let readiness = self.state_reader.readiness.clone();
        let failing_before = readiness.journal_failing();
        readiness.set_journal_error(written.as_ref().err().map(JournalError::kind));
        match written {
            Ok(()) if failing_before => tracing::warn!("journal is writable again"),
            Ok(()) => {}
            Err(error) if error.kind() == JournalErrorKind::SyncFailed => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(%error, cause, "sync failed; stopping, the next start recovers what was synced");
                self.sync_error = Some(error);
            }
            Err(_) if failing_before => {}
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(%error, cause, "journal cannot be written; notifications are refused until it can");
            }
        }
    }
}
