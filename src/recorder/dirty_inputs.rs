//! What differs from the checkpoint in the journal.
//!
//! A checkpoint of many inputs is written in slices, each a transaction of its own, with
//! notifications in between: nobody waits for more than one. So the rows of inputs are as of
//! different moments, and the checkpoint has two numbers: up to its *position* every row has every
//! event, and up to *counted until* the totals do. A restart folds what came after the position. Of
//! each event the input's row knows whether it has it, because it remembers identities; whether the
//! totals have it, the second number tells.
//!
//! A row that is gone remembers nothing: so the checkpoint names the inputs that were forgotten, for as
//! long as a restart may find events in the log that came before. And what came after the position is
//! folded by one set of rules: when they change, everything is saved at once.

use std::collections::BTreeSet;

use crate::event::InputId;

/// Inputs whose rows are not up to date.
#[derive(Debug, Default)]
pub(super) struct DirtyInputs {
    /// Those that changed, but for those of the in_progress. In order: neighbours share pages of the journal, and a sort
    /// of a million would hold everybody.
    changed: BTreeSet<InputId>,
    /// The number of the first event that the row of any of them lacks.
    lacking_from: Option<u64>,
    /// What is left of the checkpoint that is being written.
    in_progress: BTreeSet<InputId>,
    /// Up to this event the rows of the in_progress have everything.
    in_progress_position: u64,
    /// Those whose rows are to go.
    forgotten: Vec<InputId>,
    /// Those that are gone, each with the number of the newest event of all at that time.
    gone: Vec<(InputId, u64)>,
    /// The rules have changed since the checkpoint, or there is none.
    indivisible: bool,
}

/// What is saved at once, and with it the rows go that are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    /// So many inputs of the checkpoint that is being written.
    Partial(usize),
    /// All that is not saved.
    Everything,
}

impl DirtyInputs {
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.in_progress.is_empty() && self.forgotten.is_empty() && !self.indivisible
    }

    /// Notes that the event with this number, the newest of all, changed an input.
    pub(super) fn change(&mut self, input_id: InputId, seq: u64) {
        if !self.in_progress.contains(&input_id) && self.changed.insert(input_id) {
            self.lacking_from.get_or_insert(seq);
        }
    }

    /// Notes that inputs were forgotten, when this was the number of the newest event of all.
    pub(super) fn forget(&mut self, input_ids: Vec<InputId>, last_seq: u64) {
        self.gone.extend(input_ids.iter().map(|input_id| (*input_id, last_seq)));
        self.forgotten.extend(input_ids);
    }

    /// What a checkpoint said of inputs that were forgotten before it.
    pub(super) fn restore_gone(&mut self, gone: Vec<(InputId, u64)>) {
        self.gone = gone;
    }

    /// Notes that the checkpoint lacks the rules: what is saved next is everything.
    pub(super) fn change_rules(&mut self) {
        self.indivisible = true;
    }

    /// Begins a checkpoint of what differs now, when the one before is finished.
    pub(super) fn begin_checkpoint(&mut self) {
        if self.in_progress.is_empty()
            && let Some(first) = self.lacking_from.take()
        {
            self.in_progress_position = first - 1;
            std::mem::swap(&mut self.in_progress, &mut self.changed);
        }
    }

    /// Whether a checkpoint was begun and not finished.
    pub(super) fn checkpoint_in_progress(&self) -> bool {
        !self.in_progress.is_empty()
    }

    /// The next part of the checkpoint that was begun: one input, and more as long as all of them are no larger
    /// than `limit`, in bytes.
    pub(super) fn next_slice(&self, limit: usize, size: impl Fn(&InputId) -> usize) -> Slice {
        if self.indivisible {
            return Slice::Everything;
        }
        let sizes = self.in_progress.iter().scan(0, |sum, input_id| {
            *sum += size(input_id);
            Some(*sum)
        });
        let fitting = sizes.take_while(|sum| *sum <= limit).count();
        Slice::Partial(fitting.max(1).min(self.in_progress.len()))
    }

    /// The changed inputs of a slice.
    pub(super) fn changed(&self, slice: Slice) -> impl Iterator<Item = InputId> {
        let (of_round, others) = match slice {
            Slice::Partial(count) => (count, None),
            Slice::Everything => (self.in_progress.len(), Some(&self.changed)),
        };
        self.in_progress.iter().take(of_round).chain(others.into_iter().flatten()).copied()
    }

    /// The inputs whose rows go with the next slice.
    pub(super) fn forgotten(&self) -> &[InputId] {
        &self.forgotten
    }

    /// Those that are gone and may have events after the position, each with the number of the last that may be
    /// theirs.
    pub(super) fn gone(&self, position: u64) -> Vec<(InputId, u64)> {
        self.gone.iter().filter(|(_, until)| *until > position).copied().collect()
    }

    /// How many are gone that a checkpoint may have to name.
    pub(super) fn gone_count(&self) -> usize {
        self.gone.len()
    }

    /// Up to this event every row has everything, once the slice is saved.
    pub(super) fn position_after(&self, slice: Slice, last_seq: u64) -> u64 {
        match slice {
            Slice::Partial(count) if count < self.in_progress.len() => self.in_progress_position,
            Slice::Partial(_) => self.lacking_from.map_or(last_seq, |first| first - 1),
            Slice::Everything => last_seq,
        }
    }

    /// Notes that the slice was saved, up to this position.
    pub(super) fn saved(&mut self, slice: Slice, position: u64) {
        let gone = self.gone(position);
        match slice {
            Slice::Partial(count) => {
                for _ in 0..count {
                    self.in_progress.pop_first();
                }
                self.forgotten.clear();
            }
            Slice::Everything => *self = Self::default(),
        }
        self.gone = gone;
    }
}
