//! Forgotten inputs: a late repeat of an old event must not bring one back.

use imbl::{OrdMap, OrdSet};

use crate::event::{InputId, Timestamp};

/// Forgotten inputs without later events, each with the time of forgetting. Cloning shares all structure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgottenInputs {
    by_id: OrdMap<InputId, Timestamp>,
    by_time: OrdSet<(Timestamp, InputId)>,
    /// When the newest of the inputs was forgotten that are no longer listed.
    unlisted_until: Option<Timestamp>,
}

impl ForgottenInputs {
    /// When the input was forgotten; `None` if it was not.
    pub fn get(&self, input_id: &InputId) -> Option<Timestamp> {
        self.by_id.get(input_id).copied()
    }

    /// When the newest of the inputs was forgotten that are no longer listed. An event of an unknown input that is not
    /// newer may be about one of them.
    pub fn unlisted_until(&self) -> Option<Timestamp> {
        self.unlisted_until
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

    /// Removes an input from the list.
    pub(super) fn unlist(&mut self, input_id: &InputId) {
        let at = self.get(input_id);
        self.unlist_until(at);
        self.remove(input_id);
    }

    pub(super) fn unlist_until(&mut self, at: Option<Timestamp>) {
        self.unlisted_until = self.unlisted_until.max(at);
    }

    /// Inputs that were forgotten at a later time were forgotten at this time at the latest.
    pub(super) fn set_clock_back(&mut self, now: Timestamp) {
        while let Some((_, input_id)) = self.by_time.get_max().filter(|(at, _)| *at > now).copied() {
            self.insert(input_id, now);
        }
        self.unlisted_until = self.unlisted_until.map(|at| at.min(now));
    }

    /// The inputs that were forgotten before `horizon`, and those above `max` inputs, oldest first.
    pub fn surplus(&self, horizon: Timestamp, max: usize) -> impl Iterator<Item = InputId> {
        let above_max = self.len().saturating_sub(max);
        let oldest = self.by_time.iter().enumerate();
        let surplus = oldest.take_while(move |(index, (at, _))| *index < above_max || *at < horizon);
        surplus.map(|(_, (_, input_id))| *input_id)
    }
}
