//! Salvage of randomly damaged journals.

mod format;

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::tests::{all, at, record, rules};
use super::super::wal_file::keep_wal_on_close;
use super::pages::PAGE_SIZE;
use super::*;
use crate::event::{InputId, RecordKind};

const NOW: u64 = 1_000_000;

/// A folder with a journal of this many records, some of them long, and a checkpoint in the middle; with or without
/// WAL.
fn journal(count: u64, wal: bool) -> (tempfile::TempDir, Vec<Record>) {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let mut written = Vec::new();
    let mut half = (count / 2).max(1);
    while (written.len() as u64) < count {
        let first = written.len() as u64 + 1;
        let mut batch: Vec<_> = (first..=count.min(first + 24)).map(long).collect();
        journal.append(&mut batch).unwrap();
        written.append(&mut batch);
        let position = written.len() as u64;
        if position >= half {
            half = u64::MAX;
            let row = |number: u8| {
                let (state, seen) = ("s".repeat(200), vec![number; 9000]);
                let input_id = InputId::from_bytes([number; 16]);
                (input_id, Some(InputRow { position, version: 1, state, seen }))
            };
            let checkpoint = Checkpoint { position, rules: rules(1), version: 1, state: "{}".into() };
            journal.save_checkpoint(&checkpoint, (0..20).map(row)).unwrap();
            let mut append = journal.begin().unwrap();
            append.last_seen("last seen").unwrap();
            append.commit().unwrap();
            if wal {
                journal.recover_wal().unwrap();
                keep_wal(&journal);
                // At least this is in the WAL.
                journal.probe().unwrap();
            }
        }
    }
    if !wal {
        journal.recover_wal().unwrap();
    }
    drop(journal);
    assert_eq!(wal_file(&folder.path().join(DATABASE_FILE)).exists(), wal);
    (folder, written)
}

/// A record whose row may have overflow pages.
fn long(number: u64) -> Record {
    let mut record = record(number);
    if let RecordKind::Event(event, _) = &mut record.kind
        && let EventKind::Errored(detail) = &mut event.kind
    {
        detail.message = Some("long ".repeat(usize::try_from(number % 50).unwrap() * 50).into());
    }
    record
}

fn keep_wal(journal: &SqliteJournal) {
    keep_wal_on_close(&journal.database.connection, true).unwrap();
}

fn salvaged(from: &Path) -> (Vec<Record>, Salvaged) {
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("new");
    let (journal, salvaged) = SqliteJournal::salvage(from, &to, at(NOW)).unwrap();
    assert_eq!(journal.integrity_problems().unwrap(), [""; 0]);
    let events = all(&journal).iter().filter(|record| record.event().is_some()).count() as u64;
    assert_eq!((salvaged.events, journal.events()), (events, events));
    drop(journal);
    let mut left: Vec<_> = fs::read_dir(&to).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["journal.db", "journal.lock"]);
    let journal = SqliteJournal::open(&to).unwrap();
    assert_eq!(journal.last_seen().unwrap().is_some(), salvaged.checkpoint);
    let records = all(&journal);
    for pair in records.windows(2) {
        assert!(pair[1].position == pair[0].position + 1 && pair[1].recorded_at >= pair[0].recorded_at);
    }
    (records, salvaged)
}

/// The part of a record that damage elsewhere cannot change.
fn content(record: &Record) -> String {
    format!("{:?}", record.kind)
}

#[test]
fn salvage_of_an_undamaged_journal_keeps_everything() {
    for wal in [false, true] {
        let (folder, written) = journal(300, wal);
        let (entries, salvaged) = salvaged(folder.path());
        assert_eq!(entries, written);
        assert_eq!(salvaged, Salvaged { events: 180, lost: vec![], checkpoint: true });
    }
}

/// Damages a file: zeros, noise, or an early end. Returns the file with every damaged page zeroed.
fn damage(bytes: &mut Vec<u8>, chance: &mut fastrand::Rng) -> Vec<u8> {
    let mut without = bytes.clone();
    for _ in 0..chance.usize(1..4) {
        let begin = chance.usize(..bytes.len());
        let end = bytes.len().min(begin + chance.usize(1..6000));
        match chance.u8(..3) {
            0 => bytes[begin..end].fill(0),
            1 => bytes[begin..end].iter_mut().for_each(|byte| *byte = chance.u8(..)),
            _ => bytes.truncate(begin.max(PAGE_SIZE)),
        }
        without.truncate(bytes.len());
        let (first, last) = (begin / PAGE_SIZE * PAGE_SIZE, end.next_multiple_of(PAGE_SIZE).min(without.len()));
        without[first.min(last)..last].fill(0);
    }
    without
}

#[test]
fn every_record_on_an_undamaged_page_is_kept_once() {
    const ROUNDS: u64 = 40;
    let mut chance = fastrand::Rng::with_seed(2026);
    let mut lossy = 0;
    for round in 0..ROUNDS {
        let (folder, written) = journal(chance.u64(1..400), round % 2 == 1);
        let database = folder.path().join(DATABASE_FILE);
        let files = || (fs::read(&database).unwrap(), read_if_there(&wal_file(&database)).unwrap());
        let (mut damaged, mut wal) = files();
        let readable = if round % 4 == 3 {
            // The WAL may be unreadable; the records in the database must be kept.
            damage(&mut wal, &mut chance);
            fs::write(wal_file(&database), &wal).unwrap();
            records(&Pages::new(damaged, Vec::new()))
        } else {
            let without = damage(&mut damaged, &mut chance);
            fs::write(&database, &damaged).unwrap();
            records(&Pages::new(without, wal))
        };
        let before = files();
        let (entries, salvaged) = salvaged(folder.path());
        assert!(files() == before, "round {round}: the damaged files were changed");
        let kept: BTreeSet<String> = entries.iter().map(content).collect();
        assert_eq!(kept.len(), entries.len(), "round {round}: a record was kept twice");
        // A long record may have a damaged overflow page.
        let readable: BTreeSet<String> = readable.iter().map(content).collect();
        let whole: BTreeSet<String> = written.iter().map(content).filter(|record| readable.contains(record)).collect();
        assert_eq!(whole.difference(&kept).count(), 0, "round {round}: readable and lost");
        lossy += u64::from(!salvaged.lost.is_empty() || entries.len() < written.len());
    }
    assert!(lossy > ROUNDS / 4, "there was damage: {lossy}");
}

#[test]
fn pages_below_a_damaged_page_are_kept() {
    let (folder, written) = journal(300, false);
    let database = folder.path().join(DATABASE_FILE);
    let mut bytes = fs::read(&database).unwrap();
    let inner: Vec<usize> = (1..bytes.len() / PAGE_SIZE).filter(|page| bytes[page * PAGE_SIZE] == 0x05).collect();
    assert!(!inner.is_empty());
    for page in inner {
        bytes[page * PAGE_SIZE..][..PAGE_SIZE].fill(0);
    }
    fs::write(&database, bytes).unwrap();
    assert!(
        matches!(SqliteJournal::open(folder.path()), Err(error) if error.kind() == super::super::JournalErrorKind::Damaged)
    );
    assert_eq!(salvaged(folder.path()).0.len(), written.len());
}

#[test]
fn damaged_page_is_found_before_the_first_write() {
    let (folder, written) = journal(300, false);
    let database = folder.path().join(DATABASE_FILE);
    let mut bytes = fs::read(&database).unwrap();
    let pages = Pages::new(bytes.clone(), Vec::new());
    let holds = |page: &u32| cells::records(pages.current(*page).unwrap(), |number| pages.current(number)).len();
    let of_records: Vec<u32> = (1..=pages.count()).filter(|page| holds(page) > 0).collect();
    let damaged = of_records[of_records.len() / 2];
    bytes[(damaged as usize - 1) * PAGE_SIZE..][..PAGE_SIZE].fill(0);
    fs::write(&database, &bytes).unwrap();
    assert_eq!(SqliteJournal::open(folder.path()).unwrap_err().kind(), super::super::JournalErrorKind::Damaged);
    assert!(fs::read(&database).unwrap() == bytes, "the file was changed");
    let (entries, salvaged) = salvaged(folder.path());
    assert_eq!(entries.len(), written.len() - holds(&damaged));
    assert!(salvaged.checkpoint && !salvaged.lost.is_empty());
}

#[test]
fn newer_journal_is_refused_and_nothing_is_created() {
    let (folder, _) = journal(3, false);
    let path = folder.path().join(DATABASE_FILE);
    let mut newer = fs::read(&path).unwrap();
    schema::refuse_newer(&path, &newer).unwrap();
    let version = 60..64;
    newer[version].copy_from_slice(&5i32.to_be_bytes());
    fs::write(&path, &newer).unwrap();
    let to = folder.path().join("new");
    let refused = SqliteJournal::salvage(folder.path(), &to, at(NOW)).unwrap_err();
    assert!(matches!(refused, JournalError::Newer { found: 5, known: 4, .. }), "{refused}");
    assert!(!to.exists());
    // A damaged header may claim any version.
    let damages: [fn(&mut Vec<u8>); 4] =
        [|header| header[0] ^= 1, |header| header[71] ^= 1, |header| header.truncate(71), Vec::clear];
    for damage in damages {
        let mut header = newer.clone();
        damage(&mut header);
        schema::refuse_newer(&path, &header).unwrap();
    }
}

#[test]
fn unreadable_wal_is_reported_and_nothing_is_created() {
    let (folder, _) = journal(3, false);
    let wal = wal_file(&folder.path().join(DATABASE_FILE));
    fs::create_dir(&wal).unwrap();
    let to = folder.path().join("new");
    let refused = SqliteJournal::salvage(folder.path(), &to, at(NOW)).unwrap_err();
    assert!(matches!(refused, JournalError::Folder { .. }), "{refused}");
    assert!(!to.exists());
}

#[test]
fn lost_positions_are_named_and_the_checkpoint_keeps_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut records: Vec<_> = [3, 4, 7, 8, 12].map(|number| Record { position: number, ..record(number) }).into();
    let checkpoint = |position| {
        let checkpoint = Checkpoint { position, rules: rules(1), version: 1, state: "{}".into() };
        let ahead = |number: u8, position| {
            let (input_id, state, seen) = (InputId::from_bytes([number; 16]), String::new(), vec![]);
            (input_id, InputRow { position, version: 1, state, seen })
        };
        let rows = [(1, 0), (2, 7), (3, 8), (4, 11), (5, 12), (6, 99)].map(|(number, at)| ahead(number, at));
        Some(SalvagedCheckpoint { checkpoint, rows: rows.into(), last_seen: None })
    };
    let (journal, salvaged) = write(&folder.path().join("a"), records.clone(), checkpoint(7), at(NOW)).unwrap();
    assert_eq!(salvaged.lost, [5..=6, 9..=11]);
    assert_eq!(all(&journal).iter().map(|record| record.position).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    let mut positions = Vec::new();
    let collect = |_, row: InputRow| {
        positions.push(row.position);
        Ok(())
    };
    journal.input_rows(collect).unwrap();
    assert_eq!(positions, [0, 7, 8, 8, 9, 9], "rows that are ahead follow their records");
    // A record with a damaged time is kept, and does not make others older.
    records[1].recorded_at = Timestamp::EPOCH.plus(Duration::from_secs(NOW * NOW));
    records[2].recorded_at = Timestamp::EPOCH;
    let (journal, salvaged) = write(&folder.path().join("b"), records, checkpoint(20), at(NOW)).unwrap();
    assert_eq!(salvaged.lost, [5..=6, 9..=11, 13..=20]);
    assert_eq!((all(&journal).len(), journal.last_position()), (5, 20));
    // Without any record, all of them may have been deleted after their retention.
    let (journal, salvaged) = write(&folder.path().join("c"), vec![], checkpoint(20), at(NOW)).unwrap();
    assert_eq!((salvaged.lost, journal.last_position()), (vec![], 20));
}
