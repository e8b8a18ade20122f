//! The thread's life: restore, record, and between batches keep house.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::dirty_inputs::Slice;
use super::published::MAX_RECENT_DELIVERIES;
use super::restore::{Restored, checkpoint, input_row, restore, row_size};
use super::retention_clock::RetentionClock;
use super::{Limits, Message, Outcome, RecentDelivery, Recorder, StateReader};
use crate::clock::{self, Stopwatch};
use crate::event::Timestamp;
use crate::journal::{Entry, Journal, JournalError, JournalErrorKind};
use crate::live::SearchLimits;
use crate::metrics::Exporter;

/// How much of the log a restart may have to replay.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How often a journal that could not be written is tried again without a notification.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How often old events and silent inputs are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// A clock that has gone back further than this since the last run is believed anew; one that has jumped ahead further
/// is told.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// So much is saved of a checkpoint at once, in bytes: a notification waits no longer than that takes.
const SAVED_AT_ONCE: usize = 64 << 10;
/// Between two housekeeping notifications have so many times the time that a task took: or they would pile up over a whole
/// checkpoint, and over all that expires.
const PAUSE: u32 = 4;
/// So many events are deleted at once: a notification waits no longer than that takes.
const EXPIRED_AT_ONCE: u64 = 500;
/// So far silent inputs are searched at once, for the same reason.
const SEARCHED_AT_ONCE: SearchLimits = SearchLimits { looked_at: 10_000, forgotten: 100 };
/// When a checkpoint names so many forgotten inputs, every slice of it writes 20 KB for them: it is finished before
/// there are more.
const NAMED_GONE: usize = 500;

impl Recorder {
    pub(super) fn restored(
        mut journal: Journal,
        limits: Limits,
        (queue, wake_rx): (Receiver<Message>, Receiver<()>),
        state_reader: StateReader,
        metrics: Arc<Exporter>,
    ) -> Result<Self, JournalError> {
        let stopwatch = Stopwatch::start();
        let Restored { fold, recorded_until, replayed, dirty_inputs } = restore(&journal, limits.rules)?;
        let newest = journal.newest(MAX_RECENT_DELIVERIES as u64)?.into_iter().map(delivered);
        let (events, inputs) = (journal.events(), fold.state().inputs().len());
        // It is whole: from here on it is ours to write.
        journal.recover_wal()?;
        let seconds = stopwatch.elapsed().as_secs_f64();
        tracing::info!(events, inputs, replayed, seconds, "journal restored");
        state_reader.published.restored(inputs, newest, plausible(recorded_until));
        let mut recorder = Self {
            dirty_inputs,
            since_checkpoint: Stopwatch::start(),
            since_task: Stopwatch::start(),
            pause: Duration::ZERO,
            since_expiry: Stopwatch::start(),
            searched_until: None,
            retention_clock: RetentionClock::new(clock::now()),
            recorded_until,
            finished: false,
            unsynced: None,
            journal,
            fold,
            limits: limits.clone(),
            queue,
            wake_rx,
            state_reader,
            metrics,
        };
        recorder.adopt(limits);
        if events == 0 {
            // The first checkpoint of all keeps the rules that the first events are folded by.
            recorder.dirty_inputs.change_rules();
            let saved = recorder.save_checkpoint();
            recorder.tried_to_write(saved);
        }
        recorder.state_reader.readiness.set_restored();
        Ok(recorder)
    }

    pub(super) fn run(mut self) -> Result<(), JournalError> {
        let mut more_waits = false;
        while !self.finished && self.unsynced.is_none() {
            let pause = if more_waits { Duration::ZERO } else { self.until_next_task() };
            let woken = self.wake_rx.recv_timeout(pause);
            more_waits = self.take();
            self.run_due_task();
            if woken == Err(RecvTimeoutError::Disconnected) && !more_waits {
                break;
            }
        }
        match self.unsynced.take() {
            Some(error) => Err(error),
            None => self.save_checkpoint().and_then(|()| self.journal.close()),
        }
    }

    fn until_next_task(&self) -> Duration {
        let left = |interval: Duration, since: &Stopwatch| interval.saturating_sub(since.elapsed());
        let checkpoint = if self.state_reader.readiness.journal_failing() {
            Some(left(PROBE_INTERVAL, &self.since_checkpoint))
        } else if self.dirty_inputs.checkpoint_in_progress() {
            Some(Duration::ZERO)
        } else {
            (!self.dirty_inputs.is_empty()).then(|| left(CHECKPOINT_INTERVAL, &self.since_checkpoint))
        };
        let expiry = left(EXPIRY_INTERVAL, &self.since_expiry);
        checkpoint.map_or(expiry, |checkpoint| checkpoint.min(expiry)).max(left(self.pause, &self.since_task))
    }

    pub(super) fn run_due_task(&mut self) {
        if self.unsynced.is_some() {
            return;
        }
        if self.since_task.elapsed() >= self.pause {
            let stopwatch = Stopwatch::start();
            let task = self.run_most_urgent_task();
            let took = stopwatch.elapsed();
            if let Some(task) = task {
                tracing::debug!(task, seconds = took.as_secs_f64(), "task done");
            }
            // A probe may wait long for a journal that others hold, and no notification is recorded meanwhile.
            let failing = self.state_reader.readiness.journal_failing();
            self.pause = if failing { Duration::ZERO } else { took * PAUSE };
            self.since_task = Stopwatch::start();
        }
    }

    /// Returns what was done, if anything.
    fn run_most_urgent_task(&mut self) -> Option<&'static str> {
        let failing = self.state_reader.readiness.journal_failing();
        if self.checkpoint_wal_if_large() {
            Some("transfer")
        } else if failing && self.since_checkpoint.elapsed() >= PROBE_INTERVAL {
            self.since_checkpoint = Stopwatch::start();
            let probed = self.journal.probe();
            self.tried_to_write(probed);
            Some("probe")
        } else if self.dirty_inputs.checkpoint_in_progress() && !failing {
            self.save_next_slice();
            Some("checkpoint")
        } else if !self.dirty_inputs.is_empty() && !failing && self.since_checkpoint.elapsed() >= CHECKPOINT_INTERVAL {
            self.since_checkpoint = Stopwatch::start();
            self.dirty_inputs.begin_checkpoint();
            self.save_next_slice();
            Some("checkpoint")
        } else if self.since_expiry.elapsed() >= EXPIRY_INTERVAL {
            if !self.expire_or_forget() {
                self.since_expiry = Stopwatch::start();
            }
            Some("expiry")
        } else {
            None
        }
    }

    /// Whether that was all that may be done now.
    fn checkpoint_wal_if_large(&mut self) -> bool {
        match self.journal.checkpoint_wal_if_large() {
            Ok(transferred) => transferred,
            // Nothing may be written any more.
            Err(error) if error.kind() == JournalErrorKind::SyncFailed => {
                self.tried_to_write(Err(error));
                true
            }
            // What could not be transferred stays in the log, and is tried again.
            Err(_) => false,
        }
    }

    /// Does a part of what is due every minute; whether there is more.
    pub(super) fn expire_or_forget(&mut self) -> bool {
        match self.expire() {
            Ok(EXPIRED_AT_ONCE) => true,
            Ok(_) => {
                self.forget_silent_inputs();
                self.searched_until.is_some()
            }
            Err(error) => {
                self.tried_to_write(Err(error));
                false
            }
        }
    }

    fn save_next_slice(&mut self) {
        let slice = self.dirty_inputs.next_slice(SAVED_AT_ONCE, |input_id| row_size(&self.fold, input_id));
        let saved = self.save(slice);
        self.tried_to_write(saved);
    }

    /// Moves the checkpoint on to now, in one go.
    pub(super) fn save_checkpoint(&mut self) -> Result<(), JournalError> {
        self.since_checkpoint = Stopwatch::start();
        if self.dirty_inputs.is_empty() { Ok(()) } else { self.save(Slice::Everything) }
    }

    pub(super) fn save(&mut self, slice: Slice) -> Result<(), JournalError> {
        let recorded_until = self.recorded_until.max(self.state_reader.published.latest());
        let (fold, counted_until) = (&self.fold, self.journal.last_seq());
        let position = self.dirty_inputs.position_after(slice, counted_until);
        let gone = self.dirty_inputs.gone(position);
        let checkpoint = checkpoint(fold.state(), position, counted_until, recorded_until, gone);
        let rows = self.dirty_inputs.changed(slice).filter_map(|input_id| input_row(fold, input_id));
        self.journal.save_checkpoint(&checkpoint, rows, self.dirty_inputs.forgotten())?;
        self.dirty_inputs.saved(slice, position);
        Ok(())
    }

    /// Deletes some of the events past their retention; returns how many.
    pub(super) fn expire(&mut self) -> Result<u64, JournalError> {
        let expired = self.journal.expire(self.retention_clock.now().minus(self.limits.retention), EXPIRED_AT_ONCE)?;
        if expired > 0 {
            tracing::debug!(expired, "old events deleted");
            self.republish();
        }
        Ok(expired)
    }

    /// Looks for inputs that have been silent for too long, a part of them, and forgets them; returns how many.
    pub(super) fn forget_silent_inputs(&mut self) -> usize {
        if self.limits.forget_after.is_zero() {
            self.searched_until = None;
            return 0;
        }
        let shown_until = self.state_reader.published.begin_change(clock::now(), true);
        let horizon = self.retention_clock.now().minus(self.limits.forget_after);
        let search = self.fold.forget_silent_since(horizon, shown_until, self.searched_until, SEARCHED_AT_ONCE);
        self.searched_until = search.looked_until;
        let count = search.forgotten.len();
        if count > 0 {
            self.metrics.inputs_expired.inc_by(count as u64);
            search.forgotten.iter().for_each(|input_id| tracing::info!(%input_id, "input forgotten"));
            self.dirty_inputs.forget(search.forgotten, self.journal.last_seq());
            // Before it is seen, so that no crash brings them back; and before there are more, so that few rows go at
            // once.
            self.save_next_slice();
            if self.dirty_inputs.gone_count() >= NAMED_GONE {
                self.dirty_inputs.begin_checkpoint();
            }
        }
        self.republish();
        count
    }

    pub(super) fn adopt(&mut self, limits: Limits) {
        let shown_until = self.state_reader.published.begin_change(clock::now(), true);
        let rules_changed = limits.rules != self.fold.state().rules();
        if rules_changed {
            let settled = self.fold.set_rules(limits.rules, shown_until);
            // Their rows lack nothing of the journal's, but what is saved at once below.
            let next = self.journal.last_seq() + 1;
            settled.into_iter().for_each(|input_id| self.dirty_inputs.change(input_id, next));
            self.dirty_inputs.change_rules();
        }
        self.fold.configure(limits.configured.clone());
        self.fold.keep_secrets(limits.secrets.clone());
        self.limits = limits;
        if rules_changed {
            // A restart must fold what follows by the new rules, and what came before by the old.
            let saved = self.save_checkpoint();
            self.tried_to_write(saved);
        }
        self.republish();
    }

    fn republish(&self) {
        self.state_reader.published.publish(self.fold.state(), self.journal.events());
    }

    /// Notes whether the journal could be written, and says so when that changed.
    pub(super) fn tried_to_write(&mut self, tried: Result<(), JournalError>) {
        let readiness = self.state_reader.readiness.clone();
        let failing_before = readiness.journal_failing();
        readiness.set_journal_error(tried.as_ref().err().map(JournalError::kind));
        match tried {
            Ok(()) if failing_before => tracing::warn!("the journal can be written again"),
            Ok(()) => {}
            Err(error) if error.kind() == JournalErrorKind::SyncFailed => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(%error, cause, "the disk failed to sync; stopping, a new start finds what was synced");
                self.unsynced = Some(error);
            }
            Err(_) if failing_before => {}
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(%error, cause, "the journal cannot be written; notifications are refused until it can");
            }
        }
    }
}

/// From where time goes on: not before anything that an earlier run may have shown, unless the clock
/// was far ahead then.
fn plausible(recorded_until: Timestamp) -> Timestamp {
    let now = clock::now();
    if recorded_until > now.plus(CLOCK_TOLERANCE) {
        tracing::warn!(%recorded_until, %now, "the clock has gone back since the journal was written");
        return now;
    }
    recorded_until.max(now)
}

fn delivered(entry: Entry) -> RecentDelivery {
    let Entry { note, event, .. } = entry;
    RecentDelivery { received_at: event.received_at, outcome: Outcome::Recorded, note, event: Some(event) }
}
