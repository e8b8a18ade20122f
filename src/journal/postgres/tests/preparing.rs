//! Settings and tables of a server.

use std::sync::Barrier;
use std::thread;

use super::super::cluster::{Cluster, USER};
use super::super::error::Refusal;
use super::super::schema::{Access, Durability, check_version};
use super::super::server::Server;
use super::{block_on, server};
use crate::journal::{JournalError, JournalErrorKind};

fn prepare(server: &Server, access: Access) -> Result<Durability, JournalError> {
    block_on(async {
        let session = server.connect().await?;
        server.prepare(&session, access).await
    })
}

#[track_caller]
fn assert_refused(server: &Server, access: Access, is_expected: impl Fn(&Refusal) -> bool) {
    match prepare(server, access) {
        Err(JournalError::Refused { refusal, .. }) => assert!(is_expected(&refusal), "{refusal:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn schema_is_created_once_by_processes_that_start_together() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    assert_refused(&server, Access::Read, |refusal| matches!(refusal, Refusal::Missing(_)));
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let durability = prepare(&server, Access::Write).unwrap();
                assert!(durability.is_full());
            });
        }
    });
    assert_eq!(cluster.psql("SELECT count(*), min(schema_version) FROM stream_live_exporter.head"), "1|1");
    prepare(&server, Access::Read).unwrap();
}

#[test]
fn schema_that_an_administrator_created_needs_no_privilege_on_the_database() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    cluster.psql("ALTER DATABASE journal OWNER TO postgres");
    assert_refused(&server, Access::Write, |refusal| matches!(refusal, Refusal::Privilege(_)));
    cluster.psql("CREATE SCHEMA stream_live_exporter");
    assert_refused(&server, Access::Write, |refusal| matches!(refusal, Refusal::Privilege(_)));
    cluster.psql(&format!("GRANT ALL ON SCHEMA stream_live_exporter TO {USER}"));
    prepare(&server, Access::Write).unwrap();
}

#[test]
fn newer_and_foreign_schemas_are_refused_and_stay_as_they_are() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    prepare(&server, Access::Write).unwrap();
    for (change, access) in [("1000", Access::Write), ("1000", Access::Read)] {
        cluster.psql(&format!("UPDATE stream_live_exporter.head SET schema_version = {change}"));
        assert_refused(&server, access, |refusal| matches!(refusal, Refusal::Newer { found: 1000, .. }));
    }
    for change in [
        "UPDATE stream_live_exporter.head SET schema_version = 0",
        "DELETE FROM stream_live_exporter.head",
        "ALTER TABLE stream_live_exporter.head DROP COLUMN schema_version",
        "DROP TABLE stream_live_exporter.head",
        "DROP SCHEMA stream_live_exporter CASCADE; CREATE SCHEMA stream_live_exporter; \
         CREATE VIEW stream_live_exporter.other AS SELECT 1",
    ] {
        cluster.psql(change);
        for access in [Access::Read, Access::Write] {
            assert_refused(&server, access, |refusal| matches!(refusal, Refusal::Foreign(_)));
        }
    }
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'stream_live_exporter'::regnamespace";
    assert_eq!(cluster.psql(tables), "1");
}

#[test]
fn server_that_loses_commits_is_refused_or_warned_of() {
    let Some(cluster) = Cluster::start_with(&["fsync=off"]) else { return };
    let server = server(&cluster, &cluster.url());
    for access in [Access::Read, Access::Write] {
        assert_refused(&server, access, |refusal| matches!(refusal, Refusal::NoSync));
    }
    drop(cluster);
    let Some(cluster) = Cluster::start_with(&["synchronous_commit=off"]) else { return };
    let server = self::server(&cluster, &cluster.url());
    let durability = prepare(&server, Access::Write).unwrap();
    assert_eq!(durability, Durability { fsync: Some(true), synchronous_commit: Some(false) });
    assert!(!durability.is_full());
}

#[test]
fn database_of_another_encoding_is_refused_and_a_read_only_one_is_away() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.psql(&format!("CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 OWNER {USER}"));
    let latin = server(&cluster, &cluster.url().replace("/journal", "/latin"));
    assert_refused(&latin, Access::Write, |refusal| matches!(refusal, Refusal::Encoding(_)));
    cluster.psql(&format!("ALTER ROLE {USER} SET default_transaction_read_only = on"));
    let read_only = server(&cluster, &cluster.url());
    assert_eq!(prepare(&read_only, Access::Write).unwrap_err().kind(), JournalErrorKind::Away);
    cluster.psql(&format!("ALTER ROLE {USER} RESET default_transaction_read_only"));
    prepare(&read_only, Access::Write).unwrap();
}

#[test]
fn server_older_than_13_is_refused() {
    for (version, refused) in [("130000", None), ("180001", None), ("120022", Some(12)), ("90624", Some(9))] {
        let found = match check_version(Some(version)) {
            Err(Refusal::TooOld(found)) => Some(found),
            Err(_) | Ok(()) => None,
        };
        assert_eq!(found, refused, "{version}");
    }
    assert!(check_version(None).is_err());
}

#[test]
fn each_setting_that_is_off_or_unknown_is_one_warning() {
    for (fsync, synchronous_commit, warnings) in [
        (Some(true), Some(true), 0),
        (None, Some(true), 1),
        (Some(true), Some(false), 1),
        (Some(true), None, 1),
        (None, None, 2),
    ] {
        let durability = Durability { fsync, synchronous_commit };
        assert_eq!(durability.warnings().count(), warnings, "{durability:?}");
        assert_eq!(durability.is_full(), warnings == 0, "{durability:?}");
    }
}
