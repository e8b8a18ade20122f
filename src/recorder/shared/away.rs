//! Deliveries go to the spool while the shared journal is away, and into the journal when it is back.
//!
//! Until the spool has drained, gauges show the spool: a copy of the state with its records. Counters do not, because
//! others may append records first, and a counter must not fall.

use crate::clock;
use crate::event::{Record, RecordKind};
use crate::journal::{JournalError, JournalErrorKind, Spool, SpooledBatch};
use crate::live::{Verdict, apply};
use crate::recorder::batch::Batch;
use crate::recorder::run_loop::Recorder;

impl Recorder {
    /// Makes a batch durable in the spool. `tried` says that the journal may have it already.
    pub(in crate::recorder) fn spool(&mut self, mut batch: Batch, tried: bool) {
        if !batch.has_deliveries() {
            // Corrections and other changes are decided by the state of the journal, so they cannot wait.
            return batch.refuse();
        }
        let spooling = self.disk_operation("append to the spool");
        let Some(shared) = self.shared.as_mut() else { return batch.refuse() };
        let now = shared.now();
        batch.begin(now, now);
        if shared.overlay.is_none() && shared.has_state {
            shared.overlay = Some(self.fold.clone());
        }
        let (changes, verdicts) = match &shared.overlay {
            Some(overlay) => {
                let (changes, verdicts) = apply(overlay, &batch.records);
                (Some(changes), verdicts)
            }
            None => (None, vec![Verdict::Recorded(None); batch.records.len()]),
        };
        let records: Vec<Record> = batch.new_records(&verdicts).map(|record| unjudged(record)).collect();
        let last_seen = serde_json::to_string(&*batch.last_seen).expect("plain data serializes");
        let tried = tried.then_some(batch.id);
        let Some(spool) = &mut shared.spool else { return batch.refuse() };
        let spooled = spool.append(tried, &records, &batch.unrecognized, &last_seen);
        drop(spooling);
        match spooled {
            Ok(()) => {
                if let (Some(overlay), Some(changes)) = (&mut shared.overlay, changes) {
                    overlay.adopt(changes);
                    overlay.set_last_seen(batch.last_seen.clone());
                }
                self.note_written(Ok(()));
                self.state_reader.published.set_committed(clock::now());
                self.fold.set_last_seen(batch.last_seen.clone());
                let (deliveries, answers) = batch.outcomes(&verdicts);
                self.publish_spool();
                self.publish_shared();
                self.state_reader.published.add_recent(deliveries.iter().cloned());
                self.answer(&deliveries, answers);
            }
            Err(error) if error.kind() == JournalErrorKind::SpoolFull && batch.has_recordless() => {
                // "Save and Test" always works.
                let (recordless, with_records) = batch.split_recordless();
                self.spool(recordless, false);
                self.refuse_spooling(with_records, error);
            }
            Err(error) => self.refuse_spooling(batch, error),
        }
    }

    /// Refuses a batch. Smaller ones may still fit into a spool that is full for this one.
    fn refuse_spooling(&mut self, batch: Batch, error: JournalError) {
        self.metrics.append_failures.inc();
        if error.kind() == JournalErrorKind::SpoolFull {
            let readiness = &self.state_reader.readiness;
            if !readiness.spool_full() {
                tracing::error!(%error, "notifications are refused until the journal is back");
            }
            readiness.set_spool_full(true);
        } else {
            self.note_written(Err(error));
        }
        self.publish_shared();
        batch.refuse();
    }

    /// Appends the oldest batch of the spool to the journal.
    pub(super) fn drain(&mut self) -> Result<(), JournalError> {
        let spool = self.shared.as_mut().and_then(|shared| shared.spool.as_mut());
        let Some(spooled) = spool.map_or(Ok(None), Spool::oldest)? else { return Ok(()) };
        let mut batch = batch_of(&spooled, self.fold.state().last_seen());
        let (changes, verdicts) = self.write(&mut batch).or_else(|error| self.write_again(&mut batch, error))?;
        let ignored = |verdict: &Verdict| matches!(verdict, Verdict::Ignored(_));
        if let Some(Verdict::Ignored(reason)) = verdicts.iter().find(|verdict| ignored(verdict)) {
            let events = verdicts.iter().filter(|verdict| ignored(verdict)).count();
            tracing::warn!(
                events,
                reason = reason.label(),
                "events of the spool were accepted, and cannot be used now"
            );
        }
        self.note_dirty(&batch.records, &changes);
        self.fold.adopt(changes);
        self.fold.set_last_seen(batch.last_seen.clone());
        let appended = batch.records.iter().filter(|record| record.is_appended()).count();
        let Some(shared) = &mut self.shared else { return Ok(()) };
        // If this fails, the batch is appended again, and all its events are duplicates.
        shared.spool.as_mut().map_or(Ok(()), |spool| spool.remove(&spooled))?;
        if !shared.has_spooled() {
            shared.overlay = None;
            self.state_reader.readiness.set_spool_full(false);
            tracing::info!(appended, "spool is empty: everything in it is in the journal");
        }
        self.note_written(Ok(()));
        self.publish_state();
        self.publish_spool();
        Ok(())
    }

    /// Makes the state with the spool from the restored state and what is in the spool.
    pub(in crate::recorder) fn restore_overlay(&mut self) {
        let Some(shared) = self.shared.as_mut().filter(|shared| shared.has_state) else { return };
        shared.overlay = None;
        let Some(spool) = shared.spool.as_ref().filter(|spool| !spool.is_empty()) else { return };
        let mut overlay = self.fold.clone();
        let replayed = spool.replay(|records| drop(overlay.extend(records)));
        shared.overlay = Some(overlay);
        if let Err(error) = replayed {
            self.note_written(Err(error));
        }
    }

    /// Publishes the state that gauges show.
    pub(in crate::recorder) fn publish_spool(&self) {
        let overlay = self.shared.as_ref().and_then(|shared| shared.overlay.as_ref());
        self.state_reader.published.set_gauges(overlay.map(|overlay| overlay.state().clone()));
    }

    /// Notes that the shared journal cannot be used, and logs it unless it failed in the same way before.
    pub(in crate::recorder) fn note_shared(&mut self, error: &JournalError, before: Option<JournalErrorKind>) {
        let Some(shared) = &mut self.shared else { return };
        let kind = error.kind();
        if kind == JournalErrorKind::TailLost {
            shared.restored = false;
            let applied = self.journal.last_position();
            tracing::error!(%error, applied, "the journal lost records that were applied: everything is restored from it");
            return;
        }
        shared.failing = Some(kind);
        if before == Some(kind) {
            return;
        }
        let cause = std::error::Error::source(error).map(ToString::to_string);
        if kind == JournalErrorKind::Away {
            tracing::warn!(%error, cause, "journal is away; notifications are kept in the spool until it is back");
        } else {
            tracing::error!(%error, cause, "journal cannot be used; notifications are kept in the spool");
        }
        self.lose_lease();
    }
}

/// A record as it was before it was judged.
fn unjudged(record: &Record) -> Record {
    let mut record = Record { position: 0, ..record.clone() };
    if let RecordKind::Event(_, note) = &mut record.kind {
        *note = None;
    }
    record
}

fn batch_of(spooled: &SpooledBatch, last_seen: &crate::live::LastSeen) -> Batch {
    let SpooledBatch { id, records, unrecognized, last_seen: spooled_last_seen, .. } = spooled.clone();
    let mut merged = last_seen.clone();
    if let Some(other) = spooled_last_seen.and_then(|text| serde_json::from_str(&text).ok()) {
        merged.merge(&other);
    }
    Batch::of_spooled(id, records, unrecognized, merged)
}
