//! Housekeeping between batches: one task at a time, each a few milliseconds long.

use std::error::Error;
use std::time::Duration;

use super::downtime::NOTE_INTERVAL;
use super::run_loop::Recorder;
use crate::clock::Stopwatch;
use crate::event::{RecordKind, Timestamp};
use crate::journal::{JournalError, JournalErrorKind, SqliteJournal};
use crate::live::{SearchLimits, SessionRows};

/// Interval between checkpoints. It limits the number of records that a restart has to replay.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between probes of a journal that cannot be written, if there are no notifications.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between searches for old records and silent inputs.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// Pause after a task, as a multiple of its duration. Without pauses, notifications would pile up during a long
/// checkpoint or expiry.
const PAUSE_FACTOR: u32 = 4;
/// Number of records to delete in one task.
pub(super) const EXPIRY_SLICE: u64 = 500;
/// How long an exception to a schedule is kept after its end: pages show the last day.
const EXCEPTION_RETENTION: Duration = Duration::from_secs(26 * 3600);
/// Limits of the search for silent inputs in one task.
const SEARCH_SLICE: SearchLimits = SearchLimits { visited: 10_000, found: 100 };

impl Recorder {
    /// The time until a task is due.
    pub(super) fn until_next_task(&self) -> Duration {
        let shared = self.until_shared();
        if let Some(shared) = shared.filter(|_| !self.leads()) {
            return if self.rules_pending_and_usable() { Duration::ZERO } else { shared };
        }
        let left = |interval: Duration, since: &Stopwatch| interval.saturating_sub(since.elapsed());
        let timers = &self.timers;
        let checkpoint = if self.state_reader.readiness.journal_failing() {
            Some(left(PROBE_INTERVAL, &timers.since_checkpoint))
        } else if self.dirty_inputs.checkpoint_in_progress() || self.rules_pending {
            Some(Duration::ZERO)
        } else {
            (!self.dirty_inputs.is_empty()).then(|| left(CHECKPOINT_INTERVAL, &timers.since_checkpoint))
        };
        let expiry = timers.until_expiry(EXPIRY_INTERVAL);
        let running = left(NOTE_INTERVAL, &timers.since_running);
        let due = checkpoint.map_or(expiry, |checkpoint| checkpoint.min(expiry)).min(running);
        let due = due.max(left(timers.pause, &timers.since_task));
        shared.map_or(due, |shared| due.min(shared))
    }

    /// Runs the most urgent task, if one is due.
    pub(super) fn run_due_task(&mut self) {
        if self.sync_error.is_some() || self.timers.since_task.elapsed() < self.timers.pause {
            return;
        }
        let stopwatch = Stopwatch::start();
        let task = self.run_most_urgent_task();
        let took = stopwatch.elapsed();
        if let Some(task) = task {
            tracing::debug!(task, seconds = took.as_secs_f64(), "housekeeping task done");
            if self.shared.is_none() {
                self.measure();
            }
        }
        self.measure_shared();
        // A probe may take long. No pause follows, because no notification can be recorded before one succeeds.
        let failing = self.state_reader.readiness.journal_failing();
        self.timers.pause = if failing { Duration::ZERO } else { took * PAUSE_FACTOR };
        self.timers.since_task = Stopwatch::start();
    }

    /// Returns the name of the task.
    fn run_most_urgent_task(&mut self) -> Option<&'static str> {
        let failing = self.state_reader.readiness.journal_failing();
        if !self.leads() {
            return self.rules_pending_and_usable().then(|| {
                self.change_rules();
                "rules"
            });
        }
        if self.checkpoint_wal() {
            Some("wal_checkpoint")
        } else if failing {
            (self.timers.since_checkpoint.elapsed() >= PROBE_INTERVAL).then(|| self.probe())
        } else if self.time_ahead_of_clock().is_some() {
            self.set_clock_back();
            Some("clock")
        } else if self.rules_pending {
            self.change_rules();
            Some("rules")
        } else if self.dirty_inputs.checkpoint_in_progress() {
            self.save_next_slice();
            Some("checkpoint")
        } else if self.checkpoint_is_due() {
            self.timers.restart_checkpoint();
            self.dirty_inputs.begin_checkpoint();
            self.save_next_slice();
            Some("checkpoint")
        } else if self.timers.until_expiry(EXPIRY_INTERVAL).is_zero() {
            if !self.expire_or_forget() {
                self.timers.restart_expiry();
                self.keep_reserve();
            }
            Some("expiry")
        } else if self.timers.since_running.elapsed() >= NOTE_INTERVAL {
            let noted = self.note_running();
            self.note_task(noted);
            Some("running")
        } else {
            None
        }
    }

    fn checkpoint_is_due(&self) -> bool {
        let many_sessions = self.sessions.as_ref().is_some_and(SessionRows::is_large);
        let is_time = many_sessions || self.timers.since_checkpoint.elapsed() >= CHECKPOINT_INTERVAL;
        is_time && !self.dirty_inputs.is_empty()
    }

    /// Returns whether it was needed and is done, or a sync failed.
    fn checkpoint_wal(&mut self) -> bool {
        let checkpointing = self.disk_operation("WAL checkpoint");
        let checkpointed = self.journal.local().map_or(Ok(false), SqliteJournal::checkpoint_wal_if_large);
        drop(checkpointing);
        match checkpointed {
            Ok(done) => {
                self.wal_grows = false;
                done
            }
            Err(error) if error.kind() == JournalErrorKind::SyncFailed => {
                self.note_written(Err(error));
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.wal_grows, true) {
                    let cause = error.source().map(ToString::to_string);
                    tracing::warn!(%error, cause, "WAL cannot be transferred to the database; it grows until it can");
                }
                false
            }
        }
    }

    /// Runs one part of the expiry: deletes old records, then forgets silent inputs. Returns whether there are more.
    pub(super) fn expire_or_forget(&mut self) -> bool {
        match self.expire() {
            Ok(EXPIRY_SLICE) => true,
            Ok(_) => {
                self.forget_silent_inputs();
                self.search_after.is_some()
            }
            Err(error) => {
                self.note_task(Err(error));
                false
            }
        }
    }

    /// Deletes some of the records after their retention. Returns their number.
    pub(super) fn expire(&mut self) -> Result<u64, JournalError> {
        let horizon = self.expiry_horizon();
        let deleting = self.disk_operation("deletion of old records");
        let expired = self.journal.expire(horizon, self.shared_now(), EXPIRY_SLICE)?;
        drop(deleting);
        self.drop_forgotten(horizon);
        self.drop_exceptions();
        if expired > 0 {
            tracing::debug!(expired, "old records deleted");
            self.publish_state();
        }
        Ok(expired)
    }

    /// Older records have expired.
    pub(super) fn expiry_horizon(&mut self) -> Timestamp {
        self.retention_now().minus(self.limits.retention)
    }

    fn retention_now(&mut self) -> Timestamp {
        let now = self.shared_now();
        self.retention_clock.now(now)
    }

    /// Drops some of the forgotten inputs that exceed the maximum number of inputs or were forgotten before `horizon`:
    /// late events about the latter are as old as deleted records.
    fn drop_forgotten(&mut self, horizon: Timestamp) {
        let state = self.fold.state();
        let surplus = state.forgotten().surplus(horizon, state.rules().max_inputs);
        let surplus: Vec<_> = surplus.take(SEARCH_SLICE.found).collect();
        if !surplus.is_empty() {
            self.fold.drop_forgotten(&surplus);
            self.dirty_inputs.mark(surplus.into_iter(), self.journal.last_position() + 1);
        }
    }

    /// Drops some of the exceptions to schedules that have ended. A wrong clock ends none, as it deletes no records.
    pub(super) fn drop_exceptions(&mut self) {
        let horizon = self.retention_now().minus(EXCEPTION_RETENTION);
        let ended: Vec<_> = self.fold.state().exceptions().ended(horizon).take(SEARCH_SLICE.found).collect();
        if !ended.is_empty() {
            self.fold.drop_exceptions(&ended);
            self.dirty_inputs.mark(ended.into_iter(), self.journal.last_position() + 1);
        }
    }

    /// Searches a part of the inputs for silent ones and forgets them. Returns their number.
    pub(super) fn forget_silent_inputs(&mut self) -> usize {
        if self.limits.forget_after.is_zero() {
            self.search_after = None;
            return 0;
        }
        let horizon = self.retention_now().minus(self.limits.forget_after);
        let search = self.fold.state().silent_inputs(horizon, self.search_after, SEARCH_SLICE);
        let count = search.found.len();
        if count > 0 && self.record_changes(search.found.iter().copied().map(RecordKind::Forgotten)).is_none() {
            // The next search finds them again.
            self.search_after = None;
            return 0;
        }
        search.found.iter().for_each(|input_id| tracing::info!(%input_id, "input forgotten"));
        self.search_after = search.resume_after;
        self.metrics.inputs_forgotten.with_label_values(&["silent"]).inc_by(count as u64);
        count
    }
}
