//! Damage at random against what was written.

mod format;

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::tests::{all, at, entry};
use super::pages::PAGE_SIZE;
use super::*;
use crate::event::InputId;

const NOW: u64 = 1_000_000;

/// A folder with a journal of so many events, some of them long, and a checkpoint in the midst of
/// them; with a write-ahead log or without.
fn journal(events: u64, log: bool) -> (tempfile::TempDir, Vec<Entry>) {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let mut written = Vec::new();
    let mut half = (events / 2).max(1);
    while (written.len() as u64) < events {
        let first = written.len() as u64 + 1;
        let mut batch: Vec<_> = (first..=events.min(first + 24)).map(long).collect();
        journal.append(&mut batch, &[], None).unwrap();
        written.append(&mut batch);
        let position = written.len() as u64;
        if position >= half {
            half = u64::MAX;
            let row = |number: u8| InputRow {
                input_id: InputId::from_bytes([number; 16]),
                state: "s".repeat(200),
                identities: vec![number; 9000],
            };
            let checkpoint = Checkpoint { position, state: "{}".into() };
            journal.save_checkpoint(&checkpoint, (0..20).map(row), &[]).unwrap();
            journal.append(&mut [], &[], Some("deliveries")).unwrap();
            if log {
                journal.recover_wal().unwrap();
                leave(&journal);
                // Something is in the log in any case.
                journal.probe().unwrap();
            }
        }
    }
    if !log {
        journal.recover_wal().unwrap();
    }
    drop(journal);
    assert_eq!(wal_file(&folder.path().join(DATABASE_FILE)).exists(), log);
    (folder, written)
}

/// An event whose row may go on on other pages.
fn long(number: u64) -> Entry {
    let mut entry = entry(number);
    if let EventKind::Errored(detail) = &mut entry.event.kind {
        detail.message = Some("long ".repeat(usize::try_from(number % 50).unwrap() * 50).into());
    }
    entry
}

fn leave(journal: &Journal) {
    super::super::keep_wal_on_close(&journal.connection, true).unwrap();
}

fn salvaged(from: &Path) -> (Vec<Entry>, Salvaged) {
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("new");
    let (journal, salvaged) = Journal::salvage(from, &to, at(NOW)).unwrap();
    assert_eq!(journal.integrity_problems().unwrap(), [""; 0]);
    assert_eq!((salvaged.events, journal.events()), (journal.events(), all(&journal).len() as u64));
    drop(journal);
    let mut left: Vec<_> = fs::read_dir(&to).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["journal.db", "journal.lock"]);
    let journal = Journal::open(&to).unwrap();
    assert_eq!(journal.last_seen().unwrap().is_some(), salvaged.checkpoint);
    let entries = all(&journal);
    for pair in entries.windows(2) {
        assert!(pair[1].seq == pair[0].seq + 1 && pair[1].recorded_at >= pair[0].recorded_at);
    }
    (entries, salvaged)
}

/// What damage elsewhere may not change about an entry.
fn told(entry: &Entry) -> String {
    format!("{:?} {:?}", entry.note, entry.event)
}

#[test]
fn a_whole_journal_stays_the_same() {
    for log in [false, true] {
        let (folder, written) = journal(300, log);
        let (entries, salvaged) = salvaged(folder.path());
        assert_eq!(entries, written);
        assert_eq!(salvaged, Salvaged { events: 300, lost: vec![], checkpoint: true });
    }
}

/// Does damage to a file: zeros, noise, or an early end. Returns the file with every page taken away
/// that was touched, so that what is left can be told.
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
fn every_event_on_a_page_that_is_not_damaged_is_kept_and_nothing_is_twice() {
    const ROUNDS: u64 = 40;
    let mut chance = fastrand::Rng::with_seed(2026);
    let mut lossy = 0;
    for round in 0..ROUNDS {
        let (folder, written) = journal(chance.u64(1..400), round % 2 == 1);
        let database = folder.path().join(DATABASE_FILE);
        let files = || (fs::read(&database).unwrap(), read_if_there(&wal_file(&database)).unwrap());
        let (mut damaged, mut log) = files();
        let readable = if round % 4 == 3 {
            // The log may tell nothing any more; what the database has must be kept.
            damage(&mut log, &mut chance);
            fs::write(wal_file(&database), &log).unwrap();
            entries(&Pages::new(damaged, Vec::new()))
        } else {
            let without = damage(&mut damaged, &mut chance);
            fs::write(&database, &damaged).unwrap();
            entries(&Pages::new(without, log))
        };
        let before = files();
        let (entries, salvaged) = salvaged(folder.path());
        assert!(files() == before, "round {round}: the damaged files were changed");
        let kept: BTreeSet<String> = entries.iter().map(told).collect();
        assert_eq!(kept.len(), entries.len(), "round {round}: nothing is there twice");
        // Of a long event, a page may be damaged that is not where it begins.
        let readable: BTreeSet<String> = readable.iter().map(told).collect();
        let whole: BTreeSet<String> = written.iter().map(told).filter(|event| readable.contains(event)).collect();
        assert_eq!(whole.difference(&kept).count(), 0, "round {round}: readable and lost");
        lossy += u64::from(!salvaged.lost.is_empty() || entries.len() < written.len());
    }
    assert!(lossy > ROUNDS / 4, "there was damage: {lossy}");
}

#[test]
fn a_page_that_leads_to_others_may_be_lost_and_they_are_not() {
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
        matches!(Journal::open(folder.path()), Err(error) if error.kind() == super::super::JournalErrorKind::Damaged)
    );
    assert_eq!(salvaged(folder.path()).0.len(), written.len());
}

#[test]
fn a_damaged_page_in_the_midst_is_found_before_the_first_write() {
    let (folder, written) = journal(300, false);
    let database = folder.path().join(DATABASE_FILE);
    let mut bytes = fs::read(&database).unwrap();
    let pages = Pages::new(bytes.clone(), Vec::new());
    let holds = |page: &u32| cells::events(pages.current(*page).unwrap(), |number| pages.current(number)).len();
    let of_events: Vec<u32> = (1..=pages.count()).filter(|page| holds(page) > 0).collect();
    let damaged = of_events[of_events.len() / 2];
    bytes[(damaged as usize - 1) * PAGE_SIZE..][..PAGE_SIZE].fill(0);
    fs::write(&database, &bytes).unwrap();
    assert_eq!(Journal::open(folder.path()).unwrap_err().kind(), super::super::JournalErrorKind::Damaged);
    assert!(fs::read(&database).unwrap() == bytes, "the file was changed");
    let (entries, salvaged) = salvaged(folder.path());
    assert_eq!(entries.len(), written.len() - holds(&damaged));
    assert!(salvaged.checkpoint && !salvaged.lost.is_empty());
}

#[test]
fn what_a_newer_version_wrote_is_refused_and_nothing_is_made() {
    let (folder, _) = journal(3, false);
    let path = folder.path().join(DATABASE_FILE);
    let mut newer = fs::read(&path).unwrap();
    schema::refuse_newer(&path, &newer).unwrap();
    let version = 60..64;
    newer[version].copy_from_slice(&3i32.to_be_bytes());
    fs::write(&path, &newer).unwrap();
    let to = folder.path().join("new");
    let refused = Journal::salvage(folder.path(), &to, at(NOW)).unwrap_err();
    assert!(matches!(refused, JournalError::Newer { found: 3, known: 2, .. }), "{refused}");
    assert!(!to.exists());
    // What says so must be ours, and whole: damage may say anything.
    let damages: [fn(&mut Vec<u8>); 4] =
        [|header| header[0] ^= 1, |header| header[71] ^= 1, |header| header.truncate(71), Vec::clear];
    for damage in damages {
        let mut header = newer.clone();
        damage(&mut header);
        schema::refuse_newer(&path, &header).unwrap();
    }
}

#[test]
fn a_log_that_cannot_be_read_is_told_and_nothing_is_made() {
    let (folder, _) = journal(3, false);
    let log = wal_file(&folder.path().join(DATABASE_FILE));
    fs::create_dir(&log).unwrap();
    let to = folder.path().join("new");
    let refused = Journal::salvage(folder.path(), &to, at(NOW)).unwrap_err();
    assert!(matches!(refused, JournalError::Folder { .. }), "{refused}");
    assert!(!to.exists());
}

#[test]
fn lost_numbers_are_named_and_those_of_the_checkpoint_stay_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut entries: Vec<_> = [3, 4, 7, 8, 12].map(|number| Entry { seq: number, ..entry(number) }).into();
    let checkpoint = |position| {
        Some(SalvagedCheckpoint {
            checkpoint: Checkpoint { position, state: "{}".into() },
            inputs: vec![],
            deliveries: None,
        })
    };
    let (journal, salvaged) = write(&folder.path().join("a"), entries.clone(), checkpoint(7), at(NOW)).unwrap();
    assert_eq!(salvaged.lost, [5..=6, 9..=11]);
    assert_eq!(all(&journal).iter().map(|entry| entry.seq).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    // A damaged time is no reason to lose an event, nor to age the others.
    entries[1].recorded_at = Timestamp::EPOCH.plus(Duration::from_secs(NOW * NOW));
    entries[2].recorded_at = Timestamp::EPOCH;
    let (journal, salvaged) = write(&folder.path().join("b"), entries, checkpoint(20), at(NOW)).unwrap();
    assert_eq!(salvaged.lost, [5..=6, 9..=11, 13..=20]);
    assert_eq!((journal.events(), journal.last_seq()), (5, 20));
    // Where no event is left, all of them may have been deleted after their retention.
    let (journal, salvaged) = write(&folder.path().join("c"), vec![], checkpoint(20), at(NOW)).unwrap();
    assert_eq!((salvaged.lost, journal.last_seq()), (vec![], 20));
}
