//! One batch: draft, append, publish, answer.

use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use tokio::sync::oneshot;

use super::restore::deliveries;
use super::{Delivery, Message, Outcome, RecentDelivery, Recorder};
use crate::clock::{self, Stopwatch};
use crate::event::{EventKind, IgnoredReason, Notification, Timestamp};
use crate::journal::{Entry, JournalError, Unrecognized};
use crate::live::{Changes, Draft, Note, Verdict};

/// So many deliveries share a sync at the most; the rest waits for the next one.
const LARGEST_BATCH: usize = 1024;

/// An event that is older than this when it arrives may contradict what was shown for long.
const LATE: Duration = Duration::from_secs(60);

type Answer = oneshot::Sender<Option<Outcome>>;

/// LastSeen on their way to becoming durable, and who waits for that.
struct Batch {
    recorded_at: Timestamp,
    shown_until: Timestamp,
    deliveries: Vec<RecentDelivery>,
    answers: Vec<Answer>,
    entries: Vec<Entry>,
    unrecognized: Vec<Unrecognized>,
}

impl Recorder {
    /// Takes all that waits, or as much as one batch may have; whether more may wait.
    pub(super) fn take(&mut self) -> bool {
        let mut deliveries = Vec::new();
        let mut more_waits = true;
        while more_waits && deliveries.len() < LARGEST_BATCH {
            match self.queue.try_recv() {
                Ok(Message::Deliver(delivery, answer)) => deliveries.push((delivery, answer)),
                Ok(Message::Adopt(limits)) => {
                    // What was queued before is folded before.
                    self.record(std::mem::take(&mut deliveries));
                    self.adopt(limits);
                }
                Ok(Message::Finish) => self.finished = true,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => more_waits = false,
            }
        }
        self.record(deliveries);
        more_waits
    }

    pub(super) fn record(&mut self, deliveries: Vec<(Delivery, Answer)>) {
        // Whoever is dropped here is answered 503.
        if deliveries.is_empty() || self.unsynced.is_some() {
            return;
        }
        let now = clock::now();
        let shown_until =
            self.state_reader.published.begin_change(now, !deliveries.iter().any(|(delivery, _)| is_late(delivery)));
        self.recorded_until = self.recorded_until.max(now);
        let mut batch = Batch::new(self.recorded_until, shown_until, deliveries.len());
        let mut draft = self.fold.draft(shown_until);
        for (delivery, answer) in deliveries {
            batch.add(&mut draft, delivery, answer);
        }
        let changes = draft.finish();
        match self.append(&mut batch, &changes) {
            Ok(()) => self.publish(batch, changes),
            Err(error) => self.abandon(batch, error),
        }
    }

    fn append(&mut self, batch: &mut Batch, changes: &Changes) -> Result<(), JournalError> {
        let stopwatch = Stopwatch::start();
        self.journal.append(&mut batch.entries, &batch.unrecognized, Some(&deliveries(changes)))?;
        self.metrics.committed(batch.entries.len(), stopwatch.elapsed());
        self.tried_to_write(Ok(()));
        Ok(())
    }

    fn publish(&mut self, batch: Batch, changes: Changes) {
        for entry in &batch.entries {
            self.dirty_inputs.change(entry.event.input_id, entry.seq);
        }
        let Batch { deliveries, answers, .. } = batch;
        let outcomes: Vec<_> = deliveries.iter().map(|delivered| delivered.outcome).collect();
        deliveries.iter().for_each(log);
        self.state_reader.published.adopt(&mut self.fold, changes, self.journal.events(), deliveries.into_iter());
        for (outcome, answer) in outcomes.into_iter().zip(answers) {
            self.metrics.notified(outcome.name(), ignored(outcome));
            // The sender may be gone; its delivery stays recorded.
            let _ = answer.send(Some(outcome));
        }
    }

    fn abandon(&mut self, batch: Batch, error: JournalError) {
        self.metrics.append_failures.inc();
        self.tried_to_write(Err(error));
        self.state_reader.published.abandon();
        for answer in batch.answers {
            let _ = answer.send(None);
        }
    }
}

impl Batch {
    /// An empty one with room for so many deliveries.
    fn new(recorded_at: Timestamp, shown_until: Timestamp, room: usize) -> Self {
        Self {
            recorded_at,
            shown_until,
            deliveries: Vec::with_capacity(room),
            answers: Vec::with_capacity(room),
            entries: Vec::with_capacity(room),
            unrecognized: Vec::new(),
        }
    }

    fn add(&mut self, draft: &mut Draft<'_>, delivery: Delivery, answer: Answer) {
        let Delivery { received_at, secret, notification, body } = delivery;
        draft.record_delivery(received_at, &secret, notification == Notification::Test);
        let delivered = match notification {
            Notification::Test => RecentDelivery { received_at, outcome: Outcome::Test, note: None, event: None },
            Notification::Ignored(reason) => {
                self.unrecognized.push(Unrecognized { received_at, reason, body: body.into() });
                RecentDelivery { received_at, outcome: Outcome::Ignored(reason), note: None, event: None }
            }
            Notification::Event(event) => {
                let (outcome, note) = match draft.consider(&event) {
                    Verdict::Recorded(note) => (Outcome::Recorded, name(note).map(Box::from)),
                    Verdict::Duplicate => (Outcome::Duplicate, None),
                    Verdict::Ignored(reason) => (Outcome::Ignored(reason), None),
                };
                if outcome == Outcome::Recorded {
                    let Self { recorded_at, shown_until, .. } = *self;
                    let (note, event) = (note.clone(), event.clone());
                    self.entries.push(Entry { seq: 0, recorded_at, shown_until, note, event });
                }
                RecentDelivery { received_at, outcome, note, event: Some(event) }
            }
        };
        self.deliveries.push(delivered);
        self.answers.push(answer);
    }
}

/// Whether it matters to this delivery what was shown lately: a late disconnect should take as little
/// as possible for shown, but for one that is on time that is a matter of seconds.
fn is_late(delivery: &Delivery) -> bool {
    match &delivery.notification {
        Notification::Event(event) => event.received_at > event.updated_at.plus(LATE),
        Notification::Test | Notification::Ignored(_) => false,
    }
}

fn name(note: Note) -> Option<&'static str> {
    match note {
        Note::Plain => None,
        Note::OutOfOrder => Some("out_of_order"),
        Note::Inconsistent => Some("inconsistent"),
    }
}

/// Says what a delivery was: loudly when an input changed, and when nobody could know of it.
fn log(delivered: &RecentDelivery) {
    let outcome = delivered.outcome.name();
    let note = delivered.note.as_deref();
    let reason = ignored(delivered.outcome).map(IgnoredReason::label);
    match (&delivered.event, delivered.outcome) {
        (Some(event), Outcome::Recorded) => {
            let (input_id, updated_at) = (event.input_id, event.updated_at);
            match &event.kind {
                EventKind::Errored(detail) => {
                    let code = detail.code.as_str();
                    tracing::info!(%input_id, event = "errored", code, %updated_at, outcome, note, "input errored");
                }
                kind @ (EventKind::Connected | EventKind::Disconnected) => {
                    tracing::info!(%input_id, event = kind.name(), %updated_at, outcome, note, "input changed");
                }
            }
        }
        (Some(event), _) => {
            let (input_id, updated_at) = (event.input_id, event.updated_at);

            tracing::debug!(%input_id, event = event.kind.name(), %updated_at, outcome, reason, "event not recorded");
        }
        (None, _) => tracing::debug!(outcome, reason, "notification without event"),
    }
}

fn ignored(outcome: Outcome) -> Option<IgnoredReason> {
    match outcome {
        Outcome::Ignored(reason) => Some(reason),
        Outcome::Recorded | Outcome::Duplicate | Outcome::Test => None,
    }
}
