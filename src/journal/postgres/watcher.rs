//! Watches the head with a connection of its own: notifications where a session of the server exists, and a poll beside
//! them, because poolers break notifications.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::answer::ask;
use super::error::PostgresError;
use super::head::Head;
use super::measured::Measured;
use super::server::Server;
use super::session::{DEADLINE, Session};
use crate::journal::JournalError;

/// Longest time between two reads of the head.
const POLL: Duration = Duration::from_millis(250);
/// Shortest time between two reads, while others append all the time.
const BETWEEN: Duration = Duration::from_millis(10);
/// Time between two measurements of the size.
const MEASURE: Duration = Duration::from_secs(60);

/// Calls `notice` whenever the head has changed. The reconnecting task logs why there is no connection.
pub(super) async fn watch(server: Server, measured: Arc<Measured>, notice: impl Fn(Head) + Send) {
    let mut seen = None;
    loop {
        let error = match Watch::begin(&server, &measured).await {
            Ok(mut watch) => loop {
                match watch.next().await {
                    Ok(head) if seen.replace(head) != Some(head) => notice(head),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        tracing::debug!(%error, "head of the shared journal is not watched");
        sleep(POLL).await;
    }
}

struct Watch<'a> {
    server: &'a Server,
    measured: &'a Measured,
    session: Session,
    sql: String,
    measured_at: Instant,
}

impl<'a> Watch<'a> {
    async fn begin(server: &'a Server, measured: &'a Measured) -> Result<Self, JournalError> {
        let session = server.connect().await?;
        let schema = server.quoted_schema();
        let sql = format!("SELECT position, documents FROM {schema}.head WHERE id = 1");
        within(server, ask(&session, &format!("LISTEN {schema}"))).await?;
        let mut watch = Self { server, measured, session, sql, measured_at: Instant::now() };
        watch.session.notifications.mark_changed();
        Ok(watch)
    }

    /// The head after the next notification, or after the longest time.
    async fn next(&mut self) -> Result<Head, JournalError> {
        // If the session has ended, the statement finds that.
        let _ = timeout(POLL - BETWEEN, self.session.notifications.changed()).await;
        sleep(BETWEEN).await;
        if self.measured_at.elapsed() >= MEASURE {
            within(self.server, self.measured.measure(&self.session, self.server.schema())).await?;
            self.measured_at = Instant::now();
        }
        let row = within(self.server, ask(&self.session, &self.sql)).await?.row();
        let head = row.and_then(|row| Ok(Head { position: row.number(0)?, documents: row.number(1)? }));
        head.map_err(|problem| self.server.damaged("the head", problem))
    }
}

async fn within<T>(server: &Server, work: impl Future<Output = Result<T, PostgresError>>) -> Result<T, JournalError> {
    let done = timeout(DEADLINE, work).await.unwrap_or(Err(PostgresError::Overdue));
    done.map_err(|source| server.error("cannot be watched", source))
}
