//! Creates the shared journal for a command.

use super::error::Refusal;
use super::runtime;
use super::schema::Access;
use super::server::Server;
use crate::journal::{Created, JournalError};

impl Server {
    /// Creates the tables of the shared journal if there are none, or migrates older ones.
    ///
    /// # Errors
    ///
    /// Why there can be no journal.
    pub fn create(&self) -> Result<Created, JournalError> {
        runtime::handle().block_on(async {
            let session = self.connect().await?;
            let found = match self.prepare(&session, Access::Read).await {
                Ok(_) => Created::Existing,
                Err(JournalError::Refused { refusal: Refusal::Missing(_), .. }) => Created::New,
                Err(JournalError::Refused { refusal: Refusal::Older { .. }, .. }) => Created::Migrated,
                Err(error) => return Err(error),
            };
            self.prepare(&session, Access::Write).await?;
            Ok(found)
        })
    }
}
