//! The checkpoint: the state after all records up to a position. Rows of inputs may be ahead of it, as in SQLite.

use tokio_postgres::types::Type;

use super::checkpoint_rows::{Rows, Sessions};
use super::journal::PostgresJournal;
use super::text::escape;
use crate::event::{InputId, SessionChange};
use crate::journal::columns::rules_data;
use crate::journal::{Checkpoint, InputRow, JournalError};

const CHECKPOINT: &str = "the checkpoint cannot be written";

impl PostgresJournal {
    pub(super) fn write_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        rows: &mut dyn Iterator<Item = (InputId, Option<InputRow>)>,
        sessions: &mut dyn Iterator<Item = SessionChange>,
    ) -> Result<(), JournalError> {
        let schema = &self.schema;
        let read = format!("SELECT coalesce((SELECT position FROM {schema}.checkpoint WHERE id = 1), 0)");
        let (warnings, mut answers) = self.begin_with_lease(CHECKPOINT, &read)?;
        let saved = answers.row().and_then(|row| row.number::<u64>(0));
        // Records before it may have expired.
        if saved.is_ok_and(|saved| saved > checkpoint.position) {
            self.link.send("ROLLBACK");
            return Err(JournalError::Behind { server: self.server.to_string(), action: CHECKPOINT });
        }
        while let Some(part) = Rows::next(rows) {
            self.execute(CHECKPOINT, &part.statements(schema))?;
        }
        while let Some(part) = Sessions::next(sessions) {
            self.execute(CHECKPOINT, &part.statements(schema))?;
        }
        let Checkpoint { position, rules, version, state } = checkpoint;
        let (state, rules) = (escape(state), rules_data(rules));
        let (state, rules) = (&*state, &*escape(&rules));
        let save = format!(
            "INSERT INTO {schema}.checkpoint (id, position, version, state) VALUES (1, {position}, {version}, $1) \
             ON CONFLICT (id) DO UPDATE SET position = excluded.position, version = excluded.version, \
             state = excluded.state"
        );
        // Rules rarely change, and may name many inputs.
        let save_rules = format!(
            "INSERT INTO {schema}.rules AS rules (id, data) VALUES (1, $1) \
             ON CONFLICT (id) DO UPDATE SET data = excluded.data WHERE rules.data != excluded.data"
        );
        let statements = [(save, vec![(&state as _, Type::TEXT)]), (save_rules, vec![(&rules as _, Type::TEXT)])];
        self.execute(CHECKPOINT, &statements)?;
        self.commit(CHECKPOINT, warnings, "").map(drop)
    }
}
