//! The history of one input: its sessions and its newest records.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{EventKind, Record, RecordKind, Timestamp};
use crate::live::{Input, Session, Timeline};

/// Maximum number of records that the history of an input is computed from.
pub(super) const MAX_RECORDS: usize = 1000;

/// The newest records of an input.
#[derive(Debug, Clone, Default)]
pub struct InputHistory {
    /// Oldest first.
    pub(super) records: Arc<Vec<Record>>,
    /// Position up to which they were read.
    pub(super) position: u64,
    /// How far back the records go.
    pub(super) reach: Reach,
}

/// How far back the records of an input go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// To the first record of the journal, from which none was deleted.
    Everything,
    /// To the oldest record that the journal still has.
    OldestKept,
    /// To the limit of records or of time: there are older ones.
    #[default]
    Limit,
}

/// A session with what happened in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRow {
    /// Begin, end and reconnects.
    pub session: Session,
    /// Error events from its begin to its end.
    pub errors: usize,
}

impl SessionRow {
    /// From its begin to its end; `None` if one of them is not known.
    pub fn length(&self) -> Option<Duration> {
        self.session.ended?.since(self.session.began?)
    }
}

impl InputHistory {
    /// The newest records, newest first: events, corrections, observations, and when the input was forgotten.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.records.iter().rev()
    }

    /// How far back the records go.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// The newest sessions, newest first, by the reconnect window that is in force now.
    pub fn sessions(&self, input: &Input, window: Duration) -> Vec<SessionRow> {
        let is_complete = self.reach == Reach::Everything;
        let mut timeline = if is_complete { Timeline::complete() } else { Timeline::default() };
        self.records.iter().for_each(|record| timeline.apply(record));
        let is_first = |record: &Record| record.event().map(|event| event.received_at) == input.known_since;
        let known_before = !self.records.first().is_some_and(is_first);
        let mut errors: Vec<Timestamp> = self.records.iter().filter_map(time_of_error).collect();
        errors.sort_unstable();
        let count_until = |at: Timestamp| errors.partition_point(|error| *error <= at);
        let count_before = |at: Timestamp| errors.partition_point(|error| *error < at);
        let row = |session: Session| {
            let until = count_until(session.ended.unwrap_or(Timestamp::MAX));
            let errors = until.saturating_sub(count_before(session.began.unwrap_or_default()));
            SessionRow { session, errors }
        };
        timeline.sessions(known_before, window).into_iter().rev().map(row).collect()
    }
}

fn time_of_error(record: &Record) -> Option<Timestamp> {
    match &record.kind {
        RecordKind::Event(event, _) if matches!(event.kind, EventKind::Errored(_)) => Some(event.updated_at),
        RecordKind::Event(..)
        | RecordKind::Forgotten(_)
        | RecordKind::Correction(_)
        | RecordKind::Observation(_)
        | RecordKind::Exception(_)
        | RecordKind::Rules(_)
        | RecordKind::ClockSetBack => None,
    }
}
