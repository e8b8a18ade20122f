//! The checkpoint: the state after all records up to a position.
//!
//! It is written in slices, each in a separate transaction. Rows of inputs may therefore be ahead of the checkpoint's
//! position; each row has its own position.

use rusqlite::{OptionalExtension, Row, params};

use super::SqliteJournal;
use crate::event::InputId;
use crate::journal::columns::{read_rules, rules_data};
use crate::journal::error::failed;
use crate::journal::{Checkpoint, InputRow, JournalError};

impl SqliteJournal {
    /// The checkpoint; `None` if there has been none yet.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        let sql = "SELECT position, version, state, (SELECT data FROM rules) FROM checkpoint";
        let columns = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<String>>(3)?));
        let row = self.database.connection.query_row(sql, [], columns).optional();
        let row = row.map_err(failed(self.path(), "the checkpoint cannot be read"))?;
        let checkpoint = row.map(|(position, version, state, rules)| {
            let rules = read_rules(&rules.unwrap_or_default())
                .map_err(|unreadable| self.database.damaged("the checkpoint", unreadable.problem()))?;
            Ok(Checkpoint { position, rules, version, state })
        });
        checkpoint.transpose()
    }

    /// Position of the checkpoint; 0 if there is none.
    pub(super) fn checkpoint_position(&self) -> rusqlite::Result<u64> {
        let position =
            self.database.connection.query_row("SELECT position FROM checkpoint", [], |row| row.get(0)).optional();
        position.map(Option::unwrap_or_default)
    }

    /// Calls `visit` with every row of an input.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read, or for which `visit` returns a problem.
    pub fn input_rows(
        &self,
        mut visit: impl FnMut(InputId, InputRow) -> Result<(), &'static str>,
    ) -> Result<(), JournalError> {
        let failed = || failed(self.path(), "the checkpoint cannot be read");
        let sql = "SELECT input_id, position, version, state, seen FROM inputs";
        let columns = |row: &Row<'_>| {
            Ok(InputRow { position: row.get(1)?, version: row.get(2)?, state: row.get(3)?, seen: row.get(4)? })
        };
        let mut select = self.database.connection.prepare(sql).map_err(failed())?;
        let mut rows = select.query([]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            let text: String = row.get(0).map_err(failed())?;
            let input_id = text.parse().map_err(|_| "the input id is not 32 hexadecimal digits");
            let columns = columns(row).map_err(failed())?;
            let visited = input_id.and_then(|input_id| visit(input_id, columns));
            visited.map_err(|problem| self.database.damaged(&format!("input {text}"), problem))?;
        }
        Ok(())
    }

    /// Advances the checkpoint, with these rows; an input without a row has its row deleted.
    ///
    /// # Errors
    ///
    /// The checkpoint is unchanged.
    pub fn save_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        rows: impl Iterator<Item = (InputId, Option<InputRow>)>,
    ) -> Result<(), JournalError> {
        self.database.transaction("the checkpoint cannot be written", |transaction| {
            let mut delete = transaction.prepare_cached("DELETE FROM inputs WHERE input_id = ?1")?;
            // An upsert leaves the row in its place. A replacement moves it to the end, which changes two more pages.
            let mut save = transaction.prepare_cached(
                "INSERT INTO inputs (input_id, position, version, state, seen) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (input_id) DO UPDATE SET position = excluded.position, version = excluded.version, \
                 state = excluded.state, seen = excluded.seen",
            )?;
            for (input_id, row) in rows {
                let input_id = input_id.to_string();
                match row {
                    Some(InputRow { position, version, state, seen }) => {
                        save.execute(params![input_id, position, version, state, seen])?
                    }
                    None => delete.execute(params![input_id])?,
                };
            }
            let Checkpoint { position, rules, version, state } = checkpoint;
            let mut save = transaction.prepare_cached(
                "INSERT OR REPLACE INTO checkpoint (id, position, version, state) VALUES (1, ?1, ?2, ?3)",
            )?;
            save.execute(params![position, version, state])?;
            // Rules rarely change, and may name many inputs.
            let mut save = transaction.prepare_cached(
                "INSERT INTO rules (id, data) VALUES (1, ?1) \
                 ON CONFLICT (id) DO UPDATE SET data = excluded.data WHERE data != excluded.data",
            )?;
            save.execute(params![rules_data(rules)]).map(drop)
        })
    }
}
