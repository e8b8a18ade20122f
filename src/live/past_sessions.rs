//! All sessions that the kept records of a journal have.

use std::collections::BTreeMap;

use super::sessions::SessionRows;
use super::{Fold, State, apply};
use crate::event::{InputId, Record, Rules, SessionChange, SessionState, Timestamp};

/// Reads a journal as a whole, for a table of sessions that had none of it.
#[derive(Debug)]
pub struct PastSessions {
    fold: Fold,
    rows: SessionRows,
}

impl PastSessions {
    /// Before the first kept record. `rules` are in force until a record changes them.
    pub fn new(rules: Rules) -> Self {
        Self { fold: Fold::new(rules), rows: SessionRows::default() }
    }

    /// Adds the next records.
    pub fn add(&mut self, records: &[Record]) {
        let (changes, _) = apply(&self.fold, records);
        self.rows.add(&self.fold, &changes, records.last().map_or(0, |record| record.position));
        self.fold.adopt(changes);
    }

    /// All sessions. `state` is that of the whole journal: it has the newest sessions of each input as they are, also if
    /// they began before the first kept record.
    pub fn finish(self, state: &State) -> Vec<SessionChange> {
        let known = self.rows.all().filter_map(|change| Some(((change.input_id, change.started_at), change.session?)));
        let mut sessions: BTreeMap<(InputId, Timestamp), SessionState> = known.collect();
        for (input_id, entry) in state.inputs() {
            let listed = entry.input.sessions(state.rules().reconnect_window);
            let Some(first) = listed.first() else { continue };
            let since = (*input_id, first.began);
            let replaced = sessions.range(since..).map(|(key, _)| *key).take_while(|(of, _)| of == input_id);
            for key in replaced.collect::<Vec<_>>() {
                sessions.remove(&key);
            }
            // The one before may have begun too late, at the first kept record.
            sessions.extend(listed.iter().map(|session| ((*input_id, session.began), session.into())));
        }
        let change = |((input_id, started_at), session)| SessionChange { input_id, started_at, session: Some(session) };
        sessions.into_iter().map(change).collect()
    }
}
