//! Tracks the inputs whose rows in the checkpoint are out of date.
//!
//! A checkpoint is written in slices, with notifications in between, so the rows are from different positions. The
//! checkpoint's own position is the last one up to which every row has every record.

use std::collections::BTreeSet;

use crate::event::InputId;

/// Inputs whose rows are out of date, by whether the checkpoint in progress will write them.
#[derive(Debug, Default)]
pub(super) struct DirtyInputs {
    /// Inputs for the next checkpoint. Ordered, because neighbours share pages of the database, and sorting a million
    /// of them would block notifications.
    changed: BTreeSet<InputId>,
    /// Position of the first record that is missing in any of their rows.
    first_missing: Option<u64>,
    /// Inputs that the checkpoint in progress has yet to write.
    in_progress: BTreeSet<InputId>,
    /// Position up to which their rows have every record.
    in_progress_position: u64,
    /// Records were appended since the last complete checkpoint.
    behind: bool,
    /// Position of a checkpoint that another replica wrote: every row has every record up to it.
    saved_position: u64,
}

/// The inputs that are saved in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    /// This many inputs of the checkpoint in progress.
    Partial(usize),
    /// Every dirty input.
    Everything,
}

impl DirtyInputs {
    /// Whether the checkpoint is up to date.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.in_progress.is_empty() && !self.behind
    }

    /// Marks these inputs as changed by records from this position on.
    pub(super) fn mark(&mut self, input_ids: impl Iterator<Item = InputId>, position: u64) {
        self.behind = true;
        for input_id in input_ids {
            if !self.in_progress.contains(&input_id) && self.changed.insert(input_id) {
                self.first_missing.get_or_insert(position);
            }
        }
    }

    /// Begins a checkpoint, unless one is in progress.
    pub(super) fn begin_checkpoint(&mut self) {
        if self.in_progress.is_empty()
            && let Some(first) = self.first_missing.take()
        {
            self.in_progress_position = first - 1;
            std::mem::swap(&mut self.in_progress, &mut self.changed);
        }
    }

    /// Whether a checkpoint has begun and is not complete.
    pub(super) fn checkpoint_in_progress(&self) -> bool {
        !self.in_progress.is_empty()
    }

    /// The next slice: at least one input, and more up to `limit` bytes of rows.
    pub(super) fn next_slice(&self, limit: usize, size: impl Fn(&InputId) -> usize) -> Slice {
        let sizes = self.in_progress.iter().scan(0, |sum, input_id| {
            *sum += size(input_id);
            Some(*sum)
        });
        let fitting = sizes.take_while(|sum| *sum <= limit).count();
        Slice::Partial(fitting.max(1).min(self.in_progress.len()))
    }

    /// The inputs of a slice.
    pub(super) fn inputs(&self, slice: Slice) -> impl Iterator<Item = InputId> {
        let (in_progress, others) = match slice {
            Slice::Partial(count) => (count, None),
            Slice::Everything => (self.in_progress.len(), Some(&self.changed)),
        };
        self.in_progress.iter().take(in_progress).chain(others.into_iter().flatten()).copied()
    }

    /// Another replica wrote a checkpoint of this position.
    pub(super) fn set_saved_position(&mut self, position: u64) {
        self.saved_position = position;
    }

    /// The checkpoint's position after the slice is saved.
    pub(super) fn position_after(&self, slice: Slice, last_position: u64) -> u64 {
        let position = match slice {
            Slice::Partial(count) if count < self.in_progress.len() => self.in_progress_position,
            Slice::Partial(_) => self.first_missing.map_or(last_position, |first| first - 1),
            Slice::Everything => last_position,
        };
        position.max(self.saved_position)
    }

    /// Marks the slice as saved.
    pub(super) fn saved(&mut self, slice: Slice) {
        match slice {
            Slice::Partial(count) => {
                for _ in 0..count {
                    self.in_progress.pop_first();
                }
                self.behind = self.first_missing.is_some() || self.checkpoint_in_progress();
            }
            Slice::Everything => *self = Self::default(),
        }
    }
}
