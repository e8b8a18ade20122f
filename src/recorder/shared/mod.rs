//! A journal that several replicas share.
//!
//! Between batches, the recorder brings its state up to date with the journal:
//!
//! | step | what happens |
//! |---|---|
//! | restore | at the start, and when a failover lost records that this replica had applied |
//! | drain | batches that wait in the spool are recorded |
//! | scrape | the shown time advances, and the state at the newest position is kept for scrapes |
//! | follow | records of other replicas are applied |
//!
//! While the journal is away, deliveries go to the spool (`away.rs`). Housekeeping and the tasks that ask Cloudflare's API
//! run on one replica, which holds the lease (`lease.rs`).

mod away;
mod lease;
mod status;
mod tail;

use std::time::Duration;

use super::run_loop::Recorder;
use super::share::Shared;
use crate::clock::{self, Stopwatch};
use crate::event::{Rules, Timestamp};
use crate::journal::{Connection, JournalError, JournalErrorKind, PostgresJournal, Spool};

/// How long a journal that fails is left alone, unless something else wakes the recorder.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How often the size of the journal and its oldest event are read.
const MEASUREMENT_INTERVAL: Duration = Duration::from_secs(60);

impl Recorder {
    /// A recorder on a shared journal, which may be away. The spool takes deliveries from the start.
    ///
    /// # Errors
    ///
    /// Without a spool, the journal must be there.
    pub(super) fn sharing(mut self, spool: Option<Spool>) -> Result<Self, JournalError> {
        if spool.is_none() {
            self.require_connection()?;
        }
        self.shared = Some(Shared {
            spool,
            overlay: None,
            has_state: false,
            restored: false,
            failing: None,
            failing_since: None,
            documents_changed: false,
            clock: None,
            leads: false,
            since_renewal: None,
            since_measurement: None,
            behind: None,
            reloads: 0,
        });
        // From now on, no scrape shows a time of its own.
        self.publish_shared();
        self.state_reader.set_leads(false);
        self.follow_shared();
        self.state_reader.readiness.set_restored();
        Ok(self)
    }

    /// Brings the state up to date with a shared journal, and lets the scrape that waits see it.
    pub(super) fn follow_shared(&mut self) {
        let Some(shared) = &mut self.shared else { return };
        let before = shared.failing.take();
        let scrape_waits = self.state_reader.published.take_scrape();
        match self.follow(scrape_waits) {
            Ok(()) => self.note_usable(before),
            Err(error) => {
                self.note_shared(&error, before);
                if error.kind() == JournalErrorKind::SyncFailed {
                    // The spool may lose what it has.
                    self.note_written(Err(error));
                }
            }
        }
        self.publish_shared();
        if scrape_waits {
            // If it could not be run, it shows what the one before showed.
            self.state_reader.published.end_scrape();
        }
    }

    fn follow(&mut self, scrape_waits: bool) -> Result<(), JournalError> {
        self.require_connection()?;
        let is_restored = self.shared.as_ref().is_some_and(|shared| shared.restored);
        if !is_restored {
            self.restore_shared()?;
        }
        self.drain()?;
        // What was restored is shown with a new time: at the time of the scrape before, counters do not have the newest
        // records.
        if scrape_waits || !is_restored {
            self.scrape()?;
        } else if self.must_follow() && !self.queue.has_waiting() {
            // Otherwise the next batch reads the tail.
            self.catch_up()?;
        }
        if self.shared.as_ref().is_some_and(|shared| shared.documents_changed) {
            self.reload_documents()?;
        }
        self.renew_lease()
    }

    fn note_usable(&mut self, before: Option<JournalErrorKind>) {
        let Some(shared) = &self.shared else { return };
        let has_spooled = shared.has_spooled();
        if before.is_some() {
            tracing::warn!(spooled = shared.spooled(), "journal can be used again");
        }
        if !has_spooled && self.state_reader.readiness.journal_failing() {
            // Nothing needs the spool, which could not be written.
            self.note_written(Ok(()));
        }
    }

    fn restore_shared(&mut self) -> Result<(), JournalError> {
        let applied = self.journal.last_position();
        // The first record is always one of rules, so the rules before it must not depend on this configuration.
        self.restore(&Rules::default())?;
        let restored = self.journal.last_position();
        let Some(shared) = &mut self.shared else { return Ok(()) };
        shared.documents_changed = false;
        self.catch_up()?;
        let Some(shared) = &mut self.shared else { return Ok(()) };
        let is_first = !std::mem::replace(&mut shared.has_state, true);
        if !is_first {
            shared.reloads += 1;
            // Replicas that were faster may have appended records since the failover.
            let lost_at_least = applied.saturating_sub(restored);
            tracing::error!(applied, restored, lost_at_least, "state was restored from a journal that lost records");
        }
        shared.restored = true;
        self.restore_overlay();
        // Other replicas decide about rules meanwhile, so only a start or a reload records those of the configuration.
        if is_first {
            self.adopt(self.limits.clone());
        } else {
            self.adopt_names(&self.limits.clone());
        }
        self.publish_state();
        self.publish_spool();
        self.publish_shared();
        Ok(())
    }

    /// Advances the shown time of all replicas, and keeps the state at that position for scrapes.
    fn scrape(&mut self) -> Result<(), JournalError> {
        let _scraping = self.disk_operation("scrape");
        let Some(journal) = self.journal.shared() else { return Ok(()) };
        let shown = match journal.scrape() {
            Err(error) if error.kind() == JournalErrorKind::Behind => {
                self.catch_up()?;
                self.journal.shared().map_or(Err(error), PostgresJournal::scrape)?
            }
            shown => shown?,
        };
        self.adopt_tail(&shown.tail);
        let position = self.journal.last_position();
        // The published state may lack the records that a batch has read before it failed.
        let state = self.fold.state().clone();
        self.state_reader.published.show(state, position, shown.time, shown.now);
        Ok(())
    }

    /// Applies what others appended.
    pub(super) fn catch_up(&mut self) -> Result<(), JournalError> {
        loop {
            let _reading = self.disk_operation("read of the tail");
            let Some(journal) = self.journal.shared() else { return Ok(()) };
            let tail = journal.follow()?;
            let head = journal.head();
            self.adopt_tail(&tail);
            if self.journal.last_position() >= head {
                return Ok(());
            }
            self.publish_shared();
        }
    }

    fn require_connection(&mut self) -> Result<(), JournalError> {
        let Some(journal) = self.journal.shared() else { return Ok(()) };
        match journal.poll_connection() {
            // Fails at once, and says why.
            Connection::Away => journal.follow().map(drop),
            Connection::Connected => Ok(()),
        }
    }

    fn must_follow(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.until_follow().is_zero())
    }

    /// Whether there is a state. A replica that started while the journal was away has none.
    pub(super) fn has_state(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.has_state)
    }

    /// The time by the clock that decides about records: that of the database, if it is shared.
    pub(super) fn shared_now(&self) -> Timestamp {
        self.shared.as_ref().map_or_else(clock::now, Shared::now)
    }

    /// The time until the shared journal needs attention without being woken.
    pub(super) fn until_shared(&self) -> Option<Duration> {
        let shared = self.shared.as_ref()?;
        if shared.failing.is_some() {
            // A new connection wakes the recorder earlier.
            return Some(RETRY_INTERVAL);
        }
        let is_due = !shared.restored || shared.has_spooled();
        Some(if is_due { Duration::ZERO } else { shared.until_renewal().min(shared.until_follow()) })
    }

    /// Measures a shared journal, if that is due.
    pub(super) fn measure_shared(&mut self) {
        let Some(shared) = self.shared.as_mut().filter(|shared| shared.is_usable()) else { return };
        if shared.since_measurement.is_none_or(|since| since.elapsed() >= MEASUREMENT_INTERVAL) {
            shared.since_measurement = Some(Stopwatch::start());
            if let Some(Err(error)) = self.journal.shared().map(PostgresJournal::measure) {
                tracing::debug!(%error, "size of the journal is not known");
            }
            self.measure();
        }
    }
}

impl Recorder {
    /// Ends the use of a shared journal. What waits in the spool is drained after the next start.
    pub(super) fn end_shared(mut self) -> Result<(), JournalError> {
        let Some(shared) = self.shared.as_mut() else { return Ok(()) };
        let spooled = shared.spooled();
        if spooled > 0 {
            tracing::warn!(spooled, "records wait in the spool; the next start of this replica appends them");
        }
        if shared.leads() {
            let saved = self.save_checkpoint().and_then(|()| self.note_running());
            let saved = saved.and_then(|()| self.journal.shared().map_or(Ok(()), PostgresJournal::release_lease));
            if let Err(error) = saved {
                tracing::warn!(%error, "the lease is not released; another replica takes it when it has expired");
            }
        }
        let _closing = self.disk_operation("close");
        let closed = self.shared.take().and_then(|shared| shared.spool).map_or(Ok(()), Spool::close);
        self.journal.close().and(closed)
    }
}
