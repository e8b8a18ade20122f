//! Documents and expiry, for the holder of the lease.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::journal::PostgresJournal;
use super::text::escape;
use crate::event::Timestamp;
use crate::journal::JournalError;

const EXPIRE: &str = "cannot be expired";
const DOCUMENTS: &str = "cannot be written";

impl PostgresJournal {
    pub(super) fn write_documents(&mut self, documents: &[(&str, Option<&str>)]) -> Result<(), JournalError> {
        let schema = &self.schema;
        let (warnings, _) = self.begin_with_lease(DOCUMENTS, "")?;
        // The last of several with the same name counts.
        let documents: BTreeMap<&str, Option<String>> =
            documents.iter().map(|(name, text)| (*name, text.map(|text| escape(text).into_owned()))).collect();
        let (names, texts): (Vec<&str>, Vec<&Option<String>>) =
            documents.iter().map(|(name, text)| (*name, text)).unzip();
        let save = format!(
            "INSERT INTO {schema}.documents (name, text) \
             SELECT * FROM unnest($1::text[], $2::text[]) AS new (name, text) WHERE text IS NOT NULL \
             ON CONFLICT (name) DO UPDATE SET text = excluded.text"
        );
        let delete = format!(
            "DELETE FROM {schema}.documents WHERE name IN ( \
                SELECT name FROM unnest($1::text[], $2::text[]) AS new (name, text) WHERE text IS NULL)"
        );
        let parameters = || vec![(&names as _, Type::TEXT_ARRAY), (&texts as _, Type::TEXT_ARRAY)];
        self.execute(DOCUMENTS, &[(save, parameters()), (delete, parameters())])?;
        let count = format!("UPDATE {schema}.head SET documents = documents + 1 WHERE id = 1 RETURNING documents;");
        let mut answers = self.commit(DOCUMENTS, warnings, &count)?;
        let written = answers.row().and_then(|row| row.number(0));
        let written = written.map_err(|problem| self.server.damaged("the head", problem))?;
        // Unless others changed documents that this process has not read.
        if written == self.documents.get() + 1 {
            self.documents.set(written);
        }
        Ok(())
    }

    pub(super) fn delete_expired(
        &mut self,
        horizon: Timestamp,
        now: Timestamp,
        limit: u64,
    ) -> Result<u64, JournalError> {
        let (schema, horizon, now) = (&self.schema, horizon.as_nanos(), now.as_nanos());
        let limit = limit.min(u64::from(u32::MAX));
        let (warnings, _) = self.begin_with_lease(EXPIRE, "")?;
        // The newest batch stays: it shows whether the journal continues what a replica has.
        let sql = format!(
            "WITH oldest AS (SELECT least( \
                coalesce((SELECT position FROM {schema}.checkpoint WHERE id = 1), 0), \
                (SELECT min(position) FROM {schema}.records) + {limit} - 1) AS position), \
             kept AS (SELECT coalesce(min(records.position), min(oldest.position) + 1) AS position \
                FROM oldest LEFT JOIN {schema}.records AS records \
                ON records.position <= oldest.position AND recorded_at BETWEEN {horizon} AND {now}), \
             expired AS (SELECT max(records.position) AS position FROM {schema}.records AS records, kept \
                WHERE records.position < kept.position AND recorded_at < {horizon}), \
             deleted AS (DELETE FROM {schema}.records WHERE position <= (SELECT position FROM expired) \
                RETURNING received_at), \
             counted AS (SELECT count(*) AS records, count(received_at) AS events FROM deleted), \
             batch AS (DELETE FROM {schema}.batches WHERE position <= (SELECT position FROM expired) \
                AND position < (SELECT position FROM {schema}.head WHERE id = 1)), \
             ended AS (SELECT input_id, started_at FROM {schema}.input_sessions WHERE ended_at < {horizon} \
                ORDER BY ended_at LIMIT {limit}), \
             sessions AS (DELETE FROM {schema}.input_sessions AS sessions USING ended \
                WHERE sessions.input_id = ended.input_id AND sessions.started_at = ended.started_at) \
             UPDATE {schema}.head AS head SET events = head.events - counted.events FROM counted \
             WHERE head.id = 1 RETURNING counted.records, head.events;"
        );
        let mut answers = self.commit(EXPIRE, warnings, &sql)?;
        let counts = answers.row().and_then(|row| Ok((row.number(0)?, row.number(1)?)));
        let (records, events) = counts.map_err(|problem| self.server.damaged("the head", problem))?;
        self.events.set(events);
        Ok(records)
    }
}
