//! A batch: records and deliveries that are made durable together.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::handle::Answer;
use super::{Delivery, Outcome, RecentDelivery, Reservation};
use crate::event::{EventKind, IgnoredReason, Note, Notification, Record, RecordKind, Timestamp};
use crate::journal::{BatchId, Unrecognized};
use crate::live::{LastSeen, State, Verdict};

/// The reason with which bodies that are not JSON are kept and rejected.
const NOT_JSON: &str = "not_json";

/// Deliveries, or other changes, that are not durable yet.
pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) records: Vec<Record>,
    pub(super) unrecognized: Vec<Unrecognized>,
    /// The times at which deliveries were last seen, including these.
    pub(super) last_seen: Arc<LastSeen>,
    deliveries: Vec<Pending>,
}

/// A delivery without its event, which is the next of the records.
struct Pending {
    received_at: Timestamp,
    peer: Option<IpAddr>,
    /// The outcome; `None` for an event.
    outcome: Option<Outcome>,
    /// The kept body that it was read from.
    kept: Option<u64>,
    answer: Answer,
    /// Released together with the delivery.
    _reservation: Reservation,
}

impl Batch {
    /// A batch of changes that do not come from deliveries.
    pub(super) fn of(kinds: impl Iterator<Item = RecordKind>, last_seen: Arc<LastSeen>) -> Self {
        let records = kinds.map(Record::new).collect();
        let id = BatchId::random();
        Self { id, records, unrecognized: Vec::new(), last_seen, deliveries: Vec::new() }
    }

    /// A batch of deliveries. The last use is recorded for `secrets` only.
    pub(super) fn of_deliveries(
        deliveries: Vec<(Delivery, Answer)>,
        last_seen: &LastSeen,
        secrets: &BTreeSet<String>,
    ) -> Self {
        let count = deliveries.len();
        let mut last_seen = last_seen.clone();
        let mut batch = Self {
            id: BatchId::random(),
            records: Vec::with_capacity(count),
            unrecognized: Vec::new(),
            last_seen: Arc::default(),
            deliveries: Vec::with_capacity(count),
        };
        for (Delivery { received_at, peer, secret, notification, body, kept, reservation }, answer) in deliveries {
            // What is not JSON is no notification, so it does not end a silence.
            if notification != Notification::NotJson {
                // A secret may have been removed while a delivery with it was in flight.
                let secret = Some(secret.as_ref()).filter(|secret| secrets.contains(*secret));
                last_seen.record(received_at, secret, notification == Notification::Test);
            }
            let mut keep = |reason: &'static str, body: Bytes| {
                batch.unrecognized.push(Unrecognized { received_at, reason: reason.into(), body: body.into() });
            };
            let outcome = match notification {
                Notification::Test => Some(Outcome::Test),
                Notification::Ignored(reason) => {
                    keep(reason.label(), body);
                    Some(Outcome::Ignored(reason))
                }
                Notification::NotJson => {
                    keep(NOT_JSON, body);
                    Some(Outcome::NotJson)
                }
                Notification::Event(event) => {
                    batch.records.push(Record::new(RecordKind::Event(event, None)));
                    None
                }
            };
            batch.deliveries.push(Pending { received_at, peer, outcome, kept, answer, _reservation: reservation });
        }
        batch.last_seen = Arc::new(last_seen);
        batch
    }

    /// A batch that waited in the spool; its deliveries were answered.
    pub(super) fn of_spooled(
        id: BatchId,
        records: Vec<Record>,
        unrecognized: Vec<Unrecognized>,
        last_seen: LastSeen,
    ) -> Self {
        Self { id, records, unrecognized, last_seen: Arc::new(last_seen), deliveries: Vec::new() }
    }

    /// Adds when other replicas last saw deliveries.
    pub(super) fn merge_last_seen(&mut self, others: &LastSeen) {
        Arc::make_mut(&mut self.last_seen).merge(others);
    }

    /// Whether some deliveries have no record.
    pub(super) fn has_recordless(&self) -> bool {
        self.deliveries.iter().any(|pending| pending.outcome.is_some())
    }

    /// Separates the deliveries without a record, which a full spool still takes.
    pub(super) fn split_recordless(mut self) -> (Self, Self) {
        let (recordless, with_records) = self.deliveries.into_iter().partition(|pending| pending.outcome.is_some());
        let records = std::mem::take(&mut self.records);
        let with_records = Self {
            id: self.id,
            records,
            unrecognized: Vec::new(),
            last_seen: self.last_seen.clone(),
            deliveries: with_records,
        };
        self.deliveries = recordless;
        (Self { id: BatchId::random(), ..self }, with_records)
    }

    /// Whether the batch has deliveries; all of its records are then events.
    pub(super) fn has_deliveries(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// Whether it records that the clock was set back; it then has no other record.
    pub(super) fn sets_clock_back(&self) -> bool {
        self.records.first().is_some_and(|record| record.kind == RecordKind::ClockSetBack)
    }

    /// Prepares all records for an attempt to append them. An attempt that failed may have set their positions.
    pub(super) fn begin(&mut self, recorded_at: Timestamp, shown_until: Timestamp) {
        for record in &mut self.records {
            (record.position, record.recorded_at, record.shown_until) = (0, recorded_at, shown_until);
        }
    }

    /// The records to append: those that are new, with their notes.
    pub(super) fn new_records<'a>(&'a mut self, verdicts: &'a [Verdict]) -> impl Iterator<Item = &'a mut Record> {
        self.records.iter_mut().zip(verdicts).filter_map(|(record, verdict)| {
            let Verdict::Recorded(note) = verdict else { return None };
            if let RecordKind::Event(_, event_note) = &mut record.kind {
                *event_note = *note;
            }
            Some(record)
        })
    }

    /// The kept bodies that were read again and are of use now, so that they need not be kept any more.
    pub(super) fn understood(&self, verdicts: &[Verdict]) -> Vec<u64> {
        let mut verdicts = verdicts.iter();
        let outcomes = self.deliveries.iter().map(|pending| {
            let of_event = || verdicts.next().map(|verdict| outcome_of(*verdict).0);
            (pending.kept, pending.outcome.or_else(of_event))
        });
        let of_use =
            |(kept, outcome): (Option<u64>, Option<Outcome>)| kept.filter(|_| outcome.is_some_and(Outcome::is_of_use));
        outcomes.filter_map(of_use).collect()
    }

    /// The outcome of each delivery, and the channel for its answer.
    pub(super) fn outcomes(self, verdicts: &[Verdict]) -> (Vec<Arc<RecentDelivery>>, Vec<Answer>) {
        let mut events = self.records.into_iter().zip(verdicts);
        let mut recent = |received_at, peer, outcome: Option<Outcome>| match outcome {
            Some(outcome) => RecentDelivery { received_at, peer, outcome, note: None, event: None },
            None => {
                let (record, verdict) = events.next().expect("every delivery of an event has a record");
                let RecordKind::Event(event, _) = record.kind else { unreachable!("deliveries have events only") };
                let (outcome, note) = outcome_of(*verdict);
                RecentDelivery { received_at, peer, outcome, note, event: Some(event) }
            }
        };
        let each = self.deliveries.into_iter();
        each.map(|pending| (Arc::new(recent(pending.received_at, pending.peer, pending.outcome)), pending.answer))
            .unzip()
    }

    /// Answers every sender that its delivery is not durable.
    pub(super) fn refuse(self) {
        for pending in self.deliveries {
            // The sender may have disconnected.
            let _ = pending.answer.send(None);
        }
    }
}

fn outcome_of(verdict: Verdict) -> (Outcome, Option<Note>) {
    match verdict {
        Verdict::Recorded(note) => (Outcome::Recorded, note),
        // Only corrections have the last one.
        Verdict::Duplicate | Verdict::UnknownInput => (Outcome::Duplicate, None),
        Verdict::Ignored(reason) => (Outcome::Ignored(reason), None),
    }
}

/// Logs a delivery: at level info if an input changed, else at debug. `state` has the names of the inputs.
pub(super) fn log(delivery: &RecentDelivery, state: &State) {
    let outcome = delivery.outcome.name();
    let note = delivery.note.map(Note::label);
    let reason = delivery.outcome.ignored().map(IgnoredReason::label);
    let Some(event) = &delivery.event else {
        tracing::debug!(outcome, reason, "notification without event");
        return;
    };
    let (input_id, updated_at) = (event.input_id, event.updated_at);
    let name = Some(state.name(&input_id)).filter(|name| !name.is_empty());
    match (&event.kind, delivery.outcome, note) {
        (EventKind::Errored(detail), Outcome::Recorded, _) => {
            let code = detail.code.as_str();
            tracing::info!(%input_id, name, event = "errored", code, %updated_at, "input errored");
        }
        (kind, Outcome::Recorded, None) => {
            tracing::info!(%input_id, name, event = kind.name(), %updated_at, "input changed");
        }
        (kind, Outcome::Recorded, Some(note)) => {
            tracing::debug!(%input_id, name, event = kind.name(), %updated_at, note, "event recorded without a change");
        }
        (kind, _, _) => {
            tracing::debug!(%input_id, name, event = kind.name(), %updated_at, outcome, reason, "event not recorded");
        }
    }
}
