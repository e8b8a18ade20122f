//! Reads the shared journal beside the recorder, with a connection of its own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::answer::{Answers, ask, send};
use super::error::PostgresError;
use super::reads::Query;
use super::runtime;
use super::schema::Access;
use super::server::Server;
use super::session::Session;
use crate::journal::JournalError;

/// For each part of a read.
const DEADLINE: Duration = Duration::from_secs(10);
/// An interrupted read ends within this time.
const INTERRUPTION: Duration = Duration::from_millis(50);

/// A reader. If its connection is lost, the read fails, and the next one connects again.
///
/// It blocks its thread, which must not be one of an asynchronous runtime.
pub struct PostgresReader {
    server: Server,
    session: RefCell<Option<Session>>,
    in_snapshot: Cell<bool>,
    raised: Arc<AtomicBool>,
}

impl PostgresReader {
    /// Connects. There must be a journal.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    pub fn open(server: Server) -> Result<Self, JournalError> {
        let raised = Arc::default();
        let reader = Self { server, session: RefCell::default(), in_snapshot: Cell::new(false), raised };
        let session = reader.connect()?;
        reader.session.replace(Some(session));
        Ok(reader)
    }

    fn connect(&self) -> Result<Session, JournalError> {
        self.unless_interrupted("cannot connect", async {
            let session = self.server.connect().await?;
            self.server.prepare(&session, Access::Read).await?;
            Ok(session)
        })
    }

    /// Waits until the deadline, or until the interruption.
    fn wait<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, JournalError> {
        let overdue = |_| self.server.error(action, PostgresError::Overdue);
        self.unless_interrupted(action, async { timeout(DEADLINE, work).await.map_err(overdue)? })
    }

    fn unless_interrupted<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, JournalError> {
        let interrupted = async {
            while !self.raised.load(Ordering::Relaxed) {
                sleep(INTERRUPTION).await;
            }
        };
        runtime::handle().block_on(async {
            tokio::select! {
                biased;
                () = interrupted => Err(self.server.error(action, PostgresError::Interrupted)),
                done = work => done,
            }
        })
    }
}

impl Query for PostgresReader {
    fn server(&self) -> &Server {
        &self.server
    }

    fn ask(&self, sql: &str) -> Result<Answers, JournalError> {
        const ACTION: &str = "cannot be read";
        let usable = self.session.take().filter(|session| !session.client.is_closed());
        let session = match usable {
            Some(session) => session,
            None if self.in_snapshot.get() => return Err(self.server.error(ACTION, PostgresError::Unconnected)),
            None => self.connect()?,
        };
        let asked = async { ask(&session, sql).await.map_err(|source| self.server.error(ACTION, source)) };
        let answers = self.wait(ACTION, asked)?;
        self.session.replace(Some(session));
        Ok(answers)
    }

    fn send(&self, sql: &str) {
        if let Some(session) = &*self.session.borrow() {
            send(session, sql);
        }
    }

    fn in_snapshot(&self) -> &Cell<bool> {
        &self.in_snapshot
    }

    fn interrupt_when(&mut self, raised: Arc<AtomicBool>) {
        self.raised = raised;
    }
}
