//! The journal in PostgreSQL as the recorder uses it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::answer::{Answers, ask};
use super::head::{Applied, Connection, HeadRow, Shown};
use super::link::Link;
use super::measured::Measured;
use super::reads::Query;
use super::server::Server;
use crate::event::{InputId, SessionChange, Timestamp};
use crate::journal::{Append, BatchId, Checkpoint, InputRow, Journal, JournalError, Tail};

/// The shared journal, for one thread: the recorder's.
///
/// Every method answers within 2 seconds; [`Reader`](crate::journal::Reader)'s and `save_checkpoint` need that at most
/// for each part of what they read or write. After an error of kind [`Away`](crate::journal::JournalErrorKind::Away) the
/// connection is closed, and everything fails at once until [`PostgresJournal::poll_connection`] finds the next one.
///
/// **Position.** [`Journal::last_position`] is the newest record that this process has: from
/// [`Reader::replay`](crate::journal::Reader::replay), [`Append::tail`], [`PostgresJournal::follow`],
/// [`PostgresJournal::scrape`], or its own commit. Each of these returns what comes next, exactly once: the caller must
/// apply it, also if the batch then fails.
pub struct PostgresJournal {
    pub(super) server: Server,
    /// The schema's name in statements.
    pub(super) schema: String,
    /// The name under which this process holds the lease, different from that of every other process.
    pub(super) replica: String,
    pub(super) link: Link,
    pub(super) applied: Cell<Applied>,
    /// The head, as it was last seen.
    pub(super) head: Cell<u64>,
    /// The head's row, if this process has every record up to it: a batch may expect that it has not changed.
    pub(super) expected: RefCell<Option<HeadRow>>,
    /// What a batch expected was wrong.
    pub(super) was_unexpected: Cell<bool>,
    /// Number of kept events, as it was last seen.
    pub(super) events: Cell<u64>,
    /// Number of changes of the documents when they were last read.
    pub(super) documents: Cell<u64>,
    in_snapshot: Cell<bool>,
    measured: Arc<Measured>,
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
        let measured = Arc::<Measured>::default();
        let link = Link::open(server.clone(), measured.clone(), wake)?;
        let plain = |char: &char| char.is_ascii_alphanumeric() || ".-_".contains(*char);
        let name: String = replica.chars().filter(plain).take(64).collect();
        let journal = Self {
            schema: server.quoted_schema(),
            server,
            replica: format!("{name}/{}", BatchId::random()),
            link,
            applied: Cell::default(),
            head: Cell::default(),
            expected: RefCell::default(),
            was_unexpected: Cell::default(),
            events: Cell::default(),
            documents: Cell::default(),
            in_snapshot: Cell::default(),
            measured,
        };
        Ok(journal)
    }

    /// Whether there is a connection. Takes over the one that was opened again, if there is one.
    pub fn poll_connection(&mut self) -> Connection {
        self.link.poll()
    }

    /// The position of the newest record, as it was last seen; 0 before the first.
    pub fn head(&self) -> u64 {
        self.head.get()
    }

    /// Reads what others appended, up to 10,000 records, without a lock. If [`PostgresJournal::head`] is ahead of
    /// [`Journal::last_position`] afterwards, there is more.
    ///
    /// # Errors
    ///
    /// `TailLost`: the state must be restored from the checkpoint. `UnknownRecord`: only a newer version can go on.
    pub fn follow(&mut self) -> Result<Tail, JournalError> {
        self.read_tail()
    }

    /// Advances the time that scrapes show, and reads the tail up to that moment.
    ///
    /// # Errors
    ///
    /// As [`PostgresJournal::follow`]; `Behind`: follow first.
    pub fn scrape(&mut self) -> Result<Shown, JournalError> {
        self.advance_time()
    }

    /// Takes the lease, or keeps it, for 15 seconds. Returns whether this process holds it.
    ///
    /// # Errors
    ///
    /// Whether it holds the lease is not known.
    pub fn renew_lease(&mut self) -> Result<bool, JournalError> {
        self.update_lease()
    }

    /// Ends the lease, if this process holds it, so that another replica gets it at once.
    ///
    /// # Errors
    ///
    /// It ends after its time.
    pub fn release_lease(&mut self) -> Result<(), JournalError> {
        self.end_lease()
    }

    /// Measures the size of the journal.
    ///
    /// # Errors
    ///
    /// The size is as it was.
    pub fn measure(&mut self) -> Result<(), JournalError> {
        let schema = self.server.schema();
        let deadline = self.server.deadline();
        self.link.run("cannot be measured", deadline, async |session| self.measured.measure(session, schema).await)
    }

    /// Whether the server's default makes commits durable and it syncs; `None` if that is not known yet.
    pub fn synchronous_commit(&self) -> Option<bool> {
        self.measured.is_durable()
    }
}

impl Query for PostgresJournal {
    fn server(&self) -> &Server {
        &self.server
    }

    fn ask(&self, sql: &str) -> Result<Answers, JournalError> {
        self.link.run("cannot be read", self.server.deadline(), async |session| ask(session, sql).await)
    }

    fn send(&self, sql: &str) {
        self.link.send(sql);
    }

    fn in_snapshot(&self) -> &Cell<bool> {
        &self.in_snapshot
    }

    fn interrupt_when(&mut self, _: Arc<AtomicBool>) {
        // Its reads end by themselves.
    }

    fn note_replayed(&self, head: &HeadRow) {
        self.applied.set(head.applied());
        self.head.set(head.position);
        self.events.set(head.events);
    }

    fn note_documents(&self, changes: u64) {
        self.documents.set(changes);
    }
}

impl Journal for PostgresJournal {
    fn begin(&mut self, id: BatchId) -> Result<Box<dyn Append + '_>, JournalError> {
        Ok(Box::new(self.begin_batch(id)?))
    }

    fn begin_without_tail(&mut self, id: BatchId) -> Result<Box<dyn Append + '_>, JournalError> {
        Ok(Box::new(self.begin_unlocked(id)?))
    }

    fn save_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        rows: &mut dyn Iterator<Item = (InputId, Option<InputRow>)>,
        sessions: &mut dyn Iterator<Item = SessionChange>,
    ) -> Result<(), JournalError> {
        self.write_checkpoint(checkpoint, rows, sessions)
    }

    fn keeps_sessions(&self) -> bool {
        true
    }

    fn save_documents(&mut self, documents: &[(&str, Option<&str>)]) -> Result<(), JournalError> {
        self.write_documents(documents)
    }

    fn expire(&mut self, horizon: Timestamp, now: Timestamp, limit: u64) -> Result<u64, JournalError> {
        self.delete_expired(horizon, now, limit)
    }

    fn last_position(&self) -> u64 {
        self.applied.get().position
    }

    fn events(&self) -> u64 {
        self.events.get()
    }

    fn size_bytes(&self) -> u64 {
        self.measured.size_bytes()
    }

    fn shared(&mut self) -> Option<&mut PostgresJournal> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<(), JournalError> {
        // Everything is durable already, and a connection closes when it is dropped.
        Ok(())
    }
}
