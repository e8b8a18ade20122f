//! The server cannot commit, or not at the moment.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{PATIENCE, all, append, come_back, failure, journal, opened, server, waking};
use crate::clock::Stopwatch;
use crate::journal::postgres::cluster::{Cluster, DATABASE};
use crate::journal::postgres::{Connection, PostgresJournal, PostgresReader};
use crate::journal::sqlite::tests::record;
use crate::journal::{BatchId, Journal, JournalErrorKind, Reader};

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Stopwatch::start();
    while !condition() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
}

/// Everything fails at once, until there is a connection again.
fn assert_away(journal: &mut PostgresJournal) {
    assert_eq!(journal.poll_connection(), Connection::Away);
    assert_eq!(failure(journal.begin(BatchId::random())), JournalErrorKind::Away);
    assert_eq!(failure(journal.scrape()), JournalErrorKind::Away);
    assert_eq!(failure(journal.renew_lease()), JournalErrorKind::Away);
    assert_eq!(failure(journal.last_seen()), JournalErrorKind::Away);
}

/// A session that keeps its locks until it is dropped.
struct Stuck<'a>(&'a Cluster, Child);

impl<'a> Stuck<'a> {
    fn new(cluster: &'a Cluster, sql: &str) -> Self {
        let child = start_psql(cluster, &format!("{sql}; SELECT pg_sleep(600)"));
        wait_until(|| cluster.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1");
        Self(cluster, child)
    }
}

/// Runs statements as the superuser.
fn start_psql(cluster: &Cluster, sql: &str) -> Child {
    let password = fs::read_to_string(cluster.file("superuser")).unwrap();
    let mut psql = cluster.program("psql");
    psql.args(["--no-psqlrc", "--host=127.0.0.1", "--username=postgres", &format!("--port={}", cluster.port())]);
    psql.args(["--dbname", DATABASE, "--command", sql]).env("PGPASSWORD", password.trim());
    psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        self.1.wait().unwrap();
    }
}

/// From now on, commits wait for a standby that does not exist.
fn require_standby(cluster: &Cluster) {
    cluster.psql("ALTER SYSTEM SET synchronous_standby_names = 'missing'");
    cluster.psql("SELECT pg_reload_conf()");
    let mut waits = false;
    while !waits {
        let mut commit = start_psql(cluster, "UPDATE stream_live_exporter.head SET time = time");
        wait_until(|| {
            waits = cluster.psql(WAITING) == "1";
            waits || commit.try_wait().unwrap().is_some()
        });
        cluster.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        commit.wait().unwrap();
    }
}

fn require_none(cluster: &Cluster) {
    cluster.psql("ALTER SYSTEM RESET synchronous_standby_names");
    cluster.psql("SELECT pg_reload_conf()");
}

/// A commit waits for the standby.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

#[test]
fn commit_whose_wait_for_the_standby_was_cancelled_is_not_acknowledged_and_its_retry_finds_it() {
    let Some(cluster) = Cluster::start() else { return };
    let (mut journal, woken) = waking(&server(&cluster, &cluster.url()));
    append(&mut journal, &mut [record(1)]);
    require_standby(&cluster);
    let id = BatchId::random();
    let committed = thread::scope(|scope| {
        let commit = scope.spawn(|| {
            let mut begun = journal.begin(id).unwrap();
            begun.records(&mut [record(2)].iter_mut()).unwrap();
            begun.commit().unwrap_err()
        });
        // The condition alone would not keep it from being called for other sessions.
        let cancel = "SELECT count(*) FROM pg_stat_activity \
                      WHERE CASE WHEN wait_event = 'SyncRep' THEN pg_cancel_backend(pid) ELSE false END";
        wait_until(|| cluster.psql(cancel) == "1" || commit.is_finished());
        commit.join().unwrap()
    });
    assert_eq!(committed.kind(), JournalErrorKind::Away);
    assert_away(&mut journal);
    require_none(&cluster);
    come_back(&mut journal, &woken);
    let mut begun = journal.begin(id).unwrap();
    let tail = begun.tail().unwrap();
    assert_eq!((tail.has_batch, tail.records.len()), (true, 1));
    begun.commit().unwrap();
    assert_eq!(all(&journal).len(), 2);
}

#[test]
fn commit_that_is_not_answered_ends_at_the_deadline_and_its_retry_finds_it() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut journal, woken) = waking(&server);
    require_standby(&cluster);
    let id = BatchId::random();
    let mut begun = journal.begin(id).unwrap();
    begun.records(&mut [record(1)].iter_mut()).unwrap();
    assert_eq!(begun.commit().unwrap_err().kind(), JournalErrorKind::Away);
    // The session of the server still waits, and holds the lock of the head.
    assert_eq!(cluster.psql(WAITING), "1");
    assert_away(&mut journal);
    let (mut other, other_woken) = opened(&server);
    assert_away(&mut other);
    require_none(&cluster);
    come_back(&mut journal, &woken);
    come_back(&mut other, &other_woken);
    let mut begun = journal.begin(id).unwrap();
    let tail = begun.tail().unwrap();
    assert_eq!((tail.has_batch, tail.records.len()), (true, 1));
    begun.commit().unwrap();
    assert_eq!(other.follow().unwrap().records.len(), 1);
}

#[test]
fn lock_that_another_session_keeps_ends_the_wait_at_the_deadline() {
    let Some(cluster) = Cluster::start() else { return };
    let (mut journal, woken) = waking(&server(&cluster, &cluster.url()));
    let stuck = Stuck::new(&cluster, "BEGIN; SELECT FROM stream_live_exporter.head FOR UPDATE");
    assert_eq!(failure(journal.begin(BatchId::random())), JournalErrorKind::Away);
    assert_away(&mut journal);
    drop(stuck);
    come_back(&mut journal, &woken);
    append(&mut journal, &mut [record(1)]);
}

#[test]
fn command_waits_for_a_server_that_is_away_for_a_daemon() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    drop(journal(&server));
    let stuck = Stuck::new(&cluster, "BEGIN; LOCK TABLE stream_live_exporter.head");
    thread::scope(|scope| {
        let command = scope.spawn(|| PostgresReader::open(server.clone().for_command()).map(drop));
        assert_eq!(failure(PostgresReader::open(server.clone())), JournalErrorKind::Away);
        drop(stuck);
        command.join().unwrap().unwrap();
    });
}

#[test]
fn killed_server_is_away_until_it_runs_again_and_has_what_was_committed() {
    let Some(mut cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut journal, woken) = waking(&server);
    append(&mut journal, &mut [record(1)]);
    let id = BatchId::random();
    let mut begun = journal.begin(id).unwrap();
    begun.records(&mut [record(2)].iter_mut()).unwrap();
    cluster.kill();
    assert_eq!(begun.commit().unwrap_err().kind(), JournalErrorKind::Away);
    assert_away(&mut journal);
    // A start without a server.
    let (mut other, other_woken) = opened(&server);
    assert_away(&mut other);
    cluster.restart();
    come_back(&mut journal, &woken);
    let mut begun = journal.begin(id).unwrap();
    let tail = begun.tail().unwrap();
    assert_eq!((tail.has_batch, tail.records.len()), (false, 0));
    begun.records(&mut [record(2)].iter_mut()).unwrap();
    begun.commit().unwrap();
    come_back(&mut other, &other_woken);
    other.replay(0, &mut drop).unwrap();
    assert_eq!(other.last_position(), 2);
}

#[test]
fn interrupted_reader_does_not_wait_for_the_server() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    append(&mut journal(&server), &mut [record(1)]);
    let mut reader = PostgresReader::open(server).unwrap();
    let raised = Arc::new(AtomicBool::new(false));
    reader.interrupt_when(raised.clone()).unwrap();
    assert_eq!(all(&reader).len(), 1);
    let _stuck = Stuck::new(&cluster, "BEGIN; LOCK TABLE stream_live_exporter.records");
    thread::scope(|scope| {
        let read = scope.spawn(move || failure(reader.newest_position()));
        wait_until(|| cluster.psql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1");
        raised.store(true, Ordering::Relaxed);
        assert_eq!(read.join().unwrap(), JournalErrorKind::Other);
    });
}
