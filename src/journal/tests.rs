//! What the journal refuses, names and keeps; whatever is done to it, see [`model`].

mod model;
mod refusals;

use std::time::Duration;

use super::*;
use crate::event::{ErrorCode, ErrorDetail, Event, EventKind, IgnoredReason, InputId};

pub(super) fn at(second: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(second))
}

pub(super) fn entry(second: u64) -> Entry {
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
    let input_id = InputId::from_bytes([u8::try_from(second % 256).unwrap(); 16]);
    let sent_at = second.is_multiple_of(2).then_some(at(second + 1));
    let event = Event { input_id, kind, updated_at: at(second), sent_at, received_at: at(second + 2) };
    let note = second.is_multiple_of(5).then(|| "out_of_order".into());
    Entry { seq: 0, recorded_at: at(second), shown_until: at(second / 2), note, event }
}

pub(super) fn all(journal: &Journal) -> Vec<Entry> {
    let mut entries = Vec::new();
    journal.replay(0, |entry| entries.push(entry)).unwrap();
    entries
}

#[test]
fn one_process_at_a_time_owns_a_folder_and_anybody_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1)], &[], None).unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::InUse { .. })));
    assert_eq!(all(&Journal::open_to_read(folder.path()).unwrap()).len(), 1);
    drop(journal);
    Journal::open(folder.path()).unwrap();
}

#[test]
fn what_is_not_ours_or_from_the_future_is_refused_and_left_alone() {
    let check = |prepare: &str, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE_FILE);
        drop(Journal::open(folder.path()).unwrap());
        Connection::open(&path).unwrap().execute_batch(prepare).unwrap();
        let before = fs::read(&path).unwrap();
        let message = Journal::open(folder.path()).unwrap_err().to_string();
        assert_eq!(message, format!("{}: {expected}", path.display()));
        assert_eq!(fs::read(&path).unwrap(), before, "the file was changed");
    };
    check(
        "PRAGMA user_version = 7",
        "has schema version 7, but this version knows only 2; use a newer stream-live-exporter",
    );
    check("PRAGMA application_id = 1", "is not a journal of stream-live-exporter");
    check("PRAGMA application_id = 0", "is not a journal of stream-live-exporter");
    check("PRAGMA application_id = 0; PRAGMA user_version = 0", "is not a journal of stream-live-exporter");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DATABASE_FILE), "something else, and longer than a header would be".repeat(100))
        .unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::Sqlite { .. })));
    fs::write(folder.path().join(DATABASE_FILE), "").unwrap();
    assert!(matches!(Journal::open_to_read(folder.path()), Err(JournalError::Foreign { .. })));
}

#[test]
fn a_damaged_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1), entry(2)], &[], None).unwrap();
    journal.connection.execute("UPDATE events SET event = 'exploded' WHERE seq = 2", []).unwrap();
    let message = journal.replay(0, drop).unwrap_err().to_string();
    assert_eq!(message, format!("{}: event 2 is damaged: the event is none that is known", journal.path().display()));
}

#[test]
fn what_sqlite_finds_damaged_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.integrity_problems().unwrap(), Vec::<String>::new());
    let second = "PRAGMA ignore_check_constraints = on; INSERT INTO checkpoint VALUES (2, 0, '{}'); \
                  PRAGMA ignore_check_constraints = off";
    journal.connection.execute_batch(second).unwrap();
    assert_eq!(journal.integrity_problems().unwrap(), ["CHECK constraint failed in checkpoint"]);
}

#[test]
fn the_size_is_that_of_the_database_and_its_log() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(size_bytes(folder.path()), 0);
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1)], &[], None).unwrap();
    let sizes = ["journal.db", "journal.db-wal"].map(|file| fs::metadata(folder.path().join(file)).unwrap().len());
    assert!(sizes.iter().all(|size| *size > 1), "{sizes:?}");
    assert_eq!(size_bytes(folder.path()), sizes[0] + sizes[1]);
}

#[test]
fn a_failed_append_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.connection.pragma_update(None, "query_only", true).unwrap();
    assert!(journal.append(&mut [entry(1)], &[], None).is_err());
    assert!(journal.probe().is_err());
    journal.connection.pragma_update(None, "query_only", false).unwrap();
    journal.probe().unwrap();
    assert_eq!((journal.events(), all(&journal)), (0, vec![]));
    journal.append(&mut [entry(1)], &[], None).unwrap();
    assert_eq!(all(&journal)[0].seq, 1);
}

#[test]
fn the_newest_unrecognized_bodies_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let body = |number: u64| Unrecognized {
        received_at: at(number),
        reason: IgnoredReason::NoData,
        body: number.to_string().into_bytes(),
    };
    for number in 0..UNRECOGNIZED_KEPT + 5 {
        journal.append(&mut [], &[body(number)], None).unwrap();
    }
    let (count, oldest): (u64, Vec<u8>) = journal
        .connection
        .query_row(
            "SELECT count(*), (SELECT body FROM unrecognized ORDER BY seq LIMIT 1) FROM unrecognized",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((count, oldest), (UNRECOGNIZED_KEPT, b"5".to_vec()));
}

#[test]
fn what_is_kept_of_deliveries_is_durable_with_their_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.last_seen().unwrap(), None);
    for kept in ["a", "b"] {
        journal.append(&mut [], &[], Some(kept)).unwrap();
        let read = Journal::open_to_read(folder.path()).unwrap().last_seen().unwrap();
        assert_eq!(read.as_deref(), Some(kept));
    }
    journal.append(&mut [entry(1)], &[], None).unwrap();
    assert_eq!(journal.last_seen().unwrap().as_deref(), Some("b"));
}

#[test]
fn what_the_first_version_kept_of_deliveries_with_the_checkpoint_is_found_and_read() {
    let state = r#"{"position":1,"deliveries":{"last":5,"by_secret":{"a":5}}}"#;
    for (state, kept) in [(state, Some(r#"{"last":5,"by_secret":{"a":5}}"#)), ("{}", None), ("damaged", None)] {
        let folder = tempfile::tempdir().unwrap();
        let connection = &mut Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        schema::migrate(connection, 0, &schema::MIGRATIONS[..1]).unwrap();
        connection.execute("INSERT INTO checkpoint VALUES (1, 1, ?1)", [state]).unwrap();
        assert_eq!(Journal::open_to_read(folder.path()).unwrap().last_seen().unwrap(), None);
        assert_eq!(Journal::open(folder.path()).unwrap().last_seen().unwrap().as_deref(), kept, "{state}");
    }
}

#[test]
fn an_input_row_is_replaced_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let row = |number: u8, state: &str| InputRow {
        input_id: InputId::from_bytes([number; 16]),
        state: state.into(),
        identities: vec![number],
    };
    let checkpoint = |position| Checkpoint { position, state: "{}".into() };
    journal.save_checkpoint(&checkpoint(1), [row(1, "a"), row(2, "b")].into_iter(), &[]).unwrap();
    journal.save_checkpoint(&checkpoint(2), [row(1, "c")].into_iter(), &[row(2, "").input_id]).unwrap();
    let mut rows = Vec::new();
    let collected = journal.checkpointed_inputs(|row| {
        rows.push(row);
        Ok(())
    });
    collected.unwrap();
    assert_eq!(rows, [row(1, "c")]);
    assert_eq!(journal.checkpoint().unwrap(), Some(checkpoint(2)));
}

#[test]
fn the_log_is_transferred_when_it_is_long_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.recover_wal().unwrap();
    // That what is written is durable is not looked at here.
    journal.connection.pragma_update(None, "synchronous", "off").unwrap();
    let mut after_one_more_page = || {
        journal.connection.execute("UPDATE probe SET count = count + 1", []).unwrap();
        let transferred = journal.checkpoint_wal_if_large().unwrap();
        (transferred, journal.checkpoint_wal("noop").unwrap())
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
    assert_eq!(after_one_more_page(), (true, WAL_CHECKPOINT_PAGES - 1), "what the reader has seen goes");
    for pages in WAL_CHECKPOINT_PAGES..WAL_CHECKPOINT_PAGES + 9 {
        assert_eq!(after_one_more_page(), (false, pages));
    }
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(after_one_more_page(), (true, 0));
}

#[test]
fn what_is_closed_is_all_in_the_database() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1), entry(2)], &[], None).unwrap();
    journal.close().unwrap();
    fs::copy(folder.path().join(DATABASE_FILE), other.path().join(DATABASE_FILE)).unwrap();
    assert_eq!(all(&Journal::open(other.path()).unwrap()).len(), 2);
}

#[test]
fn an_opened_journal_is_as_it_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1)], &[], None).unwrap();
    drop(journal);
    let files = || ["journal.db", "journal.db-wal"].map(|file| fs::read(folder.path().join(file)).unwrap());
    let before = files();
    let journal = Journal::open(folder.path()).unwrap();
    assert!(files() == before, "the files were changed");
    assert_eq!(all(&journal).len(), 1);
}

#[test]
fn a_forgotten_checkpoint_leaves_the_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1)], &[], None).unwrap();
    let row = InputRow { input_id: entry(1).event.input_id, state: "{}".into(), identities: vec![1] };
    journal.save_checkpoint(&Checkpoint { position: 1, state: "{}".into() }, [row].into_iter(), &[]).unwrap();
    journal.forget_checkpoint().unwrap();
    assert_eq!(journal.checkpoint().unwrap(), None);
    journal.checkpointed_inputs(|row| panic!("{row:?} was not forgotten")).unwrap();
    assert_eq!(all(&journal).len(), 1);
}
