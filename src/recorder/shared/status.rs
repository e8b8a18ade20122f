//! What scrapes, pages and health checks see of the shared journal.

use crate::clock::{self, Stopwatch};
use crate::journal::Spool;
use crate::live::SharedStatus;
use crate::recorder::run_loop::Recorder;

impl Recorder {
    /// Publishes the state of the shared journal.
    pub(super) fn publish_shared(&mut self) {
        let applied_position = self.journal.last_position();
        let Some(shared) = &mut self.shared else { return };
        let Some(journal) = self.journal.shared() else { return };
        let head = journal.head().max(applied_position);
        shared.behind = if head > applied_position && shared.is_usable() {
            shared.behind.or_else(|| Some(Stopwatch::start()))
        } else {
            None
        };
        shared.failing_since = shared.failing.and(shared.failing_since.or_else(|| Some(clock::wall())));
        let status = SharedStatus {
            position: head,
            applied_position,
            connected: shared.failing.is_none(),
            away_since: shared.failing_since,
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
