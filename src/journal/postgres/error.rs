//! Why PostgreSQL does not do what it should: what a start refuses, and after what the journal is away.

use std::error::Error as _;
use std::{fmt, io};

use thiserror::Error;
use tokio_postgres::error::SqlState;

use super::password::PasswordError;
use super::server::Server;
use super::tls::TlsError;
use crate::journal::{JournalError, JournalErrorKind};

/// Why PostgreSQL did not do what was asked.
#[derive(Debug)]
pub enum PostgresError {
    /// It reported an error, or the connection failed.
    Failed(tokio_postgres::Error),
    /// It did not answer in time.
    Overdue,
    /// There is no connection at the moment.
    Unconnected,
    /// The read was ended on purpose.
    Interrupted,
    /// There are not enough file descriptors for a connection.
    NoRuntime(io::Error),
    /// It warned that the commit may not be durable: the wait for a standby was cancelled.
    NotDurable,
}

/// Why a start with this server is refused. Each message says what to do.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The user or the password is wrong, or `pg_hba.conf` does not allow the connection.
    #[error(
        "{0}; check the user in storage.url, the password in storage.password_file or ~/.pgpass, and pg_hba.conf on \
         the server"
    )]
    Login(String),
    /// The server asks for a password.
    #[error("the server asks for a password; set storage.password_file, or add a line to ~/.pgpass")]
    NoPassword,
    /// The password's file cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The certificates of authorities cannot be used.
    #[error(transparent)]
    Certificates(#[from] TlsError),
    /// There is no TLS, or the server's certificate is not trusted.
    #[error(
        "no TLS: {0}; turn on ssl on the server, set sslrootcert to the authority of its certificate, or see sslmode"
    )]
    Tls(String),
    /// The database does not exist.
    #[error("{0}; create it with CREATE DATABASE, or correct storage.url")]
    NoDatabase(String),
    /// The user lacks a privilege.
    #[error("{0}; grant it to the user of storage.url")]
    Privilege(String),
    /// The server is older than all supported ones.
    #[error("PostgreSQL {0} is too old; use PostgreSQL 13 or later")]
    TooOld(u32),
    /// The server does not sync.
    #[error("the server runs with fsync = off, so a power cut destroys the journal; set fsync = on")]
    NoSync,
    /// The database cannot store every text.
    #[error("the database has the encoding {0}; use one that was created with ENCODING 'UTF8'")]
    Encoding(String),
    /// The schema was written by a newer version.
    #[error(
        "the schema {schema} has version {found}, but this version knows only {known}; use a newer stream-live-exporter"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// Its version.
        found: i32,
        /// The newest version that this program knows.
        known: i32,
    },
    /// The schema was written by an older version, and a reader does not migrate it.
    #[error(
        "the schema has version {found}, and this version reads only {known}; it is migrated when serve starts, or by \
         journal init"
    )]
    Older {
        /// Its version.
        found: i32,
        /// The version that this program knows.
        known: i32,
    },
    /// The schema has other tables.
    #[error("the schema {0} is not a journal of stream-live-exporter; choose another storage.schema")]
    Foreign(String),
    /// The schema has a journal with records.
    #[error(
        "the journal in the schema {0} has records already; import into an empty one: choose another storage.schema"
    )]
    NotEmpty(String),
    /// The schema does not exist, and is not created by a reader.
    #[error("there is no journal in the schema {0}; create it with journal init, or correct storage.schema")]
    Missing(String),
}

impl PostgresError {
    /// The cause, as far as callers handle it differently.
    pub(in crate::journal) fn kind(&self) -> JournalErrorKind {
        match self {
            Self::Overdue | Self::Unconnected | Self::NoRuntime(_) | Self::NotDurable => JournalErrorKind::Away,
            Self::Interrupted => JournalErrorKind::Other,
            Self::Failed(error) => match error.code() {
                Some(state) => of_state(state),
                None if is_transport(error) => JournalErrorKind::Away,
                None => JournalErrorKind::Other,
            },
        }
    }
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(&text(error)),
            Self::Overdue => f.write_str("no answer in time"),
            Self::Unconnected => f.write_str("not connected"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::NoRuntime(error) => write!(f, "no connection can be prepared: {error}"),
            Self::NotDurable => f.write_str("the commit may not be durable: the wait for a standby was cancelled"),
        }
    }
}

impl std::error::Error for PostgresError {}

impl Server {
    /// The error of a statement.
    pub(super) fn failed(&self, action: &'static str) -> impl Fn(tokio_postgres::Error) -> JournalError {
        move |error| self.error(action, PostgresError::Failed(error))
    }

    pub(super) fn error(&self, action: &'static str, source: PostgresError) -> JournalError {
        JournalError::Postgres { server: self.to_string(), action, source }
    }

    pub(super) fn refused(&self, refusal: Refusal) -> JournalError {
        JournalError::Refused { server: self.to_string(), refusal }
    }

    pub(super) fn cannot_connect(&self, error: tokio_postgres::Error) -> JournalError {
        self.cannot_use("cannot connect", error)
    }

    /// The error of an attempt to connect, or of the first statements.
    pub(super) fn cannot_use(&self, action: &'static str, error: tokio_postgres::Error) -> JournalError {
        const MISSING_PASSWORD: &str = "password missing";
        let text = text(&error);
        match error.code().map(SqlState::code) {
            Some(code) if code.starts_with("28") => self.refused(Refusal::Login(text)),
            Some("3D000") => self.refused(Refusal::NoDatabase(text)),
            Some("42501") => self.refused(Refusal::Privilege(text)),
            None if is_tls(&error) => self.refused(Refusal::Tls(text)),
            None if text.ends_with(MISSING_PASSWORD) => self.refused(Refusal::NoPassword),
            // The server's proof that it knows the password is wrong, or channel binding is not possible.
            None if error.to_string() == "authentication error" => self.refused(Refusal::Login(text)),
            Some(_) | None => self.failed(action)(error),
        }
    }
}

/// The cause of an error that the server reports.
pub(super) fn of_state(state: &SqlState) -> JournalErrorKind {
    let code = state.code();
    match code.get(..2) {
        // Connection, resources, operator, system; rollback of one of several transactions.
        Some("08" | "40" | "53" | "57" | "58") => JournalErrorKind::Away,
        // Read-only; a transaction was open for too long; a lock was not available.
        _ if ["25006", "25P03", "25P04", "55P03"].contains(&code) => JournalErrorKind::Away,
        _ if ["XX001", "XX002"].contains(&code) => JournalErrorKind::Damaged,
        _ => JournalErrorKind::Other,
    }
}

/// Whether the connection failed, so that the next one may succeed.
fn is_transport(error: &tokio_postgres::Error) -> bool {
    let is_io = error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>);
    is_io || error.is_closed() || error.to_string() == "timeout waiting for server"
}

/// Whether the server has no TLS, or one side rejects the other's. A connection that breaks during the handshake is
/// neither.
fn is_tls(error: &tokio_postgres::Error) -> bool {
    let source = error.source();
    match source.and_then(<dyn std::error::Error>::downcast_ref::<io::Error>) {
        Some(error) => error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>),
        None => error.to_string() == "error performing TLS handshake",
    }
}

/// One line: the server's message with its code, or all causes.
fn text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
