//! What scrapes, pages and health checks see of the shared journal.

use std::sync::{Mutex, PoisonError};

use super::{MAX_LAG, Shared};
use crate::clock::Stopwatch;
use crate::journal::{Head, JournalErrorKind, Spool};
use crate::live::SharedStatus;
use crate::recorder::run_loop::Recorder;

/// The head as the watcher of the journal last noticed it.
#[derive(Debug, Default)]
pub(super) struct SeenHead(Mutex<Head>);

impl SeenHead {
    pub(super) fn set(&self, head: Head) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    pub(super) fn get(&self) -> Head {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Publishes the state of the shared journal.
    pub(super) fn publish_shared(&mut self) {
        let applied_position = self.journal.last_position();
        let Some(shared) = &mut self.shared else { return };
        let Some(journal) = self.journal.shared() else { return };
        let head = shared.seen.get().position.max(journal.head().position).max(applied_position);
        shared.behind = if head > applied_position && shared.is_usable() {
            shared.behind.or_else(|| Some(Stopwatch::start()))
        } else {
            None
        };
        let status = SharedStatus {
            position: head,
            applied_position,
            connected: shared.failing.is_none(),
            spooled_records: shared.spooled(),
            spool_limit_records: shared.spool.as_ref().map_or(0, Spool::limit),
            lease_holder: shared.leads,
            synchronous_commit: journal.synchronous_commit().unwrap_or_default(),
            reloads: shared.reloads,
        };
        self.state_reader.published.set_shared(status);
        self.state_reader.readiness.set_shared(shared.not_ready());
    }
}

impl Shared {
    /// Why this replica is not ready for notifications, although it may accept them; `None` if it is.
    fn not_ready(&self) -> Option<&'static str> {
        let is_full = self.spool.as_ref().is_none_or(|spool| spool.len() >= spool.limit());
        match self.failing {
            Some(JournalErrorKind::Away) if is_full => Some("the journal is away, and the spool is full"),
            Some(JournalErrorKind::Away) => None,
            Some(JournalErrorKind::UnknownRecord) => {
                Some("the journal has records of a kind that this version does not know; use the newer version")
            }
            Some(_) => Some("the journal cannot be used; the log has the error"),
            None if !self.restored => Some("the journal is being read"),
            None if self.behind.is_some_and(|since| since.elapsed() >= MAX_LAG) => {
                Some("this replica is behind the journal")
            }
            None => None,
        }
    }
}
