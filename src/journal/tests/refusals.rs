//! What stands in the way of the journal, and what is left alone then.

use std::os::unix::fs::symlink;

use rusqlite::ffi::*;

use super::*;

#[test]
fn every_failure_is_an_obstacle() {
    let sqlite = |code: i32| JournalError::Sqlite {
        path: PathBuf::new(),
        action: "cannot be written",
        source: rusqlite::Error::SqliteFailure(Error::new(code), None),
    };
    for (code, obstacle) in [
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
        assert_eq!(sqlite(code).kind(), obstacle, "{code}");
    }
    for (kind, obstacle) in [
        (io::ErrorKind::StorageFull, JournalErrorKind::DiskFull),
        (io::ErrorKind::ReadOnlyFilesystem, JournalErrorKind::ReadOnly),
        (io::ErrorKind::PermissionDenied, JournalErrorKind::Other),
        (io::ErrorKind::NotFound, JournalErrorKind::Other),
    ] {
        let error = JournalError::Folder { path: PathBuf::new(), source: kind.into() };
        assert_eq!(error.kind(), obstacle, "{kind}");
    }
}

#[test]
fn a_failure_is_laid_to_a_read_only_file_system_only_when_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1)], &[], None).unwrap();
    // The number that the next event gets is taken.
    journal.next = 1;
    let mut check = || {
        let error = journal.append(&mut [entry(2)], &[], None).unwrap_err();
        assert!(matches!(error, JournalError::Sqlite { .. }), "{error}");
        assert_eq!(error.kind(), JournalErrorKind::Other);
    };
    check();
    fs::remove_file(folder.path().join(LOCK_FILE)).unwrap();
    check();
}

#[test]
fn a_folder_that_cannot_be_synced_is_told() {
    sync_folder(Path::new("")).unwrap();
    // There is no disk below the second.
    for folder in ["/does/not/exist", "/proc"] {
        let error = sync_folder(Path::new(folder)).unwrap_err();
        assert_eq!(error.to_string(), format!("{folder}: cannot be synced"));
        assert_eq!(error.kind(), JournalErrorKind::SyncFailed);
    }
}

#[test]
fn a_probe_needs_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let room = folder.path().join(PROBE_FILE);
    symlink("/dev/full", &room).unwrap();
    assert_eq!(journal.probe().unwrap_err().kind(), JournalErrorKind::DiskFull);
    assert!(room.symlink_metadata().is_err(), "it takes the room for a moment only");
    journal.probe().unwrap();
    assert!(!room.exists());
}

#[test]
fn a_log_without_its_database_is_refused_and_survives() {
    for empty in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE_FILE);
        if empty {
            fs::write(&path, "").unwrap();
        }
        fs::write(wal_file(&path), "events").unwrap();
        let error = Journal::open(folder.path()).unwrap_err();
        let problem = "is damaged: it is missing or empty, but its write-ahead log is not";
        assert_eq!(error.to_string(), format!("{}: {problem}", path.display()));
        assert_eq!(fs::read(wal_file(&path)).unwrap(), b"events");
        assert_eq!(path.exists(), empty);
        // A log with nothing in it is as good as none.
        fs::write(wal_file(&path), "").unwrap();
        Journal::open(folder.path()).unwrap();
    }
}
