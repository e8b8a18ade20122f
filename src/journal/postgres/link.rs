//! The connection of the recorder's thread. A task on the runtime replaces it when it is lost.
//!
//! A session of the link has a runtime of its own, which the recorder's thread drives. Otherwise each message would wake
//! another thread on its way to the server.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::answer::ask;
use super::error::PostgresError;
use super::head::Connection;
use super::measured::Measured;
use super::runtime;
use super::schema::Access;
use super::server::Server;
use super::session::Session;
use super::transaction::BEGIN;
use crate::journal::{JournalError, JournalErrorKind};

/// Time between attempts to connect. Short, because a replica must notice within a second that a failover lost records.
const PAUSE: Duration = Duration::from_millis(500);

/// A session that is lost with the first error.
pub(super) struct Link {
    server: Server,
    session: RefCell<Option<Driven>>,
    reconnecting: Arc<Reconnecting>,
    task: JoinHandle<()>,
}

/// A session, and the runtime that drives it while its thread waits for an answer.
struct Driven {
    session: Session,
    runtime: OwnRuntime,
}

/// A runtime that ends without waiting, because it may be dropped in a thread of another one.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("it is there until it is dropped").block_on(work)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// What the task shares with the thread.
struct Reconnecting {
    server: Server,
    measured: Arc<Measured>,
    /// The session is lost.
    lost: Notify,
    /// The next session.
    next: Mutex<Option<Driven>>,
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
        let session = match reconnecting.connect() {
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
        if session.as_ref().is_some_and(|driven| driven.session.client.is_closed()) {
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
        let driven = self.session.take().ok_or_else(|| error(PostgresError::Unconnected))?;
        match driven.runtime.block_on(async { timeout_at(deadline, use_session(&driven.session)).await }) {
            Ok(Ok(result)) => {
                self.session.replace(Some(driven));
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

    /// Runs a statement whose answer does not matter. An error closes the session.
    pub(super) fn send(&self, sql: &str) {
        let run = async |session: &Session| session.client.batch_execute(sql).await.map_err(PostgresError::Failed);
        let _ = self.run("", self.server.deadline(), run);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(Driven { session, runtime }) = self.session.take() {
            runtime.block_on(session.end());
        }
    }
}

impl Reconnecting {
    fn next(&self) -> MutexGuard<'_, Option<Driven>> {
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

    async fn connect_again(self: &Arc<Self>) -> Driven {
        let mut problem = String::new();
        loop {
            let this = self.clone();
            match spawn_blocking(move || this.connect()).await {
                Ok(Ok(session)) => return session,
                Err(ended) => tracing::error!(error = %ended, "an attempt to connect to the shared journal ended"),
                Ok(Err(error)) => {
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
    fn connect(&self) -> Result<Driven, JournalError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.server.error("cannot connect", PostgresError::NoRuntime(error)))?;
        let runtime = OwnRuntime(Some(runtime));
        let session = runtime.block_on(self.connect_session())?;
        Ok(Driven { session, runtime })
    }

    async fn connect_session(&self) -> Result<Session, JournalError> {
        let session = self.server.connect().await?;
        let durability = self.server.prepare(&session, Access::Write).await?;
        let written = timeout(self.server.limit(), self.write(&session)).await;
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
