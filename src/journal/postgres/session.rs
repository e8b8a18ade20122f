//! A connection to PostgreSQL.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout, timeout_at};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{PostgresError, Refusal};
use super::password::{PasswordList, from_file};
use super::server::Server;
use super::tls::connector;
use crate::journal::{JournalError, JournalErrorKind};

/// The next host is tried when the one before has not answered for this long, so that the first ones are preferred.
const BETWEEN_HOSTS: Duration = Duration::from_millis(200);
/// Time for the server to learn that a session ends.
const CLOSING: Duration = Duration::from_millis(200);

/// A connection. It is closed when it is dropped.
pub(super) struct Session {
    pub(super) client: Client,
    /// Number of warnings. A warning is counted before the response that follows it is delivered.
    warnings: Arc<AtomicU64>,
    /// Ends the session when it is dropped.
    _open: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Session {
    /// Number of warnings that the server has sent.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    /// Closes the connection, and waits until the server knows.
    pub(super) async fn end(self) {
        let Self { client, _open: open, serving, .. } = self;
        drop((client, open));
        // It ends without a value.
        let _ = serving.await;
    }
}

impl Server {
    /// Connects to one of the hosts, the first that accepts within the deadline.
    ///
    /// # Errors
    ///
    /// What a start refuses, or the server is away.
    pub(super) async fn connect(&self) -> Result<Session, JournalError> {
        let deadline = self.deadline();
        let overdue = || self.error("cannot connect", PostgresError::Overdue);
        let server = self.clone();
        // Files may be on a slow disk.
        let attempts = timeout_at(deadline, spawn_blocking(move || server.attempts())).await;
        let attempts =
            attempts.ok().and_then(Result::ok).ok_or_else(overdue)?.map_err(|refusal| self.refused(refusal))?;
        let mut running = JoinSet::new();
        for (delay, attempt) in (0..).map(|at| BETWEEN_HOSTS * at).zip(attempts) {
            running.spawn(async move {
                sleep(delay).await;
                let name = attempt.name.clone();
                (name, timeout_at(deadline, attempt.connect()).await)
            });
        }
        let mut failure = None;
        while let Some(ended) = running.join_next().await {
            let error = match ended {
                Ok((_, Ok(Ok(session)))) => return Ok(session),
                Ok((name, Ok(Err(error)))) => of_host(self.cannot_connect(error), name),
                Ok((name, Err(_))) => of_host(overdue(), name),
                Err(_) => overdue(),
            };
            // An error that does not end by itself is the one to report.
            if failure.is_none() || error.kind() != JournalErrorKind::Away {
                failure = Some(error);
            }
        }
        Err(failure.unwrap_or_else(overdue))
    }

    /// One attempt for each host. Reads the password and the certificates again, because they may have been replaced.
    fn attempts(&self) -> Result<Vec<Attempt>, Refusal> {
        let password = self.password_file().map(from_file).transpose()?;
        let list = if password.is_none() { PasswordList::of_user()? } else { None };
        self.attempts_with(password.as_deref(), list.as_ref())
    }

    pub(super) fn attempts_with(
        &self,
        password: Option<&str>,
        list: Option<&PasswordList>,
    ) -> Result<Vec<Attempt>, Refusal> {
        let address = self.address();
        let tls = connector(address)?;
        let attempt = |(host, port): &(Host, u16)| {
            let mut config = address.config.clone();
            let (user, database) = (config.get_user().unwrap_or_default(), config.get_dbname().unwrap_or_default());
            let listed = || list?.find(host, *port, database, user);
            let password = password.map(str::to_owned).or_else(listed);
            match host {
                Host::Tcp(name) => config.host(name),
                Host::Unix(folder) => config.host_path(folder),
            };
            config.port(*port);
            password.iter().for_each(|password| _ = config.password(password));
            // PostgreSQL has no TLS on Unix sockets.
            let tls = tls.clone().filter(|_| matches!(host, Host::Tcp(_)));
            config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
            Attempt { name: address.name_of(host, *port), config, tls }
        };
        Ok(address.hosts.iter().map(attempt).collect())
    }
}

/// The same error with the name of one host in place of all.
fn of_host(mut error: JournalError, name: String) -> JournalError {
    if let JournalError::Postgres { server, .. } | JournalError::Refused { server, .. } = &mut error {
        *server = name;
    }
    error
}

pub(super) struct Attempt {
    name: String,
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Attempt {
    pub(super) async fn connect(self) -> Result<Session, tokio_postgres::Error> {
        match self.tls {
            Some(tls) => open(&self.config, tls).await,
            None => open(&self.config, NoTls).await,
        }
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<Session, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    let warnings = Arc::new(AtomicU64::new(0));
    let (open, closed) = oneshot::channel();
    let serving = tokio::spawn(serve(count_warnings(connection, warnings.clone()), closed));
    Ok(Session { client, warnings, _open: open, serving })
}

/// Runs the connection until it ends or the session is dropped.
async fn serve(messages: impl Future<Output = ()>, closed: oneshot::Receiver<()>) {
    let mut messages = pin!(messages);
    tokio::select! {
        () = &mut messages => return,
        _ = closed => {}
    }
    // A statement that is not answered does not keep the connection.
    _ = timeout(CLOSING, messages).await;
}

async fn count_warnings<T>(mut connection: Connection<Socket, T>, warnings: Arc<AtomicU64>)
where
    T: tokio_postgres::tls::TlsStream + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message
            && is_warning(notice.parsed_severity())
        {
            warnings.fetch_add(1, Ordering::Release);
        }
    }
}

/// A severity that cannot be parsed may be a warning.
fn is_warning(severity: Option<Severity>) -> bool {
    !matches!(severity, Some(Severity::Notice | Severity::Info | Severity::Log | Severity::Debug))
}
