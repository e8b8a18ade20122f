//! What a start would say about the server, without changing anything.

use std::error::Error;

use super::error::Refusal;
use super::runtime;
use super::schema::{Access, value};
use super::server::Server;
use super::session::Session;
use crate::journal::{JournalError, JournalErrorKind};

/// What the tables need, once they exist and before.
const CANNOT_WRITE: &str = "permission denied to write the tables";
const CANNOT_CREATE: &str = "permission denied to create the tables";

impl Server {
    /// Connects, and checks the settings, the tables and the privileges. Returns what works and is dangerous: a server
    /// that is away does not prevent a start.
    ///
    /// # Errors
    ///
    /// Why a start would be refused.
    pub fn check(&self) -> Result<Vec<String>, JournalError> {
        match runtime::handle().block_on(self.check_in_session()) {
            Err(error) if error.kind() == JournalErrorKind::Away => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                Ok(vec![format!(
                    "{error}{cause}; a daemon starts all the same, and keeps new events in the data folder"
                )])
            }
            checked => checked,
        }
    }

    async fn check_in_session(&self) -> Result<Vec<String>, JournalError> {
        let session = self.connect().await?;
        let durability = self.check_settings(&session.client).await?;
        let is_new = match self.prepare(&session, Access::Read).await {
            Ok(_) => false,
            Err(JournalError::Refused { refusal: Refusal::Missing(_), .. }) => true,
            // A start migrates them.
            Err(JournalError::Refused { refusal: Refusal::Older { .. }, .. }) => false,
            Err(error) => return Err(error),
        };
        self.check_privileges(&session, is_new).await?;
        Ok(durability.warnings().map(|warning| format!("{self}: {warning}")).collect())
    }

    async fn check_privileges(&self, session: &Session, is_new: bool) -> Result<(), JournalError> {
        let schema = self.schema();
        let sql = if is_new {
            format!(
                "SELECT CASE WHEN to_regnamespace('\"{schema}\"') IS NULL \
                 THEN has_database_privilege(current_database(), 'CREATE') \
                 ELSE has_schema_privilege('\"{schema}\"', 'CREATE') END"
            )
        } else {
            format!("SELECT has_table_privilege('\"{schema}\".head', 'UPDATE')")
        };
        let is_allowed = value(&session.client, &sql).await.map_err(self.failed("cannot be checked"))?;
        if is_allowed.as_deref() == Some("t") {
            return Ok(());
        }
        let denied = if is_new { CANNOT_CREATE } else { CANNOT_WRITE };
        Err(self.refused(Refusal::Privilege(denied.to_owned())))
    }
}
