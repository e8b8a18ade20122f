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
        (SQLITE_IOERR_FSYNC, Obstacle::Unsynced),
        (SQLITE_IOERR_DIR_FSYNC, Obstacle::Unsynced),
        (SQLITE_FULL, Obstacle::DiskFull),
        (SQLITE_READONLY, Obstacle::ReadOnly),
        (SQLITE_READONLY_DIRECTORY, Obstacle::ReadOnly),
        (SQLITE_BUSY, Obstacle::Held),
        (SQLITE_BUSY_RECOVERY, Obstacle::Held),
        (SQLITE_LOCKED, Obstacle::Held),
        (SQLITE_CORRUPT, Obstacle::Damaged),
        (SQLITE_CORRUPT_INDEX, Obstacle::Damaged),
        (SQLITE_NOTADB, Obstacle::Damaged),
        (SQLITE_IOERR_WRITE, Obstacle::Failing),
        (SQLITE_IOERR_READ, Obstacle::Failing),
        (SQLITE_CONSTRAINT, Obstacle::Failing),
    ] {
        assert_eq!(sqlite(code).obstacle(), obstacle, "{code}");
    }
    for (kind, obstacle) in [
        (io::ErrorKind::StorageFull, Obstacle::DiskFull),
        (io::ErrorKind::ReadOnlyFilesystem, Obstacle::ReadOnly),
        (io::ErrorKind::PermissionDenied, Obstacle::Failing),
        (io::ErrorKind::NotFound, Obstacle::Failing),
    ] {
        let error = JournalError::Folder { path: PathBuf::new(), source: kind.into() };
        assert_eq!(error.obstacle(), obstacle, "{kind}");
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
        assert_eq!(error.obstacle(), Obstacle::Failing);
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
        assert_eq!(error.obstacle(), Obstacle::Unsynced);
    }
}

#[test]
fn a_probe_needs_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let room = folder.path().join(ROOM_FILE);
    symlink("/dev/full", &room).unwrap();
    assert_eq!(journal.probe().unwrap_err().obstacle(), Obstacle::DiskFull);
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
        fs::write(log_file(&path), "events").unwrap();
        let error = Journal::open(folder.path()).unwrap_err();
        let problem = "is damaged: it is missing or empty, but its write-ahead log is not";
        assert_eq!(error.to_string(), format!("{}: {problem}", path.display()));
        assert_eq!(fs::read(log_file(&path)).unwrap(), b"events");
        assert_eq!(path.exists(), empty);
        // A log with nothing in it is as good as none.
        fs::write(log_file(&path), "").unwrap();
        Journal::open(folder.path()).unwrap();
    }
}
