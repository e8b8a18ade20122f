//! The sessions that records change, for a table of all sessions.
//!
//! A late record changes sessions of the past: it can join two, divide one, or remove one. A table is complete if it
//! gets the changes of every batch.

use std::collections::BTreeMap;

use super::changes::Session;
use super::fold::InputChange;
use super::{Changes, Fold, InputEntry};
use crate::event::{InputId, SessionChange, SessionState, Timestamp};

/// Number of changed sessions that should be written at once.
const MANY_CHANGES: usize = 50_000;

impl Changes {
    /// The sessions that began, changed, ended or are no sessions any more. `fold` has not adopted the changes.
    fn sessions(&self, fold: &Fold) -> impl Iterator<Item = SessionChange> {
        self.inputs.iter().flat_map(|(input_id, change)| self.sessions_of(fold, *input_id, change))
    }

    fn sessions_of(
        &self,
        fold: &Fold,
        input_id: InputId,
        change: &InputChange,
    ) -> impl Iterator<Item = SessionChange> + use<> {
        let state = fold.state();
        let window = self.windows_before.get(&input_id).copied().unwrap_or(state.rules.reconnect_window);
        let before = state.inputs.get(&input_id).map(|entry| entry.input.sessions(window)).unwrap_or_default();
        let after = match change {
            InputChange::Updated(input, _) | InputChange::Replaced(InputEntry { input, .. }) => {
                input.sessions(self.rules.reconnect_window)
            }
            InputChange::Removed => Vec::new(),
        };
        let mut changed: BTreeMap<Timestamp, Option<SessionState>> =
            before.iter().map(|session| (session.began, None)).collect();
        let settled = self.sessions.get(&input_id).into_iter().flatten();
        changed.extend(settled.chain(&after).map(|session| (session.began, Some(session.into()))));
        for session in before {
            if changed.get(&session.began) == Some(&Some((&session).into())) {
                changed.remove(&session.began);
            }
        }
        changed.into_iter().map(move |(started_at, session)| SessionChange { input_id, started_at, session })
    }
}

impl From<&Session> for SessionState {
    fn from(session: &Session) -> Self {
        Self { ended_at: session.ended, reconnects: session.reconnects }
    }
}

/// Changed sessions that are not written yet. They are written in the transaction that writes the rows of their inputs
/// into the checkpoint: a restart replays the records that the rows lack, and finds the same changes again.
#[derive(Debug, Default)]
pub struct SessionRows {
    /// By start; each with the position of the newest record that may have changed it.
    inputs: BTreeMap<InputId, BTreeMap<Timestamp, (u64, Option<SessionState>)>>,
    len: usize,
}

impl SessionRows {
    /// Adds what changes before the fold adopts them. `position` is that of their newest record.
    pub fn add(&mut self, fold: &Fold, changes: &Changes, position: u64) {
        for SessionChange { input_id, started_at, session } in changes.sessions(fold) {
            let replaced = self.inputs.entry(input_id).or_default().insert(started_at, (position, session));
            self.len += usize::from(replaced.is_none());
        }
    }

    /// The changed sessions of these inputs.
    pub fn of(&self, input_ids: impl Iterator<Item = InputId>) -> impl Iterator<Item = SessionChange> {
        input_ids.flat_map(|input_id| {
            let sessions = self.inputs.get(&input_id).into_iter().flatten();
            sessions.map(move |(&started_at, &(_, session))| SessionChange { input_id, started_at, session })
        })
    }

    /// The changed sessions of all inputs.
    pub(super) fn all(&self) -> impl Iterator<Item = SessionChange> {
        self.of(self.inputs.keys().copied())
    }

    /// The sessions of these inputs are written.
    pub fn saved(&mut self, input_ids: impl Iterator<Item = InputId>) {
        for input_id in input_ids {
            self.len -= self.inputs.remove(&input_id).map_or(0, |sessions| sessions.len());
        }
    }

    /// Another replica has written a checkpoint with everything up to this position.
    pub fn saved_until(&mut self, position: u64) {
        self.inputs.retain(|_, sessions| {
            sessions.retain(|_, (changed, _)| *changed > position);
            !sessions.is_empty()
        });
        self.len = self.inputs.values().map(BTreeMap::len).sum();
    }

    /// Whether the number of waiting sessions requires a checkpoint now.
    pub fn is_large(&self) -> bool {
        self.len >= MANY_CHANGES
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
