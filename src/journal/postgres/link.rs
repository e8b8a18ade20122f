//! The connection of the recorder's thread. A task on the runtime replaces it when it is lost.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::answer::{ask, send};
use super::error::PostgresError;
use super::head::Connection;
use super::measured::Measured;
use super::runtime;
use super::schema::Access;
use super::server::Server;
use super::session::{DEADLINE, Session};
use super::transaction::BEGIN;
use crate::journal::{JournalError, JournalErrorKind};

/// Time between attempts to connect. Short, because a replica must notice within a second that a failover lost records.
const PAUSE: Duration = Duration::from_millis(500);

/// A session that is lost with the first error.
pub(super) struct Link {
    server: Server,
    session: RefCell<Option<Session>>,
    reconnecting: Arc<Reconnecting>,
    task: JoinHandle<()>,
}

/// What the task shares with the thread.
struct Reconnecting {
    server: Server,
    measured: Arc<Measured>,
    /// The session is lost.
    lost: Notify,
    /// The next session.
    next: Mutex<Option<Session>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Link {
    /// Connects. If the server is away, the task goes on.
    pub(super) fn open(
        server: Server,
        measured: Arc<Measured>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, JournalError> {
        let lost = Notify::new();
        let wake = Box::new(wake);
        let reconnecting =
            Arc::new(Reconnecting { server: server.clone(), measured, lost, next: Mutex::default(), wake });
        let session = match runtime::handle().block_on(reconnecting.connect()) {
            Ok(session) => Some(session),
            Err(error) if error.kind() == JournalErrorKind::Away => {
                warn(&error);
                reconnecting.lost.notify_one();
                None
            }
            Err(error) => return Err(error),
        };
        let task = runtime::handle().spawn(reconnecting.clone().run());
        Ok(Self { server, session: RefCell::new(session), reconnecting, task })
    }

    /// Whether there is a session. Takes over the next one, if there is one.
    pub(super) fn poll(&self) -> Connection {
        let mut session = self.session.borrow_mut();
        if session.as_ref().is_some_and(|session| session.client.is_closed()) {
            *session = None;
            self.reconnecting.lost.notify_one();
        }
        if session.is_none() {
            *session = self.reconnecting.next().take();
        }
        if session.is_some() { Connection::Connected } else { Connection::Away }
    }

    /// Uses the session until the deadline. Any error closes it: the server then rolls back what it has not committed.
    pub(super) fn run<T>(
        &self,
        action: &'static str,
        deadline: Instant,
        use_session: impl AsyncFnOnce(&Session) -> Result<T, PostgresError>,
    ) -> Result<T, JournalError> {
        let error = |source| self.server.error(action, source);
        let session = self.session.take().ok_or_else(|| error(PostgresError::Unconnected))?;
        match runtime::handle().block_on(async { timeout_at(deadline, use_session(&session)).await }) {
            Ok(Ok(result)) => {
                self.session.replace(Some(session));
                Ok(result)
            }
            Ok(Err(source)) => {
                self.reconnecting.lost.notify_one();
                Err(error(source))
            }
            Err(_) => {
                self.reconnecting.lost.notify_one();
                Err(error(PostgresError::Overdue))
            }
        }
    }

    /// Sends a statement whose answer does not matter.
    pub(super) fn send(&self, sql: &str) {
        if let Some(session) = &*self.session.borrow() {
            send(session, sql);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reconnecting {
    fn next(&self) -> MutexGuard<'_, Option<Session>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        loop {
            self.lost.notified().await;
            let session = self.connect_again().await;
            *self.next() = Some(session);
            (self.wake)();
        }
    }

    async fn connect_again(&self) -> Session {
        let mut problem = String::new();
        loop {
            match self.connect().await {
                Ok(session) => return session,
                Err(error) => {
                    let now = format!("{error}: {}", cause(&error));
                    if now != problem {
                        warn(&error);
                        problem = now;
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Connects, and writes to the head: the server may accept connections long before a commit is possible, because a
    /// standby is missing or an abandoned session holds the lock.
    async fn connect(&self) -> Result<Session, JournalError> {
        let session = self.server.connect().await?;
        let durability = self.server.prepare(&session, Access::Write).await?;
        let written = timeout(DEADLINE, self.write(&session)).await;
        let error = |source| self.server.error("cannot be written", source);
        written.map_err(|_| error(PostgresError::Overdue))?.map_err(error)?;
        self.measured.set_durability(durability);
        Ok(session)
    }

    async fn write(&self, session: &Session) -> Result<(), PostgresError> {
        let (schema, warnings) = (self.server.quoted_schema(), session.warnings());
        let sql = format!("{BEGIN} UPDATE {schema}.head SET time = time WHERE id = 1; COMMIT");
        ask(session, &sql).await?;
        if session.warnings() > warnings {
            return Err(PostgresError::NotDurable);
        }
        self.measured.measure(session, self.server.schema()).await
    }
}

fn warn(error: &JournalError) {
    tracing::warn!(%error, cause = cause(error), "no connection to the shared journal");
}

fn cause(error: &JournalError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
