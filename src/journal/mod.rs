//! Stage 2: records become durable, each with a position, exactly once.
//!
//! There are two implementations. [`SqliteJournal`] is a file that one process owns. [`PostgresJournal`] is a database
//! that any number of processes share: each of them sees what the others append, as the tail of the next batch
//! ([`Append::tail`]), and applies the same records in the same order.
//!
//! | table | content |
//! |---|---|
//! | `records` | the journal: every record, without gaps in the positions; the oldest are deleted after the retention |
//! | `inputs` | state per input, each row with the position up to which it has the records |
//! | `checkpoint`, `rules` | state of all inputs together and the rules, as of the checkpoint's position |
//! | `last_seen` | when deliveries were last seen, with or without an event |
//! | `documents` | other state that survives a restart, by name: inventories of Cloudflare's API, when the daemon last ran |
//! | `unrecognized` | the newest authenticated bodies that were not understood |
//! | `input_sessions` | sessions, for queries of a shared journal |
//!
//! Times are nanoseconds since the Unix epoch. For this module, the recorder's values in `inputs`, `checkpoint` and
//! `last_seen` are opaque text and bytes with a version number.

mod batch_id;
mod columns;
mod content;
mod error;
mod postgres;
mod location;
mod reader;
mod spool;
mod sqlite;

use crate::event::{InputId, Record, SessionChange, Timestamp};

pub use batch_id::BatchId;
pub use content::{Checkpoint, Created, InputRow, KeptBody, KeptBodySummary, Unrecognized};
pub use error::{JournalError, JournalErrorKind};
pub use location::Location;
#[cfg(test)]
pub(crate) use postgres::cluster::Cluster;
pub use postgres::{
    Address, AddressError, Connection, Derived, InvalidSchemaName, PasswordError, PostgresError, PostgresJournal,
    PostgresReader, Refusal, SchemaName, Server, Shown, TlsError,
};
pub use reader::{Reader, Snapshot};
pub use spool::{SPOOL_FILE, Spool, SpooledBatch};
pub use sqlite::{Backup, DATABASE_FILE, FolderUse, Salvaged, SqliteJournal};

/// A journal that can be written.
pub trait Journal: Reader + Send {
    /// Begins a batch, and keeps other writers out until it ends. With a shared journal, a batch whose commit was not
    /// answered is begun again with the same id: it is then appended once.
    ///
    /// # Errors
    ///
    /// The journal cannot be written.
    fn begin(&mut self, id: BatchId) -> Result<Box<dyn Append + '_>, JournalError>;

    /// Begins a batch that was never tried before. A shared journal may expect that nothing has changed since it was
    /// last read, and skip the reading: if that is wrong, nothing is written, and the commit fails with
    /// [`Behind`](JournalErrorKind::Behind). The next batch reads again.
    ///
    /// # Errors
    ///
    /// As [`Journal::begin`].
    fn begin_without_tail(&mut self, id: BatchId) -> Result<Box<dyn Append + '_>, JournalError> {
        self.begin(id)
    }

    /// Advances the checkpoint, with these rows; an input without a row has its row deleted. `sessions` are all that have
    /// changed of these inputs, if the journal [keeps them](Self::keeps_sessions).
    ///
    /// # Errors
    ///
    /// The checkpoint is unchanged.
    fn save_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        rows: &mut dyn Iterator<Item = (InputId, Option<InputRow>)>,
        sessions: &mut dyn Iterator<Item = SessionChange>,
    ) -> Result<(), JournalError>;

    /// Whether it has a table of sessions.
    fn keeps_sessions(&self) -> bool {
        false
    }

    /// Replaces documents, each given by its name, and deletes those without a text. Their texts are opaque.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn save_documents(&mut self, documents: &[(&str, Option<&str>)]) -> Result<(), JournalError>;

    /// Deletes up to `limit` of the oldest records: those that are part of the checkpoint and have no record before them
    /// that was recorded since `horizon`. Returns their number.
    ///
    /// The time of a record from after `now` was recorded by a wrong clock. Such a record is as old as the next one.
    ///
    /// # Errors
    ///
    /// Nothing was deleted.
    fn expire(&mut self, horizon: Timestamp, now: Timestamp, limit: u64) -> Result<u64, JournalError>;

    /// Position of the newest record that was read or appended; 0 before the first.
    fn last_position(&self) -> u64;

    /// Number of kept events.
    fn events(&self) -> u64;

    /// Size in bytes.
    fn size_bytes(&self) -> u64;

    /// The journal as a file, which needs upkeep of its own; `None` for a shared one.
    fn local(&mut self) -> Option<&mut SqliteJournal> {
        None
    }

    /// The journal as one that other processes append to as well; `None` for a local one.
    fn shared(&mut self) -> Option<&mut PostgresJournal> {
        None
    }

    /// Ends the use of the journal.
    ///
    /// # Errors
    ///
    /// It could not be closed in order. Everything that was committed is durable.
    fn close(self: Box<Self>) -> Result<(), JournalError>;
}

/// A batch that is being written. It is rolled back if it is dropped without [`Append::commit`].
#[must_use = "nothing is recorded before the commit"]
pub trait Append {
    /// What others appended since the last batch, of a shared journal. Called once, before anything is appended.
    fn tail(&mut self) -> Option<Tail> {
        None
    }

    /// Appends records, which get their positions.
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    fn records(&mut self, records: &mut dyn Iterator<Item = &mut Record>) -> Result<(), JournalError>;

    /// Keeps bodies that were not understood; above fixed limits, the oldest are deleted.
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    fn unrecognized(&mut self, bodies: &[Unrecognized]) -> Result<(), JournalError>;

    /// Deletes kept bodies that are understood now.
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    fn forget_unrecognized(&mut self, numbers: &[u64]) -> Result<(), JournalError>;

    /// Replaces the times at which deliveries were last seen, see [`Reader::last_seen`].
    ///
    /// # Errors
    ///
    /// The batch cannot be recorded.
    fn last_seen(&mut self, last_seen: &str) -> Result<(), JournalError>;

    /// Makes the batch durable.
    ///
    /// # Errors
    ///
    /// The batch is not known to be durable. With a local journal, nothing was recorded. With a shared one that is away,
    /// the batch may have been recorded: it must be begun again with the same id.
    fn commit(self: Box<Self>) -> Result<(), JournalError>;
}

/// What others did with a shared journal since this process last read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The records after the last position that was read, in order.
    pub records: Vec<Record>,
    /// Time of the latest scrape of any replica. Records of the batch have it as `shown_until`.
    pub shown_until: Timestamp,
    /// `recorded_at` of the newest record.
    pub recorded_until: Timestamp,
    /// When deliveries were last seen, see [`Reader::last_seen`].
    pub last_seen: Option<String>,
    /// The clock of the database; `None` if it was not asked, because the batch [expects no
    /// tail](Journal::begin_without_tail).
    pub now: Option<Timestamp>,
    /// The documents were changed since they were last read.
    pub documents_changed: bool,
    /// The batch was appended before, by an attempt whose commit was not answered: its records are in the tail.
    pub has_batch: bool,
}

#[cfg(test)]
mod tests;
