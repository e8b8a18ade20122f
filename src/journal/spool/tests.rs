//! Tests of single operations. [`model`] tests arbitrary sequences of operations.

mod killed;
mod model;

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::journal::DATABASE_FILE;
use crate::journal::SqliteJournal;
use crate::journal::sqlite::tests::{at, record};

/// A record as it is in the spool: it has no position.
fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Record> {
    numbers.into_iter().map(record).collect()
}

fn body(number: u64, size: usize) -> Unrecognized {
    Unrecognized { received_at: at(number), reason: "no_data".into(), body: vec![b'x'; size] }
}

fn open(folder: &tempfile::TempDir) -> Spool {
    Spool::open(folder.path(), 5000).unwrap()
}

fn all(spool: &Spool) -> Vec<Record> {
    let mut all = Vec::new();
    spool.replay(|records| all.extend_from_slice(records)).unwrap();
    all
}

#[test]
fn untried_batches_are_joined_and_a_batch_that_was_handed_out_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.append(None, &records(0..3), &[body(1, 9)], "a").unwrap();
    spool.append(None, &records(3..5), &[], "b").unwrap();
    let first = spool.oldest().unwrap().unwrap();
    assert_eq!((&first.records, &first.unrecognized), (&records(0..5), &vec![body(1, 9)]));
    assert_eq!(first.last_seen.as_deref(), Some("b"));
    spool.append(None, &records(5..6), &[], "c").unwrap();
    drop(spool);
    let mut spool = open(&folder);
    assert_eq!(spool.oldest().unwrap().unwrap(), SpooledBatch { last_seen: Some("c".into()), ..first.clone() });
    spool.remove(&first).unwrap();
    let second = spool.oldest().unwrap().unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!((&second.records, second.last_seen.as_deref()), (&records(5..6), Some("c")));
    spool.remove(&second).unwrap();
    assert!(spool.is_empty() && spool.oldest().unwrap().is_none());
}

#[test]
fn tried_batch_keeps_its_id_and_is_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    let id = BatchId::random();
    spool.append(None, &records(0..1), &[body(1, 1)], "a").unwrap();
    spool.append(Some(id), &records(1..2), &[body(2, 2)], "b").unwrap();
    spool.append(None, &records(2..3), &[body(3, 3)], "c").unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = spool.oldest().unwrap() {
        spool.remove(&batch).unwrap();
        batches.push(batch);
    }
    let bodies = |batch: &SpooledBatch| batch.unrecognized.iter().map(|body| body.body.len()).collect::<Vec<_>>();
    let found: Vec<_> = batches.iter().map(|batch| (batch.records.clone(), bodies(batch))).collect();
    let expected = [(records(0..1), vec![1, 3]), (records(1..2), vec![2]), (records(2..3), vec![])];
    assert_eq!(found, expected);
    assert_eq!(batches[1].id, id);
}

#[test]
fn batch_has_a_limited_number_of_records_and_a_limited_size_of_bodies() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    let bodies: Vec<_> = (0..3).map(|number| body(number, 400 << 10)).collect();
    for first in [0, 600, 1200] {
        spool.append(None, &records(first..first + 600), &[], "a").unwrap();
    }
    spool.append(None, &records(1800..2224), &bodies, "a").unwrap();
    spool.append(None, &[], &[body(4, 2 << 20)], "a").unwrap();
    let mut sizes = Vec::new();
    while let Some(batch) = spool.oldest().unwrap() {
        spool.remove(&batch).unwrap();
        sizes.push((batch.records.len(), batch.unrecognized.len()));
    }
    assert_eq!(sizes, [(600, 2), (600, 1), (1024, 1)]);
}

#[test]
fn deliveries_without_records_are_handed_out_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.append(None, &[], &[body(1, 1)], "a").unwrap();
    spool.append(None, &[], &[], "b").unwrap();
    drop(spool);
    let mut spool = open(&folder);
    assert_eq!((spool.len(), spool.is_empty()), (0, false));
    let batch = spool.oldest().unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.unrecognized.len(), batch.last_seen.as_deref()), (0, 1, Some("b")));
    spool.append(None, &records(0..1), &[], "c").unwrap();
    spool.remove(&batch).unwrap();
    let batch = spool.oldest().unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.unrecognized.len(), batch.last_seen.as_deref()), (1, 0, Some("c")));
    spool.remove(&batch).unwrap();
    assert!(spool.is_empty());
}

#[test]
fn full_spool_takes_deliveries_without_records_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 3).unwrap();
    spool.append(None, &records(0..2), &[], "a").unwrap();
    let error = spool.append(None, &records(2..4), &[], "b").unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::SpoolFull);
    assert_eq!((spool.len(), all(&spool)), (2, records(0..2)));
    spool.append(None, &records(2..3), &[], "c").unwrap();
    assert!(spool.append(Some(BatchId::random()), &records(3..4), &[], "d").is_err());
    spool.append(None, &[], &[body(1, 1)], "e").unwrap();
    let batch = spool.oldest().unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.unrecognized.len(), batch.last_seen.as_deref()), (3, 1, Some("e")));
    // A smaller limit keeps what is there.
    drop(spool);
    let mut spool = Spool::open(folder.path(), 2).unwrap();
    assert_eq!((spool.len(), spool.limit()), (3, 2));
    assert!(spool.append(None, &records(3..4), &[], "f").is_err());
    spool.remove(&batch).unwrap();
    spool.append(None, &records(3..5), &[], "g").unwrap();
}

#[test]
fn room_of_removed_batches_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    // Durability does not matter here.
    spool.database.connection.pragma_update(None, "synchronous", "off").unwrap();
    let mut fill_and_drain = || {
        for first in (0..4000).step_by(500) {
            spool.append(None, &records(first..first + 500), &[body(first, 10_000)], "a").unwrap();
        }
        while let Some(batch) = spool.oldest().unwrap() {
            spool.remove(&batch).unwrap();
        }
        let pages = spool.database.connection.pragma_query_value(None, "page_count", |row| row.get::<_, u64>(0));
        (pages.unwrap(), spool.size_bytes())
    };
    let (first_pages, first_size) = fill_and_drain();
    for _ in 0..9 {
        let (pages, size) = fill_and_drain();
        assert!(pages <= first_pages + first_pages / 8, "{pages} pages after {first_pages}");
        // The WAL is transferred when it has 2 MiB.
        assert!(size < first_size + (4 << 20), "{size} bytes after {first_size}");
    }
}

#[test]
fn spool_and_local_journal_share_the_lock_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    for refused in [Spool::open(folder.path(), 1).map(drop), SqliteJournal::open(folder.path()).map(drop)] {
        assert!(matches!(refused, Err(JournalError::InUse { .. })));
    }
    spool.close().unwrap();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    assert!(matches!(Spool::open(folder.path(), 1), Err(JournalError::InUse { .. })));
    journal.close().unwrap();
    open(&folder);
}

#[test]
fn foreign_newer_or_damaged_spool_is_refused_and_left_unchanged() {
    for (prepare, kind) in [
        ("PRAGMA user_version = 2", JournalErrorKind::Other),
        ("PRAGMA application_id = 1", JournalErrorKind::Other),
        ("UPDATE records SET kind = 'exploded'", JournalErrorKind::Damaged),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SPOOL_FILE);
        let mut spool = open(&folder);
        spool.append(None, &records(0..1), &[], "a").unwrap();
        spool.close().unwrap();
        Connection::open(&path).unwrap().execute_batch(prepare).unwrap();
        let before = fs::read(&path).unwrap();
        let error = Spool::open(folder.path(), 9).unwrap_err();
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        assert_eq!(error.kind(), kind, "{prepare}");
        assert_eq!(fs::read(&path).unwrap(), before, "the file was changed");
    }
    let folder = tempfile::tempdir().unwrap();
    SqliteJournal::open(folder.path()).unwrap().close().unwrap();
    fs::rename(folder.path().join(DATABASE_FILE), folder.path().join(SPOOL_FILE)).unwrap();
    assert!(matches!(Spool::open(folder.path(), 9), Err(JournalError::Foreign { .. })));
}

#[test]
fn failed_write_leaves_the_spool_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.append(None, &records(0..2), &[], "a").unwrap();
    let batch = spool.oldest().unwrap().unwrap();
    let (len, query_only) = (spool.len(), |spool: &Spool, on: bool| {
        spool.database.connection.pragma_update(None, "query_only", on).unwrap();
    });
    query_only(&spool, true);
    assert!(spool.append(None, &records(2..3), &[body(1, 1)], "b").is_err());
    assert!(spool.remove(&batch).is_err());
    query_only(&spool, false);
    assert_eq!((spool.len(), spool.oldest().unwrap()), (len, Some(batch)));
}

#[test]
fn full_disk_at_the_start_leaves_a_spool_that_can_be_read_and_later_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.append(None, &records(0..2), &[], "a").unwrap();
    drop(spool);
    symlink("/dev/full", folder.path().join(sqlite::PROBE_FILE)).unwrap();
    let mut spool = open(&folder);
    assert_eq!(all(&spool), records(0..2));
    spool.append(None, &records(2..3), &[], "b").unwrap();
    assert_eq!(all(&spool), records(0..3));
}

#[test]
fn write_on_a_full_disk_is_tried_again_after_the_wal_was_transferred() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    spool.append(None, &records(0..100), &[], "a").unwrap();
    let pages: u64 = spool.database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    spool.database.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    let error = spool.append(None, &records(100..600), &[], "b").unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::DiskFull);
    assert_eq!((spool.len(), spool.database.checkpoint_wal("noop").unwrap()), (100, 0));
}
