//! Restores the state of a journal: the checkpoint, then the records after it.

use std::collections::HashSet;
use std::sync::Arc;

use super::checkpoint_codec::{CheckpointState, from_json, restore_row};
use super::dirty_inputs::DirtyInputs;
use super::following::Following;
use super::rules_history::RulesHistory;
use crate::event::{InputId, Record, RecordKind, Rules, Timestamp};
use crate::journal::{Checkpoint, JournalError, Reader};
use crate::live::{Fold, LastSeen, SessionRows};

/// Number of records to apply at once.
const BATCH: usize = 1024;

/// A state that was restored from a journal.
#[derive(Debug)]
pub struct Restored {
    /// The fold.
    pub fold: Fold,
    /// When deliveries were last seen.
    pub last_seen: LastSeen,
    /// Time of the newest record, or of the latest scrape according to the checkpoint if that is later.
    pub recorded_until: Timestamp,
    /// The time that the retention clock had reached at the checkpoint, if that has one.
    pub(super) retention_clock: Option<Timestamp>,
    /// Number of events after the checkpoint.
    pub replayed: u64,
    /// The inputs that records after the checkpoint changed.
    pub(super) dirty_inputs: DirtyInputs,
    /// The rules since the checkpoint.
    pub(super) rules_history: RulesHistory,
    /// Whether the journal has any rules.
    pub(super) rules_recorded: bool,
    /// Sessions that records after the checkpoint changed, if the journal keeps them.
    pub(super) sessions: Option<SessionRows>,
}

/// Reads the state of a journal. `initial_rules` are in force before the first record, if there is no checkpoint.
///
/// # Errors
///
/// The first part of the journal that cannot be read, with the problem.
pub fn restore(journal: &dyn Reader, initial_rules: &Rules) -> Result<Restored, JournalError> {
    restore_with(journal, initial_rules, None)
}

/// Like [`restore`]. `sessions` collects the sessions that are not written yet, if the journal keeps them.
pub(super) fn restore_with(
    journal: &dyn Reader,
    initial_rules: &Rules,
    sessions: Option<SessionRows>,
) -> Result<Restored, JournalError> {
    // A daemon may advance the checkpoint while another process reads.
    let _snapshot = journal.snapshot()?;
    let last_seen = journal.last_seen()?.map(|json| from_json(journal, "the row of the last deliveries", &json));
    let checkpoint = journal.checkpoint()?;
    let (position, rules) =
        checkpoint.as_ref().map_or((0, initial_rules), |checkpoint| (checkpoint.position, &checkpoint.rules));
    let mut restored = Restored {
        fold: Fold::new(rules.clone()),
        last_seen: last_seen.transpose()?.unwrap_or_default(),
        recorded_until: Timestamp::EPOCH,
        retention_clock: None,
        replayed: 0,
        dirty_inputs: DirtyInputs::default(),
        rules_history: RulesHistory::new(Arc::new(rules.clone())),
        rules_recorded: checkpoint.is_some(),
        sessions,
    };
    if let Some(checkpoint) = &checkpoint {
        restored.read_checkpoint(journal, checkpoint)?;
    }
    let mut batch = Vec::with_capacity(BATCH);
    journal.replay(position, &mut |record| {
        batch.push(record);
        if batch.len() == BATCH {
            restored.apply(&mut batch);
        }
    })?;
    restored.apply(&mut batch);
    restored.fold.end_replay();
    Ok(restored)
}

impl Restored {
    /// The time that the retention clock had reached, or the earlier of `now` and the newest record if that is not known.
    pub(super) fn retention_time(&self, now: Timestamp) -> Timestamp {
        let newest = Some(self.recorded_until).filter(|newest| *newest > Timestamp::EPOCH);
        self.retention_clock.unwrap_or_else(|| newest.map_or(now, |newest| newest.min(now)))
    }

    fn read_checkpoint(&mut self, journal: &dyn Reader, checkpoint: &Checkpoint) -> Result<(), JournalError> {
        let position = checkpoint.position;
        let state = CheckpointState::decode(journal, checkpoint)?;
        (self.recorded_until, self.retention_clock) = (state.recorded_until, state.retention_clock);
        self.fold.restore_unlisted(state.unlisted_until);
        let totals_position = state.totals_position(position);
        self.fold.restore_totals(state.totals, totals_position);
        let mut unknown_positions = HashSet::new();
        journal.input_rows(&mut |input_id, row| {
            restore_row(&mut self.fold, input_id, &row)?;
            match row.position {
                0 => drop(unknown_positions.insert(input_id)),
                ahead if ahead > position => self.fold.set_input_position(input_id, ahead),
                _ => {}
            }
            Ok(())
        })?;
        find_positions(journal, position, &unknown_positions, &mut self.fold)
    }

    /// Applies these records, and empties the batch.
    fn apply(&mut self, batch: &mut Vec<Record>) {
        let Self { fold, dirty_inputs, rules_history, recorded_until, sessions, .. } = self;
        let sessions = sessions.as_mut();
        Following { fold, dirty_inputs, rules_history, recorded_until, sessions }.apply(batch);
        self.replayed += batch.iter().filter(|record| record.event().is_some()).count() as u64;
        self.rules_recorded |= batch.iter().any(|record| matches!(record.kind, RecordKind::Rules(_)));
        batch.clear();
    }
}

/// Up to schema version 2, rows have no position. It is that of the newest record whose event the input remembers.
fn find_positions(
    journal: &dyn Reader,
    checkpoint: u64,
    input_ids: &HashSet<InputId>,
    fold: &mut Fold,
) -> Result<(), JournalError> {
    if input_ids.is_empty() {
        return Ok(());
    }
    journal.replay(checkpoint, &mut |record| {
        let Some(event) = record.event().filter(|event| input_ids.contains(&event.input_id)) else { return };
        let entry = fold.state().inputs().get(&event.input_id);
        if entry.is_some_and(|entry| entry.seen.contains(event)) {
            fold.set_input_position(event.input_id, record.position);
        }
    })
}
