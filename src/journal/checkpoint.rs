//! The fold of all events up to a position, as opaque rows.

use rusqlite::{OptionalExtension, params};

use super::error::failed;
use super::{Journal, JournalError};
use crate::event::InputId;

/// What is kept of all inputs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of the last event that is part of it.
    pub position: u64,
    /// The rest, opaque.
    pub state: String,
}

/// What is kept of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRow {
    /// The input.
    pub input_id: InputId,
    /// Its state, opaque.
    pub state: String,
    /// The identities that it remembers, opaque.
    pub identities: Vec<u8>,
}

impl Journal {
    /// The checkpoint; `None` when there has been none yet.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        self.connection
            .query_row("SELECT position, state FROM checkpoint", [], |row| {
                Ok(Checkpoint { position: row.get(0)?, state: row.get(1)? })
            })
            .optional()
            .map_err(failed(self.path(), "the checkpoint cannot be read"))
    }

    /// Calls `visit` with every input of the checkpoint.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read, or that `visit` refuses with what is wrong with it.
    pub fn checkpointed_inputs(
        &self,
        mut visit: impl FnMut(InputRow) -> Result<(), &'static str>,
    ) -> Result<(), JournalError> {
        let failed = || failed(self.path(), "the checkpoint cannot be read");
        let mut select = self.connection.prepare("SELECT input_id, state, identities FROM inputs").map_err(failed())?;
        let mut rows = select.query([]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            let text: String = row.get(0).map_err(failed())?;
            let (state, identities) = (row.get(1).map_err(failed())?, row.get(2).map_err(failed())?);
            let visited = match text.parse() {
                Ok(input_id) => visit(InputRow { input_id, state, identities }),
                Err(_) => Err("the input id is not 32 hexadecimal digits"),
            };
            visited.map_err(|problem| JournalError::Damaged {
                path: self.path().to_owned(),
                row: format!("input {text}"),
                problem,
            })?;
        }
        Ok(())
    }

    /// Moves the checkpoint on: the inputs that changed since the last one, and those to forget.
    ///
    /// # Errors
    ///
    /// The checkpoint is as it was.
    pub fn save_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        changed: impl Iterator<Item = InputRow>,
        forgotten: &[InputId],
    ) -> Result<(), JournalError> {
        self.transaction("the checkpoint cannot be written", |transaction| {
            let mut delete = transaction.prepare_cached("DELETE FROM inputs WHERE input_id = ?1")?;
            for input_id in forgotten {
                delete.execute(params![input_id.to_string()])?;
            }
            // A row stays where it is: what is replaced instead moves to the end, and two more pages change.
            let mut save = transaction.prepare_cached(
                "INSERT INTO inputs (input_id, state, identities) VALUES (?1, ?2, ?3) ON CONFLICT (input_id) \
                 DO UPDATE SET state = excluded.state, identities = excluded.identities",
            )?;
            for row in changed {
                save.execute(params![row.input_id.to_string(), row.state, row.identities])?;
            }
            let mut save = transaction
                .prepare_cached("INSERT OR REPLACE INTO checkpoint (id, position, state) VALUES (1, ?1, ?2)")?;
            save.execute(params![checkpoint.position, checkpoint.state]).map(drop)
        })
    }
}
