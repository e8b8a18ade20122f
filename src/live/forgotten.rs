//! Forgotten inputs: a late repeat of an old event must not bring one back.

use imbl::{OrdMap, OrdSet};

use crate::event::{InputId, Timestamp};

/// Forgotten inputs without later events, each with the time of forgetting. Cloning shares all structure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgottenInputs {
    by_id: OrdMap<InputId, Timestamp>,
    by_time: OrdSet<(Timestamp, InputId)>,
}

impl ForgottenInputs {
    /// When the input was forgotten; `None` if it was not.
    pub fn get(&self, input_id: &InputId) -> Option<Timestamp> {
        self.by_id.get(input_id).copied()
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn insert(&mut self, input_id: InputId, at: Timestamp) {
        self.remove(&input_id);
        self.by_id.insert(input_id, at);
        self.by_time.insert((at, input_id));
    }

    pub(super) fn remove(&mut self, input_id: &InputId) {
        if let Some(at) = self.by_id.remove(input_id) {
            self.by_time.remove(&(at, *input_id));
        }
    }

    /// The inputs that were forgotten before `horizon`, and those above `max` inputs, oldest first.
    pub fn surplus(&self, horizon: Timestamp, max: usize) -> impl Iterator<Item = InputId> {
        let above_max = self.len().saturating_sub(max);
        let oldest = self.by_time.iter().enumerate();
        let surplus = oldest.take_while(move |(index, (at, _))| *index < above_max || *at < horizon);
        surplus.map(|(_, (_, input_id))| *input_id)
    }
}
