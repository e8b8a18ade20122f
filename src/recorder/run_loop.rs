//! The recorder's loop, and the order of every batch.
//!
//! | step | what happens |
//! |---|---|
//! | begin | the journal's write lock is taken, unless the commit takes it, and scrapes stop advancing the shown time |
//! | apply the tail | of a shared journal: what other replicas appended |
//! | apply | new records are checked against the state, and their changes are computed |
//! | append, commit | new records become durable |
//! | publish | changes become visible |
//! | answer | senders get their outcome |
//! | log | what changed |
//!
//! With a shared journal, `shared/` brings the state up to date between batches. If the journal is away, the batch goes to
//! the spool instead.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::batch::{Batch, log};
use super::dirty_inputs::DirtyInputs;
use super::disk_activity::UnderWay;
use super::following::Following;
use super::handle::{Answer, Message, Queue};
use super::retention_clock::RetentionClock;
use super::rules_history::RulesHistory;
use super::share::Shared;
use super::timers::Timers;
use super::{Delivery, Limits, Outcome, RecentDelivery, StateReader};
use crate::clock::{self, Stopwatch};
use crate::event::{InputId, Record, RecordKind, Timestamp};
use crate::journal::{Journal, JournalError, JournalErrorKind};
use crate::live::{Changes, Downtime, Fold, LastSeen, SessionRows, Verdict, apply};
use crate::metrics::Exporter;

/// Maximum number of deliveries in a batch.
const MAX_BATCH: usize = 1024;

pub(super) struct Recorder {
    pub(super) journal: Box<dyn Journal>,
    pub(super) fold: Fold,
    pub(super) limits: Limits,
    /// The limits' rules are not durable yet.
    pub(super) rules_pending: bool,
    pub(super) queue: Queue,
    pub(super) state_reader: StateReader,
    pub(super) metrics: Arc<Exporter>,
    /// Inputs whose rows of the checkpoint are out of date.
    pub(super) dirty_inputs: DirtyInputs,
    pub(super) rules_history: RulesHistory,
    /// Sessions that the journal lacks; `None` if it does not keep them.
    pub(super) sessions: Option<SessionRows>,
    pub(super) timers: Timers,
    /// Where the search for silent inputs resumes, if one is in progress.
    pub(super) search_after: Option<InputId>,
    pub(super) retention_clock: RetentionClock,
    /// The last time during which the daemon did not run.
    pub(super) downtime: Option<Downtime>,
    /// There is a reserve of disk space for expiry.
    pub(super) has_reserve: bool,
    /// The last WAL checkpoint failed; set while a warning is in force.
    pub(super) wal_grows: bool,
    /// `recorded_at` of the newest record.
    pub(super) recorded_until: Timestamp,
    /// A sync failed: nothing may be written any more.
    pub(super) sync_error: Option<JournalError>,
    /// What a shared journal needs; `None` for a local one.
    pub(super) shared: Option<Shared>,
}

impl Recorder {
    /// Runs until [`super::Handle::finish`], or until a sync fails.
    pub(super) fn run(mut self) -> Result<(), JournalError> {
        let mut more_waiting = false;
        while self.sync_error.is_none() {
            // Nothing is queued after a request to finish, so an empty queue stays empty.
            let finishing = self.queue.control.finishing();
            let pause = if more_waiting || finishing { Duration::ZERO } else { self.until_next_task() };
            self.state_reader.readiness.disk().progress(pause);
            let woken = self.queue.wake_rx.recv_timeout(pause);
            self.state_reader.readiness.disk().progress(Duration::ZERO);
            self.follow_shared();
            more_waiting = self.record_waiting();
            if (finishing || woken == Err(RecvTimeoutError::Disconnected)) && !more_waiting {
                break;
            }
            self.run_due_task();
        }
        if let Some(error) = self.sync_error.take() {
            return Err(error);
        }
        match self.end() {
            Err(error) if error.kind() != JournalErrorKind::SyncFailed => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(%error, cause, "last checkpoint cannot be written; the next start replays the records after the one before");
                Ok(())
            }
            closed => closed,
        }
    }

    /// Writes the last checkpoint and closes the journal. Everything that was answered is durable already.
    fn end(mut self) -> Result<(), JournalError> {
        if self.shared.is_some() {
            return self.end_shared();
        }
        // Later scrapes show the time that the checkpoint has.
        self.state_reader.published.begin_change();
        self.save_checkpoint()?;
        self.note_running()?;
        let _closing = self.disk_operation("close");
        self.journal.close()
    }

    /// An operation on the disk that lasts until the returned value is dropped.
    pub(super) fn disk_operation(&self, name: &'static str) -> UnderWay {
        self.state_reader.readiness.disk().begin(name)
    }

    /// Publishes the size of the journal on disk, and its oldest event.
    pub(super) fn measure(&self) {
        let _measuring = self.disk_operation("size query");
        let oldest = self.journal.oldest_event_at().ok().flatten();
        self.state_reader.published.set_journal_size(self.journal.size_bytes(), oldest);
    }

    /// Records what is in the queue, up to one batch. Returns whether more may be waiting.
    fn record_waiting(&mut self) -> bool {
        if let Some(limits) = self.queue.control.take_limits() {
            self.adopt(limits);
        }
        if let Some(facts) = self.queue.control.take_api_facts() {
            self.adopt_api_facts(facts);
        }
        let mut deliveries = Vec::new();
        let mut more_waiting = true;
        while more_waiting && deliveries.len() < MAX_BATCH {
            match self.queue.try_recv() {
                Ok(Message::Deliver(delivery, answer)) => deliveries.push((delivery, answer)),
                Ok(other) => {
                    self.record_deliveries(std::mem::take(&mut deliveries));
                    self.record_other(other);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => more_waiting = false,
            }
        }
        self.record_deliveries(deliveries);
        more_waiting
    }

    fn record_other(&mut self, message: Message) {
        match message {
            Message::Deliver(delivery, answer) => self.record_deliveries(vec![(delivery, answer)]),
            Message::Correct(correction, answer) => self.correct(correction, answer),
            Message::Except(exception, answer) => self.except(exception, answer),
            Message::Observe(observation) => self.observe(observation),
            Message::RecordHistory(events, answer) => self.record_history(events, answer),
        }
    }

    pub(super) fn record_deliveries(&mut self, deliveries: Vec<(Delivery, Answer)>) {
        if !deliveries.is_empty() {
            self.set_clock_back();
            self.record(Batch::of_deliveries(deliveries, self.fold.state().last_seen(), &self.limits.secrets));
        }
    }

    /// Records changes that do not come from deliveries. Returns the verdicts if they are durable.
    pub(super) fn record_changes(&mut self, kinds: impl Iterator<Item = RecordKind>) -> Option<Vec<Verdict>> {
        self.record(Batch::of(kinds, self.fold.state().last_seen().clone()))
    }

    /// Records a batch. Returns the verdicts if it is durable.
    pub(super) fn record(&mut self, mut batch: Batch) -> Option<Vec<Verdict>> {
        if self.sync_error.is_some() {
            batch.refuse();
            return None;
        }
        if self.shared.as_ref().is_some_and(Shared::spools) {
            self.spool(batch, false);
            return None;
        }
        match self.write(&mut batch).or_else(|error| self.write_again(&mut batch, error)) {
            Ok((changes, verdicts)) => {
                self.note_written(Ok(()));
                self.state_reader.published.set_committed(clock::now());
                self.note_dirty(&batch.records, &changes);
                let last_seen = batch.last_seen.clone();
                let set_back = batch.sets_clock_back().then_some(self.recorded_until);
                let (deliveries, answers) = batch.outcomes(&verdicts);
                self.publish(changes, last_seen, &deliveries, set_back);
                self.answer(&deliveries, answers);
                Some(verdicts)
            }
            Err(error) if self.shared.is_some() => {
                self.note_shared(&error, None);
                self.spool(batch, true);
                None
            }
            Err(error) => {
                self.metrics.append_failures.inc();
                self.note_written(Err(error));
                self.state_reader.published.end_change(clock::now());
                batch.refuse();
                None
            }
        }
    }

    /// Writes a batch again, if the cause of the error can be removed.
    pub(super) fn write_again(
        &mut self,
        batch: &mut Batch,
        error: JournalError,
    ) -> Result<(Changes, Vec<Verdict>), JournalError> {
        let kind = error.kind();
        if kind == JournalErrorKind::DiskFull && self.shared.is_none() {
            self.write_on_full_disk(batch, error)
        } else if kind == JournalErrorKind::Behind {
            self.catch_up()?;
            self.write(batch)
        } else {
            Err(error)
        }
    }

    /// Answers deliveries that are durable, then logs them.
    pub(super) fn answer(&self, deliveries: &[Arc<RecentDelivery>], answers: Vec<Answer>) {
        for (delivery, answer) in deliveries.iter().zip(answers) {
            // The listener counts what it rejects.
            if delivery.outcome != Outcome::NotJson {
                self.metrics.notified(delivery.outcome.name(), delivery.outcome.ignored());
            }
            // The sender may have disconnected; its delivery stays recorded.
            let _ = answer.send(Some(delivery.outcome));
        }
        deliveries.iter().for_each(|delivery| log(delivery, self.fold.state()));
    }

    /// Makes a batch durable. If that fails, nothing changes, except that records of others are applied.
    pub(super) fn write(&mut self, batch: &mut Batch) -> Result<(Changes, Vec<Verdict>), JournalError> {
        let stopwatch = Stopwatch::start();
        let appending = self.disk_operation("append");
        let mut append = if batch.has_deliveries() {
            self.journal.begin_without_tail(batch.id)?
        } else {
            // It may have waited in the spool, and an attempt before may have appended it.
            self.journal.begin(batch.id)?
        };
        let tail = append.tail();
        let (now, shown_until) = match (&tail, &mut self.shared) {
            (Some(tail), Some(shared)) => {
                let Self { fold, dirty_inputs, rules_history, recorded_until, sessions, .. } = self;
                let sessions = sessions.as_mut();
                let mut following = Following { fold, dirty_inputs, rules_history, recorded_until, sessions };
                let mut others = shared.adopt(tail, &mut following).unwrap_or_default();
                self.limits.drop_other_secrets(&mut others);
                if !batch.sets_clock_back() {
                    batch.merge_last_seen(&others);
                }
                self.recorded_until = self.recorded_until.max(tail.recorded_until);
                (tail.now.unwrap_or_else(|| shared.now()), tail.shown_until)
            }
            _ => (clock::now(), self.state_reader.published.begin_change()),
        };
        let recorded_at = if batch.sets_clock_back() { now } else { self.recorded_until.max(now) };
        batch.begin(recorded_at, shown_until);

        let (changes, verdicts) = appending.compute(|| apply(&self.fold, &batch.records));

        append.records(&mut batch.new_records(&verdicts))?;
        if !tail.as_ref().is_some_and(|tail| tail.has_batch) {
            append.unrecognized(&batch.unrecognized)?;
        }
        append.forget_unrecognized(&batch.understood(&verdicts))?;
        append.last_seen(&serde_json::to_string(&*batch.last_seen).expect("plain data serializes"))?;
        append.commit()?;
        self.recorded_until = recorded_at;
        if let Some(tail) = tail {
            self.show_tail(&tail.records);
        }
        if batch.has_deliveries() {
            let events = batch.records.iter().filter(|record| record.is_appended()).count();
            self.metrics.committed(events, stopwatch.elapsed());
        }
        Ok((changes, verdicts))
    }

    /// Marks what the checkpoint does not have yet.
    pub(super) fn note_dirty(&mut self, records: &[Record], changes: &Changes) {
        let mut appended = records.iter().filter(|record| record.is_appended());
        let Some(first) = appended.next() else { return };
        self.dirty_inputs.mark(changes.input_ids(), first.position);
        if let Some(sessions) = &mut self.sessions {
            sessions.add(&self.fold, changes, self.journal.last_position());
        }
        for record in records.iter().filter(|record| record.is_appended()) {
            if let RecordKind::Rules(rules) = &record.kind {
                self.rules_history.push(record.position, rules.clone());
            }
        }
    }

    fn publish(
        &mut self,
        changes: Changes,
        last_seen: Arc<LastSeen>,
        deliveries: &[Arc<RecentDelivery>],
        set_back: Option<Timestamp>,
    ) {
        let Self { fold, journal, .. } = self;
        self.state_reader.published.change(clock::now(), set_back, journal.events(), deliveries, || {
            fold.adopt(changes);
            fold.set_last_seen(last_seen);
            fold.state().clone()
        });
    }

    /// Publishes a state that changed without records.
    pub(super) fn publish_state(&mut self) {
        if !self.has_state() {
            return;
        }
        let state = self.fold.state().clone();
        self.state_reader.published.change(clock::now(), None, self.journal.events(), &[], || state);
    }
}
