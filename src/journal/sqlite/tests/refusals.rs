//! Errors of the journal, and files that are left unchanged.

use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rusqlite::ffi::*;

use super::super::files::sync_folder;
use super::super::lock::LOCK_FILE;
use super::super::space::PROBE_FILE;
use super::*;

#[test]
fn every_error_has_a_kind() {
    let sqlite = |code: i32| JournalError::Sqlite {
        path: PathBuf::new(),
        action: "cannot be written",
        source: rusqlite::Error::SqliteFailure(Error::new(code), None),
    };
    for (code, expected) in [
        (SQLITE_IOERR_FSYNC, JournalErrorKind::SyncFailed),
        (SQLITE_IOERR_DIR_FSYNC, JournalErrorKind::SyncFailed),
        (SQLITE_FULL, JournalErrorKind::DiskFull),
        (SQLITE_READONLY, JournalErrorKind::ReadOnly),
        (SQLITE_READONLY_DIRECTORY, JournalErrorKind::ReadOnly),
        (SQLITE_BUSY, JournalErrorKind::Busy),
        (SQLITE_BUSY_RECOVERY, JournalErrorKind::Busy),
        (SQLITE_LOCKED, JournalErrorKind::Busy),
        (SQLITE_CORRUPT, JournalErrorKind::Damaged),
        (SQLITE_CORRUPT_INDEX, JournalErrorKind::Damaged),
        (SQLITE_NOTADB, JournalErrorKind::Damaged),
        (SQLITE_IOERR_WRITE, JournalErrorKind::Other),
        (SQLITE_IOERR_READ, JournalErrorKind::Other),
        (SQLITE_CONSTRAINT, JournalErrorKind::Other),
    ] {
        assert_eq!(sqlite(code).kind(), expected, "{code}");
    }
    for (kind, expected) in [
        (io::ErrorKind::StorageFull, JournalErrorKind::DiskFull),
        (io::ErrorKind::QuotaExceeded, JournalErrorKind::DiskFull),
        (io::ErrorKind::ReadOnlyFilesystem, JournalErrorKind::ReadOnly),
        (io::ErrorKind::PermissionDenied, JournalErrorKind::Other),
        (io::ErrorKind::NotFound, JournalErrorKind::Other),
    ] {
        let error = JournalError::Folder { path: PathBuf::new(), source: kind.into() };
        assert_eq!(error.kind(), expected, "{kind}");
    }
}

#[test]
fn read_only_error_is_reported_only_on_a_read_only_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [record(1)]).unwrap();
    // The position of the next record is in use.
    journal.next = 1;
    let mut check = || {
        let error = journal.append(&mut [record(2)]).unwrap_err();
        assert!(matches!(error, JournalError::Sqlite { .. }), "{error}");
        assert_eq!(error.kind(), JournalErrorKind::Other);
    };
    check();
    fs::remove_file(folder.path().join(LOCK_FILE)).unwrap();
    check();
}

#[test]
fn folder_that_cannot_be_synced_is_reported() {
    sync_folder(Path::new("")).unwrap();
    // /proc is not on a disk.
    for folder in ["/does/not/exist", "/proc"] {
        let error = sync_folder(Path::new(folder)).unwrap_err();
        assert!(error.to_string().starts_with(folder), "{error}");
        assert_eq!(error.kind(), JournalErrorKind::SyncFailed);
    }
}

#[test]
fn probe_needs_free_disk_space() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let scratch = folder.path().join(PROBE_FILE);
    symlink("/dev/full", &scratch).unwrap();
    assert_eq!(journal.probe().unwrap_err().kind(), JournalErrorKind::DiskFull);
    assert!(scratch.symlink_metadata().is_err(), "the scratch file is removed");
    journal.probe().unwrap();
    assert!(!scratch.exists());
}

#[test]
fn probe_does_not_wait_for_a_lock() {
    static WAITED: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let waits = |journal: &SqliteJournal| {
        journal.database.connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))
    };
    let before: i64 = waits(&journal).unwrap();
    let blocker = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let wait = |_| {
        WAITED.store(true, Ordering::Relaxed);
        false
    };
    journal.database.connection.busy_handler(Some(wait)).unwrap();

    assert_eq!(journal.probe().unwrap_err().kind(), JournalErrorKind::Busy);

    assert!(!WAITED.load(Ordering::Relaxed));
    assert_eq!((waits(&journal), before > 0), (Ok(before), true), "other writes wait as before");
}

#[test]
fn wal_without_its_database_is_refused_and_left_unchanged() {
    for empty in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE_FILE);
        if empty {
            fs::write(&path, "").unwrap();
        }
        fs::write(wal_file(&path), "events").unwrap();
        let error = SqliteJournal::open(folder.path()).unwrap_err();
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        assert_eq!(error.kind(), JournalErrorKind::Damaged);
        assert_eq!(fs::read(wal_file(&path)).unwrap(), b"events");
        assert_eq!(path.exists(), empty);
        // An empty WAL counts as a missing one.
        fs::write(wal_file(&path), "").unwrap();
        SqliteJournal::open(folder.path()).unwrap();
    }
}
