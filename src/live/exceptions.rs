//! Exceptions to the schedules of inputs.

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::event::{InputId, Timestamp};
use crate::schedule::Exception;

/// The newest exception to the schedule of an input. An operator decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionEntry {
    /// What is expected, and when.
    pub exception: Exception,
    /// Who decided it; `None` without authentication.
    pub user: Option<Box<str>>,
    /// Why, for people.
    pub reason: Option<Box<str>>,
}

impl ExceptionEntry {
    /// Whether a newer one decides the same, by the same user and for the same reason.
    pub(super) fn repeats(&self, newer: &Self) -> bool {
        let repeated = Exception { from: newer.exception.from, ..self.exception };
        (repeated, &self.user, &self.reason) == (newer.exception, &newer.user, &newer.reason)
    }

    /// Estimated size in a row of the checkpoint, in bytes.
    pub fn encoded_size(&self) -> usize {
        let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        120 + length(&self.user) + length(&self.reason)
    }
}

/// At most one exception for each input. Those that have ended stay for a while, because pages show the last day. Cloning
/// shares all structure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions(OrdMap<InputId, Arc<ExceptionEntry>>);

impl Exceptions {
    /// The newest exception of an input, also if it has ended.
    pub fn get(&self, input_id: &InputId) -> Option<&ExceptionEntry> {
        self.0.get(input_id).map(AsRef::as_ref)
    }

    /// Number of exceptions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The inputs whose exception ended before `horizon`.
    pub fn ended(&self, horizon: Timestamp) -> impl Iterator<Item = InputId> {
        let ended = self.0.iter().filter(move |(_, entry)| entry.exception.until < horizon);
        ended.map(|(input_id, _)| *input_id)
    }

    pub(super) fn insert(&mut self, input_id: InputId, entry: ExceptionEntry) {
        self.0.insert(input_id, Arc::new(entry));
    }

    pub(super) fn remove(&mut self, input_id: &InputId) {
        self.0.remove(input_id);
    }

    /// Ends the exception of an input at this time.
    pub(super) fn end(&mut self, input_id: &InputId, at: Timestamp) {
        match self.0.get_mut(input_id) {
            Some(entry) if entry.exception.from < at => {
                let exception = &mut Arc::make_mut(entry).exception;
                exception.until = exception.until.min(at);
            }
            // It has not been in force.
            Some(_) => self.remove(input_id),
            None => {}
        }
    }

    /// The inputs whose exception began after this time, because the clock was ahead.
    pub(super) fn beginning_after(&self, time: Timestamp) -> impl Iterator<Item = InputId> {
        let ahead = self.0.iter().filter(move |(_, entry)| entry.exception.from > time);
        ahead.map(|(input_id, _)| *input_id)
    }

    /// An exception that was decided while the clock was ahead is in force from this time on.
    pub(super) fn begin_at(&mut self, input_id: &InputId, time: Timestamp) {
        if let Some(entry) = self.0.get_mut(input_id) {
            Arc::make_mut(entry).exception.from = time;
        }
    }
}
