//! Notes when the daemon runs, so that a start knows how long it did not.

use std::time::Duration;

use super::documents::{self, RUNNING, RunningNote};
use super::run_loop::Recorder;
use crate::clock;
use crate::journal::JournalError;

/// How often the journal notes that the daemon runs.
pub(super) const NOTE_INTERVAL: Duration = Duration::from_secs(60);

impl Recorder {
    /// Notes that the daemon runs. If that fails, a downtime seems longer than it was.
    pub(super) fn note_running(&mut self) -> Result<(), JournalError> {
        let backfill_from = self.downtime.and_then(|downtime| downtime.backfill_from);
        let note = documents::text(&RunningNote { until: clock::now(), backfill_from });
        self.timers.restart_running();
        self.save_documents(&[(RUNNING, Some(&note))])
    }

    /// The notification history was read.
    pub(super) fn end_backfill(&mut self) -> Result<(), JournalError> {
        let Some(downtime) = &mut self.downtime else { return Ok(()) };
        downtime.backfill_from = None;
        self.state_reader.published.set_downtime(self.downtime);
        self.note_running()
    }
}
