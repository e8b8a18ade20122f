//! Tests of single operations. [`model`] tests arbitrary sequences of operations.

mod copy;
mod kinds;
mod model;
mod readers;
mod refusals;
mod unrecognized;

use std::fs;
use std::time::Duration;

use rusqlite::Connection;

use super::wal::WAL_CHECKPOINT_PAGES;
use super::*;
use crate::event::{
    AccountId, Corrected, Correction, ErrorCode, ErrorDetail, Event, EventKind, EventSource, InputId, Note,
    Observation, Observed, Origin, PolicyId, RecordKind, Rules, ScheduleException,
};
use crate::journal::{Created, FolderUse};

pub(in crate::journal) fn at(second: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(second))
}

/// A record: one in five has rules, one in ten forgets an input, and one in ten corrects, observes or excepts one.
pub(in crate::journal) fn record(second: u64) -> Record {
    let input_id = input_id(second);
    let kind = match second % 5 {
        3 if second.is_multiple_of(8) => RecordKind::Exception(exception(second)),
        3 if second.is_multiple_of(4) => RecordKind::Observation(observation(second)),
        3 if second.is_multiple_of(2) => RecordKind::Correction(correction(second)),
        3 => RecordKind::Forgotten(input_id),
        4 => RecordKind::Rules(Arc::new(rules(second))),
        _ => RecordKind::Event(event(second), second.is_multiple_of(3).then_some(Note::OutOfOrder)),
    };
    Record { position: 0, recorded_at: at(second), shown_until: at(second / 2), kind }
}

fn correction(second: u64) -> Correction {
    let to = Corrected::ALL[usize::try_from(second % 3).unwrap()];
    let reason = second.is_multiple_of(4).then(|| "it's \"deleted\"".into());
    Correction { input_id: input_id(second), to, at: at(second), user: Some("anna".into()), reason }
}

fn exception(second: u64) -> ScheduleException {
    let expected = [None, Some(true), Some(false)][usize::try_from(second % 3).unwrap()];
    let reason = second.is_multiple_of(16).then(|| "it's \"early\"".into());
    let (until, at) = (at(second + 60), at(second));
    ScheduleException { input_id: input_id(second), expected, until, at, user: Some("anna".into()), reason }
}

fn observation(second: u64) -> Observation {
    let found = Observed::ALL[usize::try_from(second % 3).unwrap()];
    let account_id = AccountId::from_bytes([0xac; 16]);
    Observation { input_id: input_id(second), found, at: at(second), events: second, account_id }
}

pub(in crate::journal) fn input_id(number: u64) -> InputId {
    InputId::from_bytes(u128::from(number).to_be_bytes())
}

pub(in crate::journal) fn rules(second: u64) -> Rules {
    let configured = [InputId::from_bytes([1; 16]), InputId::from_bytes([2; 16])].into();
    Rules {
        reconnect_window: Duration::from_millis(second),
        reorder_window: Duration::from_millis(second + 1),
        max_inputs: 7,
        configured,
    }
}

pub(in crate::journal) fn event(second: u64) -> Event {
    let detail = ErrorDetail {
        code: ErrorCode::from("ERR_NEW"),
        message: Some("it's \"broken\"\n".into()),
        video_codec: None,
        audio_codec: Some("opus".into()),
    };
    let kind = match second % 3 {
        0 => EventKind::Connected,
        1 => EventKind::Disconnected,
        _ => EventKind::Errored(Box::new(detail)),
    };
    let input_id = input_id(second);
    let sent_at = second.is_multiple_of(2).then_some(at(second + 1));
    Event { input_id, kind, updated_at: at(second), sent_at, received_at: at(second + 2), origin: origin(second) }
}

/// Each of the origins that an event can have.
fn origin(second: u64) -> Origin {
    let is = |bit: u32| second >> bit & 1 == 1;
    Origin {
        source: if is(3) { EventSource::History } else { EventSource::Webhook },
        account_id: is(1).then(|| AccountId::from_bytes([0xac; 16])),
        policy_id: is(2).then(|| PolicyId::from_bytes([0xdc; 16])),
    }
}

pub(super) fn all(journal: &SqliteJournal) -> Vec<Record> {
    let mut records = Vec::new();
    journal.replay(0, |record| records.push(record)).unwrap();
    records
}

/// Appends the times at which deliveries were last seen.
fn append_last_seen(journal: &mut SqliteJournal, last_seen: &str) {
    let mut append = journal.begin().unwrap();
    append.last_seen(last_seen).unwrap();
    append.commit().unwrap();
}

#[test]
fn documents_survive_a_restart_and_a_failed_write_changes_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    assert_eq!(journal.documents().unwrap(), BTreeMap::new());
    journal.save_documents(&[("a", Some("1")), ("b", Some("2"))]).unwrap();
    journal.save_documents(&[("a", Some("3")), ("b", None), ("c", None)]).unwrap();
    drop(journal);
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let saved = BTreeMap::from([("a".to_owned(), "3".to_owned())]);
    assert_eq!(journal.documents().unwrap(), saved);
    let refuse = "CREATE TEMP TRIGGER refuse BEFORE DELETE ON main.documents BEGIN SELECT RAISE(FAIL, ''); END";
    journal.database.connection.execute_batch(refuse).unwrap();
    journal.save_documents(&[("b", Some("4")), ("a", None)]).unwrap_err();
    assert_eq!(SqliteJournal::open_to_read(folder.path()).unwrap().documents().unwrap(), saved);
}

#[test]
fn one_process_at_a_time_owns_a_folder_and_readers_need_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [record(1)]).unwrap();
    assert!(matches!(SqliteJournal::open(folder.path()), Err(JournalError::InUse { .. })));
    assert_eq!(all(&SqliteJournal::open_to_read(folder.path()).unwrap()).len(), 1);
    drop(journal);
    SqliteJournal::open(folder.path()).unwrap();
}

#[test]
fn foreign_or_newer_database_is_refused_and_left_unchanged() {
    let check = |prepare: &str, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE_FILE);
        drop(SqliteJournal::open(folder.path()).unwrap());
        Connection::open(&path).unwrap().execute_batch(prepare).unwrap();
        let before = fs::read(&path).unwrap();
        let message = SqliteJournal::open(folder.path()).unwrap_err().to_string();
        assert_eq!(message, format!("{}: {expected}", path.display()));
        assert_eq!(fs::read(&path).unwrap(), before, "the file was changed");
    };
    check(
        "PRAGMA user_version = 7",
        "has schema version 7, but this version knows only 4; use a newer stream-live-exporter",
    );
    check("PRAGMA application_id = 1", "is not a database of stream-live-exporter");
    check("PRAGMA application_id = 0", "is not a database of stream-live-exporter");
    check("PRAGMA application_id = 0; PRAGMA user_version = 0", "is not a database of stream-live-exporter");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DATABASE_FILE), "something else, and longer than a header would be".repeat(100))
        .unwrap();
    assert!(matches!(SqliteJournal::open(folder.path()), Err(JournalError::Sqlite { .. })));
}

#[test]
fn database_that_a_first_start_left_empty_is_no_journal_yet() {
    for prepare in ["", "PRAGMA journal_mode = WAL"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE_FILE);
        fs::write(&path, "").unwrap();
        Connection::open(&path).unwrap().execute_batch(prepare).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len() == 0, prepare.is_empty());
        assert!(matches!(SqliteJournal::open_to_read(folder.path()), Err(JournalError::Missing { .. })), "{prepare}");
        assert_eq!(SqliteJournal::check(folder.path()).unwrap(), FolderUse::New, "{prepare}");
        assert_eq!(SqliteJournal::create(folder.path()).unwrap(), Created::New, "{prepare}");
        assert_eq!(SqliteJournal::create(folder.path()).unwrap(), Created::Existing, "{prepare}");
    }
}

#[test]
fn damaged_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [1, 2, 3, 4].map(record)).unwrap();
    for (position, damage) in [
        (1, "kind = 'exploded'"),
        (1, "note = 'odd'"),
        (1, "updated_at = NULL"),
        (2, "input_id = '2'"),
        (3, "input_id = NULL"),
        (4, "data = NULL"),
        (2, "recorded_at = -1"),
        (4, "data = json_set(data, '$.version', 2)"),
    ] {
        journal.database.connection.execute_batch("SAVEPOINT whole").unwrap();
        let sql = format!("UPDATE records SET {damage} WHERE position = {position}");
        journal.database.connection.execute(&sql, []).unwrap();
        let error = journal.replay(0, drop).unwrap_err();
        assert!(error.to_string().contains(&format!("record {position}")), "{damage}: {error}");
        assert_eq!(error.kind(), JournalErrorKind::Damaged);
        journal.database.connection.execute_batch("ROLLBACK TO whole; RELEASE whole").unwrap();
    }
    assert_eq!(all(&journal).len(), 4);
}

#[test]
fn problems_that_sqlite_finds_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    assert_eq!(journal.integrity_problems().unwrap(), Vec::<String>::new());
    let second = "PRAGMA ignore_check_constraints = on; INSERT INTO checkpoint VALUES (2, 0, '{}', 1); \
                  PRAGMA ignore_check_constraints = off";
    journal.database.connection.execute_batch(second).unwrap();
    assert_eq!(journal.integrity_problems().unwrap(), ["CHECK constraint failed in checkpoint"]);
}

#[test]
fn size_includes_the_database_and_its_wal() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [record(1)]).unwrap();
    let sizes = ["journal.db", "journal.db-wal"].map(|file| fs::metadata(folder.path().join(file)).unwrap().len());
    assert!(sizes.iter().all(|size| *size > 1), "{sizes:?}");
    assert_eq!(journal.size_bytes(), sizes[0] + sizes[1]);
}

#[test]
fn failed_append_leaves_the_journal_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.database.connection.pragma_update(None, "query_only", true).unwrap();
    assert!(journal.append(&mut [record(1)]).is_err());
    assert!(journal.probe().is_err());
    journal.database.connection.pragma_update(None, "query_only", false).unwrap();
    journal.probe().unwrap();
    assert_eq!((journal.events(), all(&journal)), (0, vec![]));
    journal.append(&mut [record(1)]).unwrap();
    assert_eq!(all(&journal)[0].position, 1);
}

#[test]
fn last_seen_deliveries_are_durable_with_their_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    assert_eq!(journal.last_seen().unwrap(), None);
    for last_seen in ["a", "b"] {
        append_last_seen(&mut journal, last_seen);
        let read = SqliteJournal::open_to_read(folder.path()).unwrap().last_seen().unwrap();
        assert_eq!(read.as_deref(), Some(last_seen));
    }
    journal.append(&mut [record(1)]).unwrap();
    assert_eq!(journal.last_seen().unwrap().as_deref(), Some("b"));
}

#[test]
fn uncommitted_batch_is_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [record(1)]).unwrap();
    let mut append = journal.begin().unwrap();
    append.records([record(2), record(3)].iter_mut()).unwrap();
    append.last_seen("a").unwrap();
    drop(append);
    assert_eq!((journal.last_position(), all(&journal).len(), journal.last_seen().unwrap()), (1, 1, None));
    journal.append(&mut [record(2)]).unwrap();
    assert_eq!(all(&journal)[1].position, 2);
}

/// An empty checkpoint at this position.
fn checkpoint_at(position: u64) -> Checkpoint {
    Checkpoint { position, rules: rules(position), version: 1, state: "{}".into() }
}

fn row(number: u8, state: &str) -> (InputId, InputRow) {
    let row = InputRow { position: 3, version: 1, state: state.into(), seen: vec![number] };
    (InputId::from_bytes([number; 16]), row)
}

#[test]
fn wal_is_checkpointed_only_when_it_is_large() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.recover_wal().unwrap();
    // Durability does not matter here.
    journal.database.connection.pragma_update(None, "synchronous", "off").unwrap();
    let mut after_one_more_page = || {
        journal.database.connection.execute("UPDATE probe SET count = count + 1", []).unwrap();
        let done = journal.checkpoint_wal_if_large().unwrap();
        (done, journal.database.checkpoint_wal("noop").unwrap())
    };
    for pages in 1..WAL_CHECKPOINT_PAGES {
        assert_eq!(after_one_more_page(), (false, pages));
    }
    assert_eq!(after_one_more_page(), (true, 0));
    assert_eq!(after_one_more_page(), (false, 1));
    let reader = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count FROM probe").unwrap();
    for pages in 2..WAL_CHECKPOINT_PAGES {
        assert_eq!(after_one_more_page(), (false, pages));
    }
    assert_eq!(
        after_one_more_page(),
        (true, WAL_CHECKPOINT_PAGES - 1),
        "pages that the reader has seen are transferred"
    );
    for pages in WAL_CHECKPOINT_PAGES..WAL_CHECKPOINT_PAGES + 9 {
        assert_eq!(after_one_more_page(), (false, pages));
    }
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(after_one_more_page(), (true, 0));
}

#[test]
fn closed_journal_is_completely_in_the_database() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [record(1), record(2)]).unwrap();
    journal.close().unwrap();
    fs::copy(folder.path().join(DATABASE_FILE), other.path().join(DATABASE_FILE)).unwrap();
    assert_eq!(all(&SqliteJournal::open(other.path()).unwrap()).len(), 2);
}

#[test]
fn opening_a_journal_leaves_its_files_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [record(1)]).unwrap();
    drop(journal);
    let files = || ["journal.db", "journal.db-wal"].map(|file| fs::read(folder.path().join(file)).unwrap());
    let before = files();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    assert!(files() == before, "the files were changed");
    assert_eq!(all(&journal).len(), 1);
}

#[test]
fn deleted_checkpoint_leaves_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [record(1)]).unwrap();
    journal.save_checkpoint(&checkpoint_at(1), std::iter::once((row(1, "").0, Some(row(1, "{}").1)))).unwrap();
    journal.forget_checkpoint().unwrap();
    assert_eq!(journal.checkpoint().unwrap(), None);
    journal.input_rows(|input_id, _| panic!("{input_id} was not deleted")).unwrap();
    assert_eq!(all(&journal).len(), 1);
}
