//! Writes the checkpoint.

use super::checkpoint_codec::{CheckpointState, row, row_size};
use super::dirty_inputs::Slice;
use super::run_loop::Recorder;
use crate::journal::{Checkpoint, JournalError};

/// Largest slice of a checkpoint, in bytes. A notification waits for one slice at most.
const SLICE_BYTES: usize = 64 << 10;

impl Recorder {
    /// Writes the next slice of the checkpoint in progress.
    pub(super) fn save_next_slice(&mut self) {
        let slice = self.dirty_inputs.next_slice(SLICE_BYTES, |input_id| row_size(&self.fold, input_id));
        let saved = self.save(slice);
        self.note_task(saved);
    }

    /// Brings the checkpoint up to date, in one transaction. It has the time of the latest scrape, so it is saved also
    /// if nothing else has changed.
    pub(super) fn save_checkpoint(&mut self) -> Result<(), JournalError> {
        self.timers.restart_checkpoint();
        self.save(Slice::Everything)
    }

    pub(super) fn save(&mut self, slice: Slice) -> Result<(), JournalError> {
        let recorded_until = self.recorded_until.max(self.state_reader.published.shown_until());
        let retention_clock = self.retention_clock.reached(self.shared_now());
        let (fold, last_position) = (&self.fold, self.journal.last_position());
        let position = self.dirty_inputs.position_after(slice, last_position);
        let (version, state) = CheckpointState::new(fold, last_position, recorded_until, retention_clock).encode();
        let checkpoint = Checkpoint { position, rules: self.rules_history.at(position).clone(), version, state };
        let _saving = self.disk_operation("checkpoint");
        let rows = self.dirty_inputs.inputs(slice).map(|input_id| row(fold, input_id, last_position));
        let changed = self.sessions.as_ref().map(|sessions| sessions.of(self.dirty_inputs.inputs(slice)));
        self.journal.save_checkpoint(&checkpoint, &mut { rows }, &mut changed.into_iter().flatten())?;
        if let Some(sessions) = &mut self.sessions {
            sessions.saved(self.dirty_inputs.inputs(slice));
        }
        self.dirty_inputs.saved(slice);
        self.rules_history.drop_before(position);
        Ok(())
    }
}
