//! From a journal to the fold of all its events: the checkpoint, then what came after it.

use std::collections::HashMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::{InputId, Timestamp};
use crate::journal::{Checkpoint, InputRow, Journal, JournalError};
use crate::live::{Changes, Fold, InputEntry, Rules, SeenEvents, State, Totals};

use super::dirty_inputs::DirtyInputs;

/// About how large the state of an input is in its row, with the identities that it tells, in bytes.
const STATE_SIZE: usize = 600;

/// What the checkpoint keeps of all inputs together.
#[derive(Serialize, Deserialize)]
struct CheckpointState {
    /// The rules of its time: what came after it was folded by the same ones.
    reconnect_window: Duration,
    /// When it was written.
    recorded_until: Timestamp,
    /// The newest event that the totals have; without it, the one at the checkpoint's position.
    #[serde(default)]
    counted_until: u64,
    /// Inputs that were forgotten, each with the number of the last event that may have been its own by then.
    #[serde(default)]
    forgotten: Vec<(InputId, u64)>,
    totals: Totals,
}

/// A fold that was read from a journal.
#[derive(Debug)]
pub struct Restored {
    /// The fold.
    pub fold: Fold,
    /// When the journal was last written, as far as it tells.
    pub recorded_until: Timestamp,
    /// How many events came after the checkpoint.
    pub replayed: u64,
    /// The inputs that they were about.
    pub(super) dirty_inputs: DirtyInputs,
}

/// Reads the journal's state. What came after the checkpoint is folded by the checkpoint's rules,
/// without any by the given ones.
///
/// # Errors
///
/// The first part of the journal that cannot be read, and what is wrong with it.
pub fn restore(journal: &Journal, rules: Rules) -> Result<Restored, JournalError> {
    let checkpoint = journal.checkpoint()?;
    let position = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position);
    let kept: Option<CheckpointState> =
        checkpoint.map(|checkpoint| parsed(journal, "the checkpoint", &checkpoint.state)).transpose()?;
    let mut fold = Fold::new(rules);
    let (mut recorded_until, mut counted_until, mut forgotten) = (Timestamp::EPOCH, position, Vec::new());
    if let Some(kept) = kept {
        fold = Fold::new(Rules { reconnect_window: kept.reconnect_window, ..rules });
        fold.restore_totals(kept.totals);
        journal.checkpointed_inputs(|row| restore_input(&mut fold, &row))?;
        recorded_until = kept.recorded_until;
        counted_until = kept.counted_until.max(position);
        forgotten = kept.forgotten;
    }
    if let Some(deliveries) = journal.last_seen()? {
        fold.restore_last_seen(parsed(journal, "the row of deliveries", &deliveries)?);
    }
    let gone: HashMap<InputId, u64> = forgotten.iter().copied().collect();
    let (mut replayed, mut dirty_inputs) = (0, DirtyInputs::default());
    dirty_inputs.restore_gone(forgotten);
    journal.replay(position, |entry| {
        recorded_until = recorded_until.max(entry.recorded_at);
        let (input_id, seq) = (entry.event.input_id, entry.seq);
        if gone.get(&input_id).is_some_and(|until| seq <= *until) {
            return;
        }
        fold.replay(&entry.event, entry.shown_until, seq > counted_until);
        replayed += 1;
        dirty_inputs.change(input_id, seq);
    })?;
    Ok(Restored { fold, recorded_until, replayed, dirty_inputs })
}

fn parsed<T: DeserializeOwned>(journal: &Journal, row: &str, state: &str) -> Result<T, JournalError> {
    serde_json::from_str(state).map_err(|_| JournalError::Damaged {
        path: journal.path().to_owned(),
        row: row.to_owned(),
        problem: "its state cannot be read",
    })
}

fn restore_input(fold: &mut Fold, row: &InputRow) -> Result<(), &'static str> {
    let input = serde_json::from_str(&row.state).map_err(|_| "its state cannot be read")?;
    let identities = SeenEvents::decode(&row.identities, &input).ok_or("its identities cannot be read")?;
    fold.restore_input(row.input_id, input, identities);
    Ok(())
}

/// The checkpoint that [`restore`] reads.
pub(super) fn checkpoint(
    state: &State,
    position: u64,
    counted_until: u64,
    recorded_until: Timestamp,
    forgotten: Vec<(InputId, u64)>,
) -> Checkpoint {
    let kept = CheckpointState {
        reconnect_window: state.rules().reconnect_window,
        recorded_until,
        counted_until,
        forgotten,
        totals: state.totals().clone(),
    };
    Checkpoint { position, state: serde_json::to_string(&kept).expect("plain data serializes") }
}

/// What the journal keeps of all deliveries together, for [`restore`].
pub(super) fn deliveries(changes: &Changes) -> String {
    serde_json::to_string(changes.last_seen()).expect("plain data serializes")
}

/// About how large an input's row is, in bytes.
pub(super) fn row_size(fold: &Fold, input_id: &InputId) -> usize {
    STATE_SIZE + fold.state().inputs().get(input_id).map_or(0, |known| known.identities.encoded_size())
}

/// An input's row of the checkpoint; `None` when the fold does not know the input.
pub(super) fn input_row(fold: &Fold, input_id: InputId) -> Option<InputRow> {
    let InputEntry { input, identities } = fold.state().inputs().get(&input_id)?.as_ref();
    let state = serde_json::to_string(input).expect("plain data serializes");
    Some(InputRow { input_id, state, identities: identities.encode(input) })
}
