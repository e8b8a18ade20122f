//! Bodies that were not understood, as statements of a batch.

use tokio_postgres::types::Type;

use super::arrays::Statement;
use super::text::escape;
use crate::journal::Unrecognized;
use crate::journal::content::{MAX_BODIES, MAX_BYTES};

/// The columns of kept bodies.
#[derive(Debug, Default)]
pub(super) struct BodyArrays {
    received_at: Vec<i64>,
    reasons: Vec<String>,
    bodies: Vec<Vec<u8>>,
}

impl BodyArrays {
    pub(super) fn push(&mut self, body: &Unrecognized) {
        self.received_at.push(body.received_at.as_nanos());
        self.reasons.push(escape(&body.reason).into_owned());
        self.bodies.push(body.body.clone());
    }

    /// Inserts them, and deletes the oldest above the limits.
    pub(super) fn statements(&self, schema: &str) -> Vec<Statement<'_>> {
        if self.bodies.is_empty() {
            return Vec::new();
        }
        let insert = format!(
            "INSERT INTO {schema}.unrecognized (received_at, reason, body) \
             SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])"
        );
        let trim = format!(
            "DELETE FROM {schema}.unrecognized WHERE seq <= ( \
                SELECT seq FROM ( \
                    SELECT seq, row_number() OVER newest AS bodies, sum(length(body)) OVER newest AS bytes \
                    FROM {schema}.unrecognized WINDOW newest AS (ORDER BY seq DESC) \
                ) AS kept WHERE bodies > {MAX_BODIES} OR bytes > {MAX_BYTES} ORDER BY seq DESC LIMIT 1)"
        );
        let (times, texts, bytes) = (Type::INT8_ARRAY, Type::TEXT_ARRAY, Type::BYTEA_ARRAY);
        vec![
            (insert, vec![(&self.received_at, times), (&self.reasons, texts), (&self.bodies, bytes)]),
            (trim, Vec::new()),
        ]
    }
}
