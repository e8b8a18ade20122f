//! Encodes and decodes the parts of the checkpoint, each with a format version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::{InputId, Timestamp};
use crate::journal::{Checkpoint, InputRow, JournalError, Reader};
use crate::live::{ExceptionEntry, Fold, Input, InputEntry, SeenEvents, Totals};

/// Format version of the checkpoint's state.
const VERSION: u32 = 1;

/// Estimated size of an input's row without the remembered events, in bytes.
const STATE_SIZE: usize = 800;

const NEWER: &str = "it is from a newer version";

/// State of all inputs together.
#[derive(Serialize, Deserialize)]
pub(super) struct CheckpointState {
    /// `recorded_at` of the newest record, or the time of the latest scrape if that is later.
    pub(super) recorded_until: Timestamp,
    /// The time that the retention clock has reached; missing in checkpoints of earlier versions.
    #[serde(default)]
    pub(super) retention_clock: Option<Timestamp>,
    /// When the newest of the inputs was forgotten that are no longer listed.
    #[serde(default)]
    pub(super) unlisted_until: Option<Timestamp>,
    /// Position up to which the totals have every record. If it is missing, it is the checkpoint's position.
    #[serde(default)]
    counted_until: u64,
    pub(super) totals: Totals,
}

impl CheckpointState {
    /// Encodes the totals of a fold that has every record up to this position.
    pub(super) fn new(fold: &Fold, position: u64, recorded_until: Timestamp, retention_clock: Timestamp) -> Self {
        Self {
            recorded_until,
            retention_clock: Some(retention_clock),
            unlisted_until: fold.state().forgotten().unlisted_until(),
            counted_until: position,
            totals: fold.state().totals().clone(),
        }
    }

    /// Position up to which the totals have every record.
    pub(super) fn totals_position(&self, checkpoint: u64) -> u64 {
        self.counted_until.max(checkpoint)
    }

    pub(super) fn encode(&self) -> (u32, String) {
        (VERSION, to_json(self))
    }

    pub(super) fn decode(journal: &dyn Reader, checkpoint: &Checkpoint) -> Result<Self, JournalError> {
        let row = "the checkpoint";
        if checkpoint.version > VERSION {
            return Err(damaged(journal, row, NEWER));
        }
        from_json(journal, row, &checkpoint.state)
    }
}

/// Size of the row of an input, in bytes.
pub(super) fn row_size(fold: &Fold, input_id: &InputId) -> usize {
    let state = fold.state();
    let seen = state.inputs().get(input_id).map_or(0, |entry| entry.seen.encoded_size());
    STATE_SIZE + seen + state.exceptions().get(input_id).map_or(0, ExceptionEntry::encoded_size)
}

/// State of an input without records of its connection. It has no other members, unlike that of an input.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithoutState {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exception: Option<ExceptionEntry>,
}

/// Encodes an input of a fold that has every record up to this position; `None` if the fold has nothing about it.
pub(super) fn row(fold: &Fold, input_id: InputId, position: u64) -> (InputId, Option<InputRow>) {
    let state = fold.state();
    let entry = state.inputs().get(&input_id).filter(|entry| entry.input.known_since.is_some());
    let exception = state.exceptions().get(&input_id);
    let parts = match (entry, state.forgotten().get(&input_id)) {
        (Some(entry), _) => Some((entry.input.encode(exception), entry.seen.encode())),
        (None, None) if exception.is_none() => None,
        (None, forgotten_at) => {
            Some((to_json(&WithoutState { forgotten_at, exception: exception.cloned() }), Vec::new()))
        }
    };
    (input_id, parts.map(|(state, seen)| InputRow { position, version: Input::VERSION, state, seen }))
}

/// Restores an input, or its time of forgetting, and its exception from its row. The error describes the problem.
pub(super) fn restore_row(fold: &mut Fold, input_id: InputId, row: &InputRow) -> Result<(), &'static str> {
    const UNREADABLE: &str = "its state cannot be read";
    if row.version > Input::VERSION {
        return Err(NEWER);
    }
    let without_state = serde_json::from_str::<WithoutState>(&row.state).ok();
    let has_content = |row: &WithoutState| row.forgotten_at.is_some() || row.exception.is_some();
    let exception = if let Some(row) = without_state.filter(has_content) {
        row.forgotten_at.into_iter().for_each(|at| fold.restore_forgotten(input_id, at));
        row.exception
    } else {
        let (input, exception) = Input::decode(row.version, &row.state).map_err(|_| UNREADABLE)?;
        let seen = SeenEvents::decode(&row.seen).ok_or("the events that it remembers cannot be read")?;
        fold.restore_input(input_id, InputEntry { input, seen });
        exception
    };
    exception.into_iter().for_each(|entry| fold.restore_exception(input_id, entry));
    Ok(())
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data serializes")
}

/// Decodes JSON from the journal. `row` is its place, for the error.
pub(super) fn from_json<T: DeserializeOwned>(journal: &dyn Reader, row: &str, json: &str) -> Result<T, JournalError> {
    serde_json::from_str(json).map_err(|_| damaged(journal, row, "its state cannot be read"))
}

fn damaged(journal: &dyn Reader, row: &str, problem: &'static str) -> JournalError {
    journal.damaged(row, problem)
}
