//! The journal against a list: whatever is done to it, it holds what it was given.

use std::time::Duration;

use proptest::prelude::*;

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

/// What can be done to a journal.
#[derive(Debug, Clone)]
enum Operation {
    Append(u64),
    Reopen,
    Checkpoint,
    Expire(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0u64..6).prop_map(Operation::Append),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Checkpoint),
        2 => (0u64..40).prop_map(Operation::Expire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_holds_what_a_list_would_hold(operations in proptest::collection::vec(operation(), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        let (mut model, mut next, mut position): (Vec<Entry>, u64, u64) = (Vec::new(), 1, 0);
        for operation in operations {
            match operation {
                Operation::Append(count) => {
                    let mut entries: Vec<Entry> = (next..next + count).map(entry).collect();
                    journal.append(&mut entries, &[]).unwrap();
                    model.extend((next..next + count).map(|seq| Entry { seq, ..entry(seq) }));
                    next += count;
                }
                Operation::Reopen => {
                    drop(journal);
                    journal = Journal::open(folder.path()).unwrap();
                }
                Operation::Checkpoint => {
                    position = next - 1;
                    let checkpoint = Checkpoint { position, state: "{}".into() };
                    journal.save_checkpoint(&checkpoint, std::iter::empty(), &[]).unwrap();
                }
                Operation::Expire(horizon) => {
                    let expired = journal.expire(at(horizon), 10).unwrap();
                    let first = model.first().map_or(next, |entry| entry.seq);
                    let gone = |entry: &Entry| entry.seq <= position.min(first + 9) && entry.recorded_at < at(horizon);
                    prop_assert_eq!(expired, model.iter().filter(|entry| gone(entry)).count() as u64);
                    model.retain(|entry| !gone(entry));
                }
            }
            prop_assert_eq!(&all(&journal), &model);
            prop_assert_eq!((journal.events(), journal.last_seq()), (model.len() as u64, next - 1));
        }
        prop_assert_eq!(journal.newest(3).unwrap(), model[model.len().saturating_sub(3)..].to_vec());
    }
}

#[test]
fn one_process_at_a_time_owns_a_folder_and_anybody_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1)], &[]).unwrap();
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
        "has schema version 7, but this version knows only 1; use a newer stream-live-exporter",
    );
    check("PRAGMA application_id = 1", "is not a journal of stream-live-exporter");
    check("PRAGMA application_id = 0", "is not a journal of stream-live-exporter");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DATABASE_FILE), "something else, and longer than a header would be".repeat(100))
        .unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::Sqlite { .. })));
}

#[test]
fn a_damaged_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.append(&mut [entry(1), entry(2)], &[]).unwrap();
    journal.connection.execute("UPDATE events SET event = 'exploded' WHERE seq = 2", []).unwrap();
    let message = journal.replay(0, drop).unwrap_err().to_string();
    assert_eq!(message, format!("{}: event 2 is damaged: the event is none that is known", journal.path().display()));
}

#[test]
fn a_failed_append_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.connection.pragma_update(None, "query_only", true).unwrap();
    assert!(journal.append(&mut [entry(1)], &[]).is_err());
    assert!(journal.probe().is_err());
    journal.connection.pragma_update(None, "query_only", false).unwrap();
    journal.probe().unwrap();
    assert_eq!((journal.events(), all(&journal)), (0, vec![]));
    journal.append(&mut [entry(1)], &[]).unwrap();
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
        journal.append(&mut [], &[body(number)]).unwrap();
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
