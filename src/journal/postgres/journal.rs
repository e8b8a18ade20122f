//! The journal in PostgreSQL as the recorder uses it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::error::PostgresError;
use super::head::{Connection, Head, Shown};
use super::server::Server;
use crate::event::{InputId, Record, SessionChange, Timestamp};
use crate::journal::{
    Append, BatchId, Checkpoint, InputRow, Journal, JournalError, KeptBody, KeptBodySummary, Reader, Snapshot, Tail,
};

/// The shared journal, for one thread: the recorder's.
///
/// Every method answers within 2 seconds; [`Reader::replay`] and [`Reader::input_rows`] need that at most for each part
/// of what they read. After an error of kind [`Away`](crate::journal::JournalErrorKind::Away) the connection is closed,
/// and everything fails at once until [`PostgresJournal::poll_connection`] finds the next one.
///
/// **Position.** [`Journal::last_position`] is the newest record that this process has: from [`Reader::replay`],
/// [`Append::tail`], [`PostgresJournal::follow`], [`PostgresJournal::scrape`], or its own commit. Each of these returns
/// what comes next, exactly once: the caller must apply it, also if the batch then fails.
#[derive(Debug)]
pub struct PostgresJournal {
    server: Server,
}

impl PostgresJournal {
    /// Opens the shared journal: creates or migrates its schema. If the server is away, the journal is opened all the
    /// same, and is [`Connection::Away`].
    ///
    /// `replica` names this process for people; `wake` is called on another thread when there is a connection again.
    ///
    /// # Errors
    ///
    /// What a start refuses, see [`super::Refusal`].
    pub fn open(server: Server, replica: &str, wake: impl Fn() + Send + Sync + 'static) -> Result<Self, JournalError> {
        let _ = (replica, wake);
        Ok(Self { server })
    }

    /// Whether there is a connection. Takes over the one that was opened again, if there is one.
    pub fn poll_connection(&mut self) -> Connection {
        Connection::Away
    }

    /// Calls `notice` on another thread whenever the head has changed: at once by a notification, or within 250 ms.
    pub fn watch(&mut self, notice: impl Fn(Head) + Send + 'static) {
        let _ = notice;
    }

    /// The newest head that this process has seen in a statement of its own.
    pub fn head(&self) -> Head {
        Head::default()
    }

    /// Reads what others appended, up to 10,000 records, without a lock. If [`PostgresJournal::head`] is ahead of
    /// [`Journal::last_position`] afterwards, there is more.
    ///
    /// # Errors
    ///
    /// `TailLost`: the state must be restored from the checkpoint. `UnknownRecord`: only a newer version can go on.
    pub fn follow(&mut self) -> Result<Tail, JournalError> {
        Err(self.away("cannot be read"))
    }

    /// Advances the time that scrapes show, and reads the tail up to that moment.
    ///
    /// # Errors
    ///
    /// As [`PostgresJournal::follow`]; `Behind`: follow first.
    pub fn scrape(&mut self) -> Result<Shown, JournalError> {
        Err(self.away("the time of a scrape cannot be written"))
    }

    /// Takes the lease, or keeps it, for 15 seconds. Returns whether this process holds it.
    ///
    /// # Errors
    ///
    /// Whether it holds the lease is not known.
    pub fn renew_lease(&mut self) -> Result<bool, JournalError> {
        Err(self.away("the lease cannot be renewed"))
    }

    /// Ends the lease, if this process holds it, so that another replica gets it at once.
    ///
    /// # Errors
    ///
    /// It ends after its time.
    pub fn release_lease(&mut self) -> Result<(), JournalError> {
        Err(self.away("the lease cannot be released"))
    }

    /// Whether the server's default makes commits durable and it syncs; `None` if that is not known yet.
    pub fn synchronous_commit(&self) -> Option<bool> {
        None
    }

    fn away(&self, action: &'static str) -> JournalError {
        self.server.error(action, PostgresError::Unconnected)
    }
}

impl Journal for PostgresJournal {
    fn begin(&mut self, _: BatchId) -> Result<Box<dyn Append + '_>, JournalError> {
        Err(self.away("cannot be appended to"))
    }

    fn save_checkpoint(
        &mut self,
        _: &Checkpoint,
        _: &mut dyn Iterator<Item = (InputId, Option<InputRow>)>,
        _: &mut dyn Iterator<Item = SessionChange>,
    ) -> Result<(), JournalError> {
        Err(self.away("the checkpoint cannot be written"))
    }

    fn keeps_sessions(&self) -> bool {
        true
    }

    fn save_documents(&mut self, _: &[(&str, Option<&str>)]) -> Result<(), JournalError> {
        Err(self.away("cannot be written"))
    }

    fn expire(&mut self, _: Timestamp, _: Timestamp, _: u64) -> Result<u64, JournalError> {
        Err(self.away("cannot be expired"))
    }

    fn last_position(&self) -> u64 {
        0
    }

    fn events(&self) -> u64 {
        0
    }

    fn size_bytes(&self) -> u64 {
        0
    }

    fn shared(&mut self) -> Option<&mut PostgresJournal> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<(), JournalError> {
        Ok(())
    }
}

impl Reader for PostgresJournal {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn input_rows(&self, _: &mut dyn FnMut(InputId, InputRow) -> Result<(), &'static str>) -> Result<(), JournalError> {
        Err(self.away("cannot be read"))
    }

    fn replay(&self, _: u64, _: &mut dyn FnMut(Record)) -> Result<(), JournalError> {
        Err(self.away("cannot be read"))
    }

    fn last_seen(&self) -> Result<Option<String>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn documents(&self) -> Result<BTreeMap<String, String>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn oldest_event_at(&self) -> Result<Option<Timestamp>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn oldest_position(&self) -> Result<u64, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn newest_position(&self) -> Result<u64, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn first_since(&self, _: Timestamp) -> Result<Option<(u64, Timestamp)>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn first_from(&self, _: u64) -> Result<Option<(u64, Timestamp)>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn newest_events(&self, _: u64) -> Result<Vec<Record>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn newest_of(&self, _: &InputId, _: u64, _: u64, _: usize) -> Result<Vec<Record>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn newest_unrecognized(&self, _: u64, _: usize) -> Result<Vec<KeptBodySummary>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn unrecognized(&self) -> Result<Vec<KeptBody>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn kept_body(&self, _: u64) -> Result<Option<KeptBody>, JournalError> {
        Err(self.away("cannot be read"))
    }

    fn interrupt_when(&mut self, _: Arc<AtomicBool>) -> Result<(), JournalError> {
        Err(self.away("cannot be read"))
    }

    fn integrity_problems(&self) -> Result<Vec<String>, JournalError> {
        Ok(Vec::new())
    }

    fn damaged(&self, row: &str, problem: &'static str) -> JournalError {
        JournalError::Damaged { path: self.server.to_string().into(), row: row.to_owned(), problem }
    }
}
