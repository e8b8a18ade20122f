//! The last day of all inputs.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use imbl::OrdMap;

use super::day::{Day, DayRecords};
use crate::event::{Correction, Event, InputId, Observation, Record, RecordKind, ScheduleException, Timestamp};
use crate::live::Input;

/// A local day with a time change lasts 25 hours.
pub(super) const DAY: Duration = Duration::from_secs(25 * 3600);

/// Maximum number of changes of all inputs: 24 MB. With more, the days begin later.
pub(super) const MAX_CHANGES: usize = 2_000_000;

/// How often old changes are dropped.
const DROP_INTERVAL: Duration = Duration::from_secs(300);

/// What the journal says about all inputs since the begin of the day. Cloning shares all structure.
#[derive(Debug, Clone)]
pub struct Days {
    inputs: OrdMap<InputId, Arc<DayRecords>>,
    /// Nothing is known of the time before.
    from: Timestamp,
    /// It has all records of a journal from which none was deleted.
    is_complete: bool,
    /// Position of the newest record that is applied.
    position: u64,
    /// Number of changes of all inputs.
    changes: usize,
}

impl Days {
    /// Days that begin after this position of the journal, with a record of this time. `is_complete`: the journal had no
    /// earlier record.
    pub(super) fn new(position: u64, from: Timestamp, is_complete: bool) -> Self {
        let from = if is_complete { Timestamp::EPOCH } else { from };
        Self { inputs: OrdMap::new(), from, is_complete, position, changes: 0 }
    }

    /// The day of an input with this state.
    pub fn of(&self, input_id: &InputId, input: &Input) -> Day<'_> {
        static EMPTY: LazyLock<DayRecords> = LazyLock::new(DayRecords::default);
        let records = self.inputs.get(input_id).map_or(&*EMPTY, AsRef::as_ref);
        Day::new(records, self.from, input)
    }

    /// Position of the newest record that is applied.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Applies the next record of the journal.
    pub(super) fn apply(&mut self, record: &Record) {
        self.position = record.position;
        let Some(input_id) = input_id(record) else { return };
        let is_complete = self.is_complete;
        let day = self.inputs.entry(input_id).or_insert_with(|| Arc::new(DayRecords::begin(record, is_complete)));
        let day = Arc::make_mut(day);
        let before = day.len();
        day.apply(record);
        self.changes = self.changes + day.len() - before;
        if self.changes > MAX_CHANGES {
            self.halve(record.recorded_at);
        }
    }

    /// Drops changes that are too old, a few minutes at a time.
    pub(super) fn drop_old(&mut self, now: Timestamp) {
        let horizon = now.minus(DAY);
        if self.from.plus(DROP_INTERVAL) <= horizon {
            self.drop_until(horizon);
        }
    }

    /// Drops the older half of the time, until few enough changes are left.
    fn halve(&mut self, now: Timestamp) {
        let mut kept = DAY;
        while self.changes > MAX_CHANGES / 2 && !kept.is_zero() {
            kept /= 2;
            self.drop_until(now.minus(kept));
        }
    }

    fn drop_until(&mut self, horizon: Timestamp) {
        self.from = horizon;
        let is_old = |day: &DayRecords| day.oldest().is_some_and(|oldest| oldest < horizon);
        let old = self.inputs.iter().filter(|(_, day)| is_old(day)).map(|(input_id, _)| *input_id);
        for input_id in old.collect::<Vec<_>>() {
            let Some(day) = self.inputs.get_mut(&input_id) else { continue };
            let day = Arc::make_mut(day);
            let before = day.len();
            day.drop_until(horizon);
            self.changes = self.changes + day.len() - before;
        }
    }
}

/// The input that a record is about.
fn input_id(record: &Record) -> Option<InputId> {
    match &record.kind {
        RecordKind::Event(Event { input_id, .. }, _)
        | RecordKind::Forgotten(input_id)
        | RecordKind::Correction(Correction { input_id, .. })
        | RecordKind::Exception(ScheduleException { input_id, .. })
        | RecordKind::Observation(Observation { input_id, .. }) => Some(*input_id),
        RecordKind::Rules(_) | RecordKind::ClockSetBack => None,
    }
}
