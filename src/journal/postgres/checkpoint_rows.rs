//! Rows of the checkpoint as statements.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::arrays::{Parameter, Statement};
use super::text::escape;
use crate::event::{InputId, SessionChange, Timestamp};
use crate::journal::InputRow;

/// A statement writes up to this many rows, and up to this many bytes or one row more.
const ROWS: usize = 1000;
const BYTES: usize = 1 << 20;

/// Some rows of inputs.
#[derive(Default)]
pub(super) struct Rows {
    input_ids: Vec<String>,
    positions: Vec<i64>,
    versions: Vec<i32>,
    states: Vec<String>,
    seen: Vec<Vec<u8>>,
    deleted: Vec<String>,
}

/// Some sessions.
#[derive(Default)]
pub(super) struct Sessions {
    input_ids: Vec<String>,
    started_at: Vec<i64>,
    ended_at: Vec<Option<i64>>,
    /// `None` if there is no such session.
    reconnects: Vec<Option<i64>>,
}

impl Rows {
    /// The next rows; `None` after the last.
    pub(super) fn next(rows: &mut dyn Iterator<Item = (InputId, Option<InputRow>)>) -> Option<Self> {
        let mut taken = BTreeMap::new();
        let mut bytes = 0;
        while taken.len() < ROWS && bytes < BYTES {
            let Some((input_id, row)) = rows.next() else { break };
            bytes += row.as_ref().map_or(0, |row| row.state.len() + row.seen.len());
            // A statement cannot change a row twice.
            taken.insert(input_id, row);
        }
        let mut part = Self::default();
        for (input_id, row) in taken {
            match row {
                Some(row) => part.save(input_id, row),
                None => part.deleted.push(input_id.to_string()),
            }
        }
        (!part.input_ids.is_empty() || !part.deleted.is_empty()).then_some(part)
    }

    fn save(&mut self, input_id: InputId, InputRow { position, version, state, seen }: InputRow) {
        self.input_ids.push(input_id.to_string());
        self.positions.push(position.cast_signed());
        self.versions.push(version.cast_signed());
        self.states.push(escape(&state).into_owned());
        self.seen.push(seen);
    }

    pub(super) fn statements(&self, schema: &str) -> Vec<Statement<'_>> {
        let save = format!(
            "INSERT INTO {schema}.inputs (input_id, position, version, state, seen) \
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::int[], $4::text[], $5::bytea[]) \
             ON CONFLICT (input_id) DO UPDATE SET position = excluded.position, version = excluded.version, \
             state = excluded.state, seen = excluded.seen"
        );
        let delete = format!("DELETE FROM {schema}.inputs WHERE input_id = ANY ($1)");
        let mut statements: Vec<Statement<'_>> = Vec::new();
        if !self.input_ids.is_empty() {
            statements.push((
                save,
                vec![
                    (&self.input_ids, Type::TEXT_ARRAY),
                    (&self.positions, Type::INT8_ARRAY),
                    (&self.versions, Type::INT4_ARRAY),
                    (&self.states, Type::TEXT_ARRAY),
                    (&self.seen, Type::BYTEA_ARRAY),
                ],
            ));
        }
        if !self.deleted.is_empty() {
            statements.push((delete, vec![(&self.deleted, Type::TEXT_ARRAY)]));
        }
        statements
    }
}

impl Sessions {
    /// The next sessions; `None` after the last.
    pub(super) fn next(sessions: &mut dyn Iterator<Item = SessionChange>) -> Option<Self> {
        // A statement cannot change a row twice.
        let taken: BTreeMap<_, _> = sessions
            .take(ROWS)
            .map(|SessionChange { input_id, started_at, session }| ((input_id, started_at), session))
            .collect();
        let mut part = Self::default();
        for ((input_id, started_at), session) in &taken {
            part.input_ids.push(input_id.to_string());
            part.started_at.push(started_at.as_nanos());
            part.ended_at.push(session.and_then(|session| session.ended_at).map(Timestamp::as_nanos));
            part.reconnects.push(session.map(|session| session.reconnects.into()));
        }
        (!taken.is_empty()).then_some(part)
    }

    pub(super) fn statements(&self, schema: &str) -> Vec<Statement<'_>> {
        let changed = "unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
            AS changed (input_id, started_at, ended_at, reconnects)";
        let save = format!(
            "INSERT INTO {schema}.input_sessions (input_id, started_at, ended_at, reconnects) \
             SELECT * FROM {changed} WHERE reconnects IS NOT NULL \
             ON CONFLICT (input_id, started_at) DO UPDATE SET ended_at = excluded.ended_at, \
             reconnects = excluded.reconnects"
        );
        let delete = format!(
            "DELETE FROM {schema}.input_sessions AS sessions USING {changed} WHERE changed.reconnects IS NULL \
             AND sessions.input_id = changed.input_id AND sessions.started_at = changed.started_at"
        );
        [save, delete].map(|sql| (sql, self.parameters())).into()
    }

    fn parameters(&self) -> Vec<Parameter<'_>> {
        const TIMES: Type = Type::INT8_ARRAY;
        vec![
            (&self.input_ids, Type::TEXT_ARRAY),
            (&self.started_at, TIMES),
            (&self.ended_at, TIMES),
            (&self.reconnects, TIMES),
        ]
    }
}
