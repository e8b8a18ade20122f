//! The forms of the checkpoint's parts in the journal, each with a version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::{InputId, Timestamp};
use crate::journal::{Checkpoint, InputRow, Journal, JournalError, RowChange};
use crate::live::{Fold, InputEntry, SeenEvents, Totals};

/// Version of the form of the checkpoint's state, and of inputs.
const VERSION: u32 = 1;

/// Size of an input's row without the events that it remembers, in bytes: an estimate.
const STATE_SIZE: usize = 600;

const NEWER: &str = "it is from a newer version";

/// State of all inputs together.
#[derive(Serialize, Deserialize)]
pub(super) struct CheckpointState {
    /// `recorded_at` of the newest record, or the time of the latest scrape if that is later.
    pub(super) recorded_until: Timestamp,
    /// Position up to which the totals have every record. Missing: that of the checkpoint.
    #[serde(default)]
    counted_until: u64,
    pub(super) totals: Totals,
}

impl CheckpointState {
    /// The state of a fold that has every record up to this position.
    pub(super) fn new(fold: &Fold, position: u64, recorded_until: Timestamp) -> Self {
        Self { recorded_until, counted_until: position, totals: fold.state().totals().clone() }
    }

    /// Position up to which the totals have every record.
    pub(super) fn totals_position(&self, checkpoint: u64) -> u64 {
        self.counted_until.max(checkpoint)
    }

    pub(super) fn encode(&self) -> (u32, String) {
        (VERSION, to_json(self))
    }

    pub(super) fn decode(journal: &Journal, checkpoint: &Checkpoint) -> Result<Self, JournalError> {
        let row = "the checkpoint";
        if checkpoint.version > VERSION {
            return Err(damaged(journal, row, NEWER));
        }
        from_json(journal, row, &checkpoint.state)
    }
}

/// Size of the row of an input, in bytes.
pub(super) fn row_size(fold: &Fold, input_id: &InputId) -> usize {
    STATE_SIZE + fold.state().inputs().get(input_id).map_or(0, |entry| entry.seen.encoded_size())
}

/// The row of an input, of a fold that has every record up to this position.
pub(super) fn row(fold: &Fold, input_id: InputId, position: u64) -> RowChange {
    let state = fold.state();
    let entry = state.inputs().get(&input_id).filter(|entry| entry.input.known_since.is_some());
    match (entry, state.forgotten().get(&input_id)) {
        (Some(entry), _) => {
            let (state, seen) = (to_json(&entry.input), entry.seen.encode());
            RowChange::Save(InputRow { input_id, position, version: VERSION, state, seen })
        }
        (None, Some(at)) => RowChange::Forgotten { input_id, position, at },
        (None, None) => RowChange::Delete(input_id),
    }
}

/// Reads the row of an input; the error says what is wrong with it.
pub(super) fn read_row(row: &InputRow) -> Result<InputEntry, &'static str> {
    if row.version > VERSION {
        return Err(NEWER);
    }
    let input = serde_json::from_str(&row.state).map_err(|_| "its state cannot be read")?;
    let seen = SeenEvents::decode(&row.seen).ok_or("the events that it remembers cannot be read")?;
    Ok(InputEntry { input, seen })
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data serializes")
}

/// Reads JSON of the journal; `row` names where it is.
pub(super) fn from_json<T: DeserializeOwned>(journal: &Journal, row: &str, json: &str) -> Result<T, JournalError> {
    serde_json::from_str(json).map_err(|_| damaged(journal, row, "its state cannot be read"))
}

fn damaged(journal: &Journal, row: &str, problem: &'static str) -> JournalError {
    JournalError::Damaged { path: journal.path().to_owned(), row: row.to_owned(), problem }
}
