//! When the daemon ran, so that a start knows how long it did not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run_loop::Recorder;
use crate::clock;
use crate::event::Timestamp;
use crate::journal::{Journal, JournalError};
use crate::live::Downtime;

/// The name of the document.
const RUNNING: &str = "running";

/// How often the journal notes that the daemon runs.
pub(super) const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// The document.
#[derive(Serialize, Deserialize)]
struct Running {
    /// The daemon ran at this time.
    until: Timestamp,
    /// From when on the notification history has not been read.
    backfill_from: Option<Timestamp>,
}

/// The downtime that ends now; `None` if the daemon has not run before.
pub(super) fn restore(journal: &Journal) -> Result<Option<Downtime>, JournalError> {
    let documents = journal.documents()?;
    let running: Option<Running> = documents.get(RUNNING).and_then(|text| serde_json::from_str(text).ok());
    Ok(running.map(|Running { until: from, backfill_from }| Downtime {
        from,
        until: clock::now().max(from),
        backfill_from: Some(backfill_from.unwrap_or(from)),
    }))
}

impl Recorder {
    /// Notes that the daemon runs.
    pub(super) fn note_running(&mut self) {
        let backfill_from = self.downtime.and_then(|downtime| downtime.backfill_from);
        let running = Running { until: clock::now(), backfill_from };
        let text = serde_json::to_string(&running).expect("plain data serializes");
        self.save_documents(&[(RUNNING, Some(&text))]);
        self.timers.restart_running();
    }

    /// The notification history was read.
    pub(super) fn end_backfill(&mut self) {
        if let Some(downtime) = &mut self.downtime {
            downtime.backfill_from = None;
            self.state_reader.published.set_downtime(self.downtime);
            self.note_running();
        }
    }
}
