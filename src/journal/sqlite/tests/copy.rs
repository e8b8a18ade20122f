//! Copies of journals that are not read as files.

use super::*;
use crate::journal::{Reader, Unrecognized};

/// The content that a reader sees.
fn content(journal: &dyn Reader) -> impl PartialEq + std::fmt::Debug + use<> {
    let (mut records, mut rows) = (Vec::new(), Vec::new());
    journal.replay(0, &mut |record| records.push(record)).unwrap();
    journal
        .input_rows(&mut |input_id, row| {
            rows.push((input_id, row));
            Ok(())
        })
        .unwrap();
    let bodies = journal.unrecognized().unwrap();
    (records, journal.checkpoint().unwrap(), rows, journal.documents().unwrap(), journal.last_seen().unwrap(), bodies)
}

/// A journal with something of everything, the oldest of which has expired.
fn filled(folder: &Path) -> SqliteJournal {
    let mut journal = SqliteJournal::open(folder).unwrap();
    journal.append(&mut (1..=50).map(record).collect::<Vec<_>>()).unwrap();
    let row = |number| InputRow { position: 45, version: 3, state: format!("state {number}"), seen: vec![0, number] };
    let rows = (1..=3).map(|number| (input_id(number.into()), Some(row(number))));
    journal.save_checkpoint(&Checkpoint { position: 40, ..checkpoint_at(40) }, rows).unwrap();
    assert_eq!(journal.expire(at(20), at(100), 1000).unwrap(), 19);
    journal.save_documents(&[("running", Some("{}")), ("inventory/1", Some("text"))]).unwrap();
    let body =
        |number: u8| Unrecognized { received_at: at(number.into()), reason: "no_data".into(), body: vec![0, number] };
    let mut append = journal.begin().unwrap();
    append.unrecognized(&[body(1), body(2), body(3)]).unwrap();
    append.forget_unrecognized(&[1]).unwrap();
    append.last_seen("seen").unwrap();
    append.commit().unwrap();
    journal
}

#[test]
fn copy_has_the_content_and_the_bounds_of_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let journal = filled(&from);
    let mut copied = 0;
    SqliteJournal::copy(&journal, &to, |records| copied = records).unwrap().finish().unwrap();
    let mut copy = SqliteJournal::open(&to).unwrap();
    assert_eq!(copied, 31);
    assert_eq!(content(&copy), content(&journal));
    let bounds = |journal: &SqliteJournal| (journal.first, journal.next, journal.other_records);
    assert_eq!(bounds(&copy), bounds(&journal));
    assert_eq!(fs::read_dir(&to).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 0);
    copy.append(&mut [record(51)]).unwrap();
    assert_eq!(copy.last_position(), 51);
}

#[test]
fn copy_of_a_journal_whose_records_have_expired_continues_after_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let mut journal = filled(&from);
    journal.save_checkpoint(&checkpoint_at(50), std::iter::empty()).unwrap();
    assert_eq!(journal.expire(at(100), at(100), 1000).unwrap(), 31);
    SqliteJournal::copy(&journal, &to, |_| ()).unwrap().finish().unwrap();
    let copy = SqliteJournal::open(&to).unwrap();
    assert_eq!((copy.first, copy.next, copy.events()), (51, 51, 0));
}

#[test]
fn copy_of_a_damaged_or_missing_journal_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let journal = filled(&from);
    journal.database.connection.execute("DELETE FROM records WHERE position = 30", []).unwrap();
    let error = SqliteJournal::copy(&journal, &to, |_| ()).unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Damaged);
    assert!(!to.exists());
    journal.database.connection.execute("UPDATE records SET kind = 'exploded' WHERE position = 31", []).unwrap();
    assert_eq!(SqliteJournal::copy(&journal, &to, |_| ()).unwrap_err().kind(), JournalErrorKind::Damaged);
    assert!(!to.exists());
}
