//! From a journal to the fold of all its events: the checkpoint, then what came after it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{InputId, Timestamp};
use crate::journal::{Checkpoint, InputRow, Journal, JournalError};
use crate::live::{Deliveries, Fold, Identities, Rules, Totals};

use super::unsaved::Unsaved;

/// What the checkpoint keeps of all inputs together.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The rules of its time: what came after it was folded by the same ones.
    reconnect_window: Duration,
    /// When it was written.
    recorded_until: Timestamp,
    /// The newest event that the totals have; without it, the one at the checkpoint's position.
    #[serde(default)]
    counted_until: u64,
    totals: Totals,
    deliveries: Deliveries,
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
    pub(super) unsaved: Unsaved,
}

/// Reads the journal's state. What came after the checkpoint is folded by the checkpoint's rules,
/// without any by the given ones.
///
/// # Errors
///
/// The first part of the journal that cannot be read, and what is wrong with it.
pub fn restore(journal: &Journal, rules: Rules) -> Result<Restored, JournalError> {
    let (mut fold, mut recorded_until, position, counted_until) = match journal.checkpoint()? {
        Some(checkpoint) => restore_checkpoint(journal, &checkpoint, rules)?,
        None => (Fold::new(rules), Timestamp::EPOCH, 0, 0),
    };
    let (mut replayed, mut unsaved) = (0, Unsaved::default());
    journal.replay(position, |entry| {
        recorded_until = recorded_until.max(entry.recorded_at);
        fold.replay(&entry.event, entry.shown_until, entry.seq > counted_until);
        replayed += 1;
        unsaved.change(entry.event.input_id, entry.seq);
    })?;
    Ok(Restored { fold, recorded_until, replayed, unsaved })
}

fn restore_checkpoint(
    journal: &Journal,
    checkpoint: &Checkpoint,
    rules: Rules,
) -> Result<(Fold, Timestamp, u64, u64), JournalError> {
    let kept: Kept = serde_json::from_str(&checkpoint.state).map_err(|_| JournalError::Damaged {
        path: journal.path().to_owned(),
        row: "the checkpoint".into(),
        problem: "its state cannot be read",
    })?;
    let mut fold = Fold::new(Rules { reconnect_window: kept.reconnect_window, ..rules });
    fold.restore_totals(kept.totals, kept.deliveries);
    journal.checkpointed_inputs(|row| restore_input(&mut fold, &row))?;
    let position = checkpoint.position;
    Ok((fold, kept.recorded_until, position, kept.counted_until.max(position)))
}

fn restore_input(fold: &mut Fold, row: &InputRow) -> Result<(), &'static str> {
    let input = serde_json::from_str(&row.state).map_err(|_| "its state cannot be read")?;
    let identities = Identities::decode(&row.identities).ok_or("its identities cannot be read")?;
    fold.restore_input(row.input_id, input, identities);
    Ok(())
}

/// The checkpoint that [`restore`] reads.
pub(super) fn checkpoint(fold: &Fold, position: u64, counted_until: u64, recorded_until: Timestamp) -> Checkpoint {
    let state = fold.state();
    let kept = Kept {
        reconnect_window: state.rules().reconnect_window,
        recorded_until,
        counted_until,
        totals: state.totals().clone(),
        deliveries: state.deliveries().clone(),
    };
    Checkpoint { position, state: serde_json::to_string(&kept).expect("plain data serializes") }
}

/// An input's row of the checkpoint; `None` when the fold does not know the input.
pub(super) fn input_row(fold: &Fold, input_id: InputId) -> Option<InputRow> {
    let input = fold.state().inputs().get(&input_id)?;
    Some(InputRow {
        input_id,
        state: serde_json::to_string(input.as_ref()).expect("plain data serializes"),
        identities: fold.identities(&input_id).map(Identities::encode).unwrap_or_default(),
    })
}
