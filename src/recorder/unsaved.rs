//! What differs from the checkpoint in the journal.
//!
//! A checkpoint of many inputs is written in slices, each a transaction of its own, with
//! notifications in between: nobody waits for more than one. So the rows of inputs are as of
//! different moments, and the checkpoint has two numbers: up to its *position* every row has every
//! event, and up to *counted until* the totals do. A restart folds what came after the position. Of
//! each event the input's row knows whether it has it, because it remembers identities; whether the
//! totals have it, the second number tells.
//!
//! A row that is gone remembers nothing, and what came after the position is folded by one set of
//! rules. So when rows go or rules change, everything is saved at once.

use std::collections::{HashSet, VecDeque};

use crate::event::InputId;

/// Inputs whose rows are not up to date.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// Those that changed, each with the number of the first event that its row lacks, ascending.
    changed: VecDeque<(u64, InputId)>,
    /// The same inputs, to have each once.
    members: HashSet<InputId>,
    /// So many of them, from the front on, are left of the checkpoint that is being written.
    round: usize,
    /// Those whose rows are to go.
    forgotten: Vec<InputId>,
    /// The rules have changed since the checkpoint.
    indivisible: bool,
}

/// So many of the changed inputs, from the front on; those to forget with all of them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice(usize);

impl Unsaved {
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.forgotten.is_empty()
    }

    /// Notes that the event with this number, the newest of all, changed an input.
    pub(super) fn change(&mut self, input_id: InputId, seq: u64) {
        if self.members.insert(input_id) {
            self.changed.push_back((seq, input_id));
        }
    }

    pub(super) fn forget(&mut self, input_ids: impl IntoIterator<Item = InputId>) {
        self.forgotten.extend(input_ids);
    }

    /// Notes that the rules changed: what is saved next is everything.
    pub(super) fn change_rules(&mut self) {
        self.indivisible = true;
    }

    /// Begins a checkpoint of what differs now.
    pub(super) fn begin_round(&mut self) {
        self.round = self.changed.len();
    }

    /// Whether a checkpoint was begun and not finished.
    pub(super) fn round_under_way(&self) -> bool {
        self.round > 0
    }

    /// The next part of the checkpoint that was begun, of so many inputs at the most.
    pub(super) fn next_slice(&self, limit: usize) -> Slice {
        let divisible = self.forgotten.is_empty() && !self.indivisible;
        if divisible { Slice(self.round.min(limit)) } else { self.everything() }
    }

    /// All that is not saved.
    pub(super) fn everything(&self) -> Slice {
        Slice(self.changed.len())
    }

    /// The changed inputs of a slice.
    pub(super) fn changed(&self, Slice(changed): Slice) -> impl Iterator<Item = InputId> {
        self.changed.iter().take(changed).map(|(_, input_id)| *input_id)
    }

    /// The inputs that the slice lets go.
    pub(super) fn forgotten(&self, slice: Slice) -> &[InputId] {
        if slice == self.everything() { &self.forgotten } else { &[] }
    }

    /// Up to this event every row has everything, once the slice is saved.
    pub(super) fn position_after(&self, Slice(changed): Slice, last_seq: u64) -> u64 {
        self.changed.get(changed).map_or(last_seq, |(first, _)| first - 1)
    }

    /// Notes that the slice was saved.
    pub(super) fn saved(&mut self, slice: Slice) {
        if slice == self.everything() {
            // Also the space is given back, after a flood of inputs.
            *self = Self::default();
            return;
        }
        for (_, input_id) in self.changed.drain(..slice.0) {
            self.members.remove(&input_id);
        }
        self.round = self.round.saturating_sub(slice.0);
    }
}
