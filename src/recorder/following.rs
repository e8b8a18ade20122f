//! What follows the records of a journal: the fold, and what the next checkpoint needs.

use super::dirty_inputs::DirtyInputs;
use super::rules_history::RulesHistory;
use crate::event::{Record, RecordKind, Timestamp};
use crate::live::{Fold, SessionRows, apply};

/// The parts of a recorder, or of a state that is being restored, that follow the journal.
pub(super) struct Following<'a> {
    pub(super) fold: &'a mut Fold,
    pub(super) dirty_inputs: &'a mut DirtyInputs,
    pub(super) rules_history: &'a mut RulesHistory,
    /// Sessions to be written, if the journal keeps them.
    pub(super) sessions: Option<&'a mut SessionRows>,
    /// Time of the newest record.
    pub(super) recorded_until: &'a mut Timestamp,
}

impl Following<'_> {
    /// Applies records that are in the journal.
    pub(super) fn apply(&mut self, records: &[Record]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let (changes, _) = apply(self.fold, records);
        if let Some(sessions) = &mut self.sessions {
            sessions.add(self.fold, &changes, last.position);
        }
        self.dirty_inputs.mark(changes.input_ids(), first.position);
        self.fold.adopt(changes);
        for record in records {
            let newest = record.recorded_at.max(record.shown_until);
            let set_back = record.kind == RecordKind::ClockSetBack;
            *self.recorded_until = if set_back { record.recorded_at } else { newest.max(*self.recorded_until) };
            if let RecordKind::Rules(rules) = &record.kind {
                self.rules_history.push(record.position, rules.clone());
            }
        }
    }
}
