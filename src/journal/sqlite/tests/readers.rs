//! Readers beside a writer: what they see, and that they do not hold back WAL checkpoints.

use super::*;
use crate::journal::Created;

/// A journal with this many records, all of them in the database.
fn with_records(folder: &Path, count: u64) -> SqliteJournal {
    let mut journal = SqliteJournal::open(folder).unwrap();
    journal.append(&mut (1..=count).map(record).collect::<Vec<_>>()).unwrap();
    journal.recover_wal().unwrap();
    journal
}

#[test]
fn slow_reader_does_not_hold_back_wal_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = with_records(folder.path(), 10);
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let mut visited = 0;
    reader
        .replay(0, |_| {
            visited += 1;
            journal.probe().unwrap();
            assert_eq!(journal.database.checkpoint_wal("restart").unwrap(), 0, "record {visited}");
        })
        .unwrap();
    assert_eq!(visited, 10);
    // A snapshot does hold them back.
    let snapshot = reader.snapshot().unwrap();
    journal.probe().unwrap();
    assert!(journal.database.checkpoint_wal("passive").unwrap() > 0);
    drop(snapshot);
    assert_eq!(journal.database.checkpoint_wal("passive").unwrap(), 0);
}

#[test]
fn replay_ends_at_the_record_that_was_newest_at_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let count = 2 * REPLAY_CHUNK as u64 + 1;
    let mut journal = with_records(folder.path(), count);
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let mut positions = Vec::new();
    reader
        .replay(0, |record| {
            positions.push(record.position);
            if record.position % REPLAY_CHUNK as u64 == 0 {
                journal.append(&mut [super::record(1)]).unwrap();
            }
        })
        .unwrap();
    assert_eq!(positions, (1..=count).collect::<Vec<_>>());
}

#[test]
fn replay_goes_on_with_the_oldest_record_when_records_expire_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let chunk = REPLAY_CHUNK as u64;
    let mut journal = with_records(folder.path(), 3 * chunk);
    journal.save_checkpoint(&checkpoint_at(3 * chunk), std::iter::empty()).unwrap();
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let mut positions = Vec::new();
    reader
        .replay(0, |record| {
            positions.push(record.position);
            if record.position == 1 {
                journal.expire(at(2 * chunk + 10), at(9 * chunk), u64::MAX >> 1).unwrap();
            }
        })
        .unwrap();
    let oldest = reader.oldest_position().unwrap();
    assert_eq!(oldest, 2 * chunk + 10);
    assert_eq!(positions, (1..=chunk).chain(oldest..=3 * chunk).collect::<Vec<_>>());
}

#[test]
fn interrupted_reader_fails() {
    let folder = tempfile::tempdir().unwrap();
    let _journal = with_records(folder.path(), 20_000);
    let mut reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let raised = Arc::new(AtomicBool::new(false));
    reader.interrupt_when(raised.clone()).unwrap();
    assert_eq!(all(&reader).len(), 20_000);
    raised.store(true, Ordering::Relaxed);
    assert!(reader.integrity_problems().is_err());
}

#[test]
fn backup_sees_one_moment_and_ends_while_the_journal_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = with_records(folder.path(), 20_000);
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let to = folder.path().join("copy");
    let mut steps = Vec::new();
    let backup = reader.back_up(&to, |copied, total| {
        steps.push((copied, total));
        journal.append(&mut [record(30_000)]).unwrap();
        steps.len() < 1000
    });
    let copy = backup.unwrap();
    assert!(steps.len() > 1 && steps.is_sorted_by_key(|(copied, _)| *copied), "{steps:?}");
    let (copied, total) = steps[steps.len() - 1];
    assert_eq!(copied, total);
    assert!(SqliteJournal::open_to_read(&to).is_err(), "it is not in its place yet");
    assert_eq!(all(&copy.journal().unwrap()).len(), 20_000);
    copy.finish().unwrap();
    assert_eq!(all(&SqliteJournal::open(&to).unwrap()).len(), 20_000);
}

#[test]
fn backup_that_is_ended_or_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = with_records(folder.path(), 20_000);
    for created in [true, false] {
        let to = folder.path().join(format!("copy-{created}"));
        if !created {
            fs::create_dir(&to).unwrap();
        }
        assert!(journal.back_up(&to, |_, _| false).is_err());
        drop(journal.back_up(&to, |_, _| true).unwrap());
        assert_eq!(to.exists(), !created);
        // A killed backup leaves its subfolder, which the next one deletes.
        fs::create_dir_all(to.join(".unfinished/deep")).unwrap();
        journal.back_up(&to, |_, _| true).unwrap().finish().unwrap();
        let names: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [DATABASE_FILE]);
    }
}

#[test]
fn backup_into_a_folder_that_is_not_empty_or_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = with_records(folder.path(), 1);
    let to = folder.path().join("copy");
    let first = journal.back_up(&to, |_, _| true).unwrap();
    assert!(matches!(journal.back_up(&to, |_, _| true), Err(JournalError::InUse { .. })));
    first.finish().unwrap();
    let before = fs::read(to.join(DATABASE_FILE)).unwrap();
    assert!(matches!(journal.back_up(&to, |_, _| true), Err(JournalError::NotEmpty { .. })));
    assert!(matches!(journal.back_up(folder.path(), |_, _| true), Err(JournalError::NotEmpty { .. })));
    assert!(matches!(journal.back_up(&to.join("a/b"), |_, _| true), Err(JournalError::Folder { .. })));
    assert_eq!(fs::read(to.join(DATABASE_FILE)).unwrap(), before);
    assert!(matches!(SqliteJournal::open_to_read(&to.join("none")), Err(JournalError::Missing { .. })));
}

#[test]
fn reserve_is_made_again_when_it_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    let reserve = folder.path().join("journal.reserve");
    for size in [0, 5] {
        fs::write(&reserve, vec![0; size]).unwrap();
        assert!(journal.keep_reserve().unwrap());
        assert_eq!(fs::metadata(&reserve).unwrap().len(), 4 << 20);
    }
    journal.release_reserve();
    journal.release_reserve();
    assert!(!reserve.exists());
}

#[test]
fn creating_a_journal_says_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    assert_eq!(SqliteJournal::create(&new).unwrap(), Created::New);
    assert_eq!(SqliteJournal::create(&new).unwrap(), Created::Existing);
    let journal = SqliteJournal::open(&new).unwrap();
    assert_eq!(SqliteJournal::create(&new).unwrap(), Created::InUse);
    drop(journal);
    fs::create_dir(&old).unwrap();
    drop(SqliteJournal::open(&old).unwrap());
    // As before the last migration.
    let connection = Connection::open(old.join(DATABASE_FILE)).unwrap();
    connection.execute_batch("DROP TABLE documents; PRAGMA user_version = 3").unwrap();
    drop(connection);
    assert_eq!(SqliteJournal::create(&old).unwrap(), Created::Migrated);
    assert_eq!(SqliteJournal::create(&old).unwrap(), Created::Existing);
    fs::write(old.join(DATABASE_FILE), "text").unwrap();
    assert!(SqliteJournal::create(&old).is_err());
    assert_eq!(fs::read(old.join(DATABASE_FILE)).unwrap(), b"text");
}
