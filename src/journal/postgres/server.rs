//! The server of a shared journal, with everything that is needed to connect.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::address::Address;

/// PostgreSQL truncates longer names.
const MAX_SCHEMA_NAME: usize = 63;

/// After it, the server is away.
const LIMIT: Duration = Duration::from_secs(2);
/// The same for a command: no sender waits for it.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Where a shared journal is. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    parts: Arc<Parts>,
    limit: Duration,
}

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    address: Address,
    password_file: Option<PathBuf>,
    schema: SchemaName,
}

/// The name of a PostgreSQL schema, which needs no quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName(String);

/// The text is not such a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "not a name of a schema: {0:?} (expected up to {MAX_SCHEMA_NAME} characters: a lower-case letter or _, then \
     lower-case letters, digits and _; not information_schema, and not pg_ at the beginning)"
)]
pub struct InvalidSchemaName(String);

impl Server {
    /// The schema of a database. Without a password file, the password is in the file that `PGPASSFILE` names, or in
    /// `~/.pgpass`.
    pub fn new(address: Address, password_file: Option<PathBuf>, schema: SchemaName) -> Self {
        Self { parts: Arc::new(Parts { address, password_file, schema }), limit: LIMIT }
    }

    /// The same server for a command, which waits longer for it than a daemon.
    pub fn for_command(self) -> Self {
        Self { limit: COMMAND_LIMIT, ..self }
    }

    /// How long it may take to answer.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// When the server is away if it has not answered a request that is made now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    pub(super) fn address(&self) -> &Address {
        &self.parts.address
    }

    pub(super) fn password_file(&self) -> Option<&Path> {
        self.parts.password_file.as_deref()
    }

    /// The schema's name in statements: it may be a word of SQL.
    pub(super) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema())
    }

    /// The schema's name.
    pub fn schema(&self) -> &str {
        &self.parts.schema.0
    }
}

/// Host, port and database.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.address.fmt(f)
    }
}

impl FromStr for SchemaName {
    type Err = InvalidSchemaName;

    fn from_str(text: &str) -> Result<Self, InvalidSchemaName> {
        let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
        let is_valid = text.len() <= MAX_SCHEMA_NAME
            && text.chars().all(is_plain)
            && text.starts_with(|first: char| !first.is_ascii_digit());
        // PostgreSQL reserves these for itself.
        let is_reserved = text.starts_with("pg_") || text == "information_schema";
        if is_valid && !is_reserved { Ok(Self(text.to_owned())) } else { Err(InvalidSchemaName(text.to_owned())) }
    }
}
