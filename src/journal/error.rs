//! Why the journal cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};
use thiserror::Error;

use super::{PostgresError, Refusal};

/// The journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The data folder cannot be created or read.
    #[error("{}: cannot be used as data folder", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The data folder cannot be synced, so the database's directory entry may not be on disk.
    #[error("{}: cannot be synced", path.display())]
    FolderUnsynced {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no journal.
    #[error("{}: there is no journal; set --storage.path to its folder", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// The folder of a copy has something else in it.
    #[error("{}: is not empty; choose a new or empty folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Another process owns the data folder.
    #[error("{}: in use by another stream-live-exporter; stop it or choose another --storage.path", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The database was written by a newer version.
    #[error("{}: has schema version {found}, but this version knows only {known}; use a newer stream-live-exporter", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("{}: is not a database of stream-live-exporter", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// SQLite failed.
    #[error("{}: {action}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The file system is read-only.
    #[error("{}: {action}: the file system is read-only", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
    },
    /// The disk is full.
    #[error("{}: {action}: the disk is full", path.display())]
    Full {
        /// The database.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
    },
    /// The spool has as many records as it may have.
    #[error("{}: has no room: storage.spool_max is {limit} records; restore the connection to the database", path.display())]
    SpoolFull {
        /// The spool.
        path: PathBuf,
        /// Maximum number of records.
        limit: u64,
    },
    /// PostgreSQL did not do what was asked.
    #[error("{server}: {action}")]
    Postgres {
        /// Host, port and database.
        server: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: PostgresError,
    },
    /// The shared journal cannot be used like this.
    #[error("{server}: {refusal}")]
    Refused {
        /// Host, port and database.
        server: String,
        /// Why.
        refusal: Refusal,
    },
    /// The server lacks records that it had: a failover lost them.
    #[error("{server}: does not continue position {position}; a failover may have lost records")]
    TailLost {
        /// Host, port and database.
        server: String,
        /// The position up to which this process had applied records.
        position: u64,
    },
    /// Another replica has the lease.
    #[error("{server}: another replica has the lease")]
    NotLeader {
        /// Host, port and database.
        server: String,
    },
    /// The file is not the database that was written.
    #[error("{}: is damaged: {problem}", path.display())]
    Unsound {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Other replicas appended more records to a shared journal than a batch reads: the tail must be read first.
    #[error("{server}: {action}: this replica is behind and must read more records first")]
    Behind {
        /// Host, port and database.
        server: String,
        /// What was tried.
        action: &'static str,
    },
    /// A record of a shared journal has a kind, or a version of one, that only later releases know.
    #[error("{server}: {row} was written by a newer version: {problem}; use a newer stream-live-exporter")]
    UnknownRecord {
        /// Host, port and database.
        server: String,
        /// The row's key.
        row: String,
        /// What is not known.
        problem: &'static str,
    },
    /// A row has a value that no version writes.
    #[error("{}: {row} is damaged: {problem}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The table and the row's key.
        row: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The cause of an error, as far as callers handle it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalErrorKind {
    /// There is no space left.
    DiskFull,
    /// The file system is read-only.
    ReadOnly,
    /// Another program holds the database's write lock.
    Busy,
    /// The spool is full.
    SpoolFull,
    /// The server of a shared journal cannot be used at the moment. The same may succeed later.
    Away,
    /// The server of a shared journal lost records that this process has applied.
    TailLost,
    /// Another replica has the lease of a shared journal.
    NotLeader,
    /// A sync failed: the last writes may be lost, even if they can still be read.
    SyncFailed,
    /// The files do not have the content that was written.
    Damaged,
    /// More records of a shared journal must be read first.
    Behind,
    /// A record of a shared journal was written by a newer version.
    UnknownRecord,
    /// Anything else.
    Other,
}

impl JournalError {
    /// The cause.
    pub fn kind(&self) -> JournalErrorKind {
        match self {
            Self::Sqlite { source: rusqlite::Error::SqliteFailure(error, _), .. } => of_sqlite(*error),
            Self::Folder { source, .. } => of_system(source),
            Self::FolderUnsynced { .. } => JournalErrorKind::SyncFailed,
            Self::ReadOnly { .. } => JournalErrorKind::ReadOnly,
            Self::Full { .. } => JournalErrorKind::DiskFull,
            Self::InUse { .. } => JournalErrorKind::Busy,
            Self::SpoolFull { .. } => JournalErrorKind::SpoolFull,
            Self::Postgres { source, .. } => source.kind(),
            Self::TailLost { .. } => JournalErrorKind::TailLost,
            Self::NotLeader { .. } => JournalErrorKind::NotLeader,
            Self::Unsound { .. } | Self::Damaged { .. } => JournalErrorKind::Damaged,
            Self::Behind { .. } => JournalErrorKind::Behind,
            Self::UnknownRecord { .. } => JournalErrorKind::UnknownRecord,
            Self::Missing { .. }
            | Self::NotEmpty { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::Refused { .. }
            | Self::Sqlite { .. } => JournalErrorKind::Other,
        }
    }
}

fn of_sqlite(error: rusqlite::ffi::Error) -> JournalErrorKind {
    match (error.code, error.extended_code) {
        (_, SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC) => JournalErrorKind::SyncFailed,
        (ErrorCode::DiskFull, _) => JournalErrorKind::DiskFull,
        (ErrorCode::ReadOnly, _) => JournalErrorKind::ReadOnly,
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => JournalErrorKind::Busy,
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => JournalErrorKind::Damaged,
        _ => JournalErrorKind::Other,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the standard library may add to them at any time")]
fn of_system(error: &io::Error) -> JournalErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JournalErrorKind::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem => JournalErrorKind::ReadOnly,
        _ => JournalErrorKind::Other,
    }
}

pub(super) fn failed(path: &Path, action: &'static str) -> impl Fn(rusqlite::Error) -> JournalError {
    move |source| JournalError::Sqlite { path: path.to_owned(), action, source }
}
