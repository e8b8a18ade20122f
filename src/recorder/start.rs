//! The start of a recorder: the state of its journal becomes its own.

use std::sync::Arc;

use super::dirty_inputs::DirtyInputs;
use super::handle::Queue;
use super::recent::MAX_RECENT_DELIVERIES;
use super::restore::{Restored, restore_with};
use super::retention_clock::RetentionClock;
use super::rules_history::RulesHistory;
use super::run_loop::Recorder;
use super::timers::Timers;
use super::{Limits, RecentDelivery, StateReader, documents};
use crate::clock::{self, Stopwatch};
use crate::event::{Rules, Timestamp};
use crate::journal::{Journal, JournalError, JournalErrorKind, SqliteJournal};
use crate::live::{Fold, SessionRows};
use crate::metrics::Exporter;

impl Recorder {
    /// Restores the state of a local journal and takes ownership of it.
    pub(super) fn restored(mut self) -> Result<Self, JournalError> {
        let limits = self.limits.clone();
        self.restore(&limits.rules)?;
        // The journal can be read completely, so it may be written from here on. On a full disk it is only shown.
        let recovering = self.disk_operation("WAL checkpoint");
        let writable = match self.journal.local().map_or(Ok(()), SqliteJournal::recover_wal) {
            Err(error) if error.kind() != JournalErrorKind::DiskFull => return Err(error),
            writable => writable,
        };
        drop(recovering);
        self.adopt(limits);
        match writable {
            Ok(()) => {
                self.keep_reserve();
                let noted = self.note_running();
                self.note_written(noted);
            }
            Err(_) => self.note_written(writable),
        }
        self.measure();
        self.state_reader.readiness.set_restored();
        Ok(self)
    }

    /// A recorder without a state.
    pub(super) fn new(
        journal: Box<dyn Journal>,
        limits: Limits,
        queue: Queue,
        state_reader: StateReader,
        metrics: Arc<Exporter>,
    ) -> Self {
        Self {
            journal,
            fold: Fold::default(),
            limits,
            rules_pending: false,
            queue,
            state_reader,
            metrics,
            dirty_inputs: DirtyInputs::default(),
            rules_history: RulesHistory::new(Arc::default()),
            timers: Timers::default(),
            search_after: None,
            retention_clock: RetentionClock::new(clock::now(), clock::now()),
            downtime: None,
            has_reserve: true,
            wal_grows: false,
            recorded_until: Timestamp::EPOCH,
            sync_error: None,
            sessions: None,
            shared: None,
        }
    }

    /// Replaces the state by that of the journal. `initial_rules` are in force before the first record.
    pub(super) fn restore(&mut self, initial_rules: &Rules) -> Result<(), JournalError> {
        let stopwatch = Stopwatch::start();
        let reading = self.disk_operation("restore");
        let sessions = self.journal.keeps_sessions().then(SessionRows::default);
        let restored = restore_with(&*self.journal, initial_rules, sessions)?;
        let now = clock::now();
        self.retention_clock = RetentionClock::new(now, restored.retention_time(now));
        let Restored { last_seen, replayed, rules_recorded, .. } = restored;
        self.fold = restored.fold;
        self.fold.set_last_seen(last_seen);
        self.downtime = documents::restore(&*self.journal, &mut self.fold, now)?;
        self.recorded_until = restored.recorded_until;
        self.dirty_inputs = restored.dirty_inputs;
        self.rules_history = restored.rules_history;
        self.sessions = restored.sessions;
        // A reload may wait for the journal to record its rules.
        self.rules_pending |= !rules_recorded;
        let newest = self.journal.newest_events(MAX_RECENT_DELIVERIES as u64)?;
        drop(reading);
        let (events, inputs) = (self.journal.events(), self.fold.state().inputs().values());
        let inputs = inputs.filter(|entry| entry.input.known_since.is_some()).count();
        let seconds = stopwatch.elapsed().as_secs_f64();
        tracing::info!(events, inputs, replayed, seconds, "journal restored");
        let recent = newest.into_iter().rev().filter_map(RecentDelivery::of).map(Arc::new);
        self.state_reader.published.set_downtime(self.downtime);
        // Replicas that share a journal share the time of the latest scrape, too.
        let shown_until = if self.shared.is_some() { Timestamp::EPOCH } else { self.recorded_until.max(clock::now()) };
        self.state_reader.published.restored(inputs, recent, shown_until);
        Ok(())
    }
}
