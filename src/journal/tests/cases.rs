//! Records, rows, documents and bodies.

use std::collections::BTreeMap;

use super::{World, all, append, checkpoint_at, save_checkpoint};
use crate::event::{ErrorCode, ErrorDetail, Event, EventKind, InputId, Record, RecordKind, Timestamp};
use crate::journal::content::{MAX_BODIES, MAX_BYTES};
use crate::journal::sqlite::tests::{event, input_id, record};
use crate::journal::{BatchId, InputRow, Journal, Reader, Unrecognized};

pub(super) fn records_are_read_as_they_were_appended(world: &dyn World) {
    let mut journal = world.open();
    let mut records: Vec<_> = (0..200).map(record).collect();
    let (first, rest) = records.split_at_mut(1);
    append(&mut *journal, first).unwrap();
    append(&mut *journal, &mut []).unwrap();
    append(&mut *journal, rest).unwrap();
    let positions: Vec<_> = records.iter().map(|record| record.position).collect();
    assert_eq!(positions, (1..=200).collect::<Vec<_>>());
    let events = records.iter().filter(|record| record.event().is_some()).count() as u64;
    let journal = world.reopen(journal);
    assert_eq!((all(&*journal), journal.last_position(), journal.events()), (records.clone(), 200, events));
    let mut after = Vec::new();
    world.open_to_read().replay(150, &mut |record| after.push(record)).unwrap();
    assert_eq!(after, records[150..]);
}

/// JSON has every character, also U+0000.
pub(super) fn texts_are_read_as_they_were_appended(world: &dyn World) {
    let mut journal = world.open();
    for text in ["", "\0", "a\0b\0", "␀", "␀0", "\0␀\0", "'\"\\n\n{}", "\u{10ffff}é"] {
        let code = ErrorCode::from(text);
        let boxed = || Some(text.into());
        let detail = ErrorDetail { code, message: boxed(), video_codec: boxed(), audio_codec: boxed() };
        let errored = Event { kind: EventKind::Errored(Box::new(detail)), ..event(1) };
        let record = Record { recorded_at: errored.received_at, ..Record::new(RecordKind::Event(errored, None)) };
        append(&mut *journal, std::slice::from_mut(&mut record.clone())).unwrap();
        let read = all(&*journal).pop().unwrap();
        assert_eq!(read.kind, record.kind, "{text:?}");
        journal.save_documents(&[("name", Some(text))]).unwrap();
        assert_eq!(journal.documents().unwrap()["name"], text);
        let mut append = journal.begin(BatchId::random()).unwrap();
        append.last_seen(text).unwrap();
        append.commit().unwrap();
        assert_eq!(journal.last_seen().unwrap().as_deref(), Some(text));
        let row = InputRow { position: 1, version: 1, state: text.into(), seen: text.into() };
        save_checkpoint(&mut *journal, &checkpoint_at(1), vec![(InputId::from_bytes([1; 16]), Some(row.clone()))])
            .unwrap();
        assert_eq!(rows(&*journal), [(InputId::from_bytes([1; 16]), row)]);
    }
}

pub(super) fn uncommitted_batch_is_rolled_back(world: &dyn World) {
    let mut journal = world.open();
    append(&mut *journal, &mut [record(1)]).unwrap();
    let mut begun = journal.begin(BatchId::random()).unwrap();
    begun.records(&mut [record(2), record(3)].iter_mut()).unwrap();
    begun.last_seen("a").unwrap();
    drop(begun);
    assert_eq!((journal.last_position(), all(&*journal).len(), journal.last_seen().unwrap()), (1, 1, None));
    append(&mut *journal, &mut [record(2)]).unwrap();
    assert_eq!(all(&*journal)[1].position, 2);
}

pub(super) fn last_seen_deliveries_are_durable_with_their_batch(world: &dyn World) {
    let mut journal = world.open();
    assert_eq!(journal.last_seen().unwrap(), None);
    for last_seen in ["a", "b"] {
        let mut append = journal.begin(BatchId::random()).unwrap();
        append.last_seen(last_seen).unwrap();
        append.commit().unwrap();
        assert_eq!(world.open_to_read().last_seen().unwrap().as_deref(), Some(last_seen));
    }
    append(&mut *journal, &mut [record(1)]).unwrap();
    assert_eq!(journal.last_seen().unwrap().as_deref(), Some("b"));
}

pub(super) fn documents_are_replaced_and_deleted(world: &dyn World) {
    let mut journal = world.open();
    assert_eq!(journal.documents().unwrap(), BTreeMap::new());
    journal.save_documents(&[("a", Some("1")), ("b", Some("2"))]).unwrap();
    journal.save_documents(&[("a", Some("3")), ("b", None), ("c", None), ("d'", Some(""))]).unwrap();
    let journal = world.reopen(journal);
    let saved = [("a", "3"), ("d'", "")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(journal.documents().unwrap(), saved.into());
}

fn row(number: u8, state: &str) -> (InputId, InputRow) {
    let row = InputRow { position: 3, version: 1, state: state.into(), seen: vec![number, 0, 255] };
    (InputId::from_bytes([number; 16]), row)
}

fn rows<R: Reader + ?Sized>(journal: &R) -> Vec<(InputId, InputRow)> {
    let mut rows = Vec::new();
    let mut collect = |input_id, row| {
        rows.push((input_id, row));
        Ok(())
    };
    journal.input_rows(&mut collect).unwrap();
    rows.sort_by_key(|(input_id, _)| *input_id);
    rows
}

pub(super) fn row_of_an_input_is_replaced_and_deleted(world: &dyn World) {
    let mut journal = world.open();
    assert_eq!(journal.checkpoint().unwrap(), None);
    let save = |number, state: &str| (row(number, state).0, Some(row(number, state).1));
    let delete = |number| (row(number, "").0, None);
    for (position, (changes, expected)) in (1..).zip([
        (vec![save(1, "a"), save(2, "b")], vec![row(1, "a"), row(2, "b")]),
        (vec![save(1, "c"), delete(2)], vec![row(1, "c")]),
        (vec![delete(1), delete(9), save(3, "d")], vec![row(3, "d")]),
        (vec![save(4, "e"), delete(4), delete(3), save(3, "f"), save(3, "g")], vec![row(3, "g")]),
    ]) {
        save_checkpoint(&mut *journal, &checkpoint_at(position), changes).unwrap();
        assert_eq!(rows(&*journal), expected);
        assert_eq!(journal.checkpoint().unwrap(), Some(checkpoint_at(position)));
    }
}

pub(super) fn checkpoint_has_every_row(world: &dyn World) {
    let mut journal = world.open();
    let each = |number: u64| {
        let state = number.to_string().repeat(100);
        let row = InputRow { position: number, version: 1, state, seen: vec![7; 300] };
        (input_id(number), row)
    };
    let expected: Vec<_> = (1..=2500).map(each).collect();
    let changes = expected.iter().cloned().map(|(input_id, row)| (input_id, Some(row))).collect();
    save_checkpoint(&mut *journal, &checkpoint_at(9), changes).unwrap();
    assert!(rows(&*journal) == expected);
    let deleted = expected.iter().map(|(input_id, _)| (*input_id, None)).collect();
    save_checkpoint(&mut *journal, &checkpoint_at(9), deleted).unwrap();
    assert_eq!(rows(&*journal), []);
}

fn keep(journal: &mut dyn Journal, bodies: &[Vec<u8>]) {
    let unrecognized = |(number, body): (i64, &Vec<u8>)| Unrecognized {
        received_at: Timestamp::from_nanos(number),
        reason: "no_data".into(),
        body: body.clone(),
    };
    let bodies: Vec<_> = (0..).zip(bodies).map(unrecognized).collect();
    let mut append = journal.begin(BatchId::random()).unwrap();
    append.unrecognized(&bodies).unwrap();
    append.commit().unwrap();
}

fn kept(journal: &dyn Journal) -> Vec<Vec<u8>> {
    journal.unrecognized().unwrap().into_iter().map(|kept| kept.body).collect()
}

pub(super) fn newest_bodies_are_kept_up_to_their_number(world: &dyn World) {
    let mut journal = world.open();
    let bodies: Vec<_> = (0..MAX_BODIES + 5).map(|number| number.to_string().into_bytes()).collect();
    let (first, rest) = bodies.split_at(bodies.len() - 6);
    keep(&mut *journal, first);
    assert_eq!(kept(&*journal), first);
    rest.iter().for_each(|body| keep(&mut *journal, std::slice::from_ref(body)));
    assert_eq!(kept(&*journal), bodies[5..]);
}

pub(super) fn newest_bodies_are_kept_up_to_their_size_in_bytes(world: &dyn World) {
    let mut journal = world.open();
    let body = |fill: u8, size: u64| vec![fill; usize::try_from(size).unwrap()];
    let bodies: Vec<_> = (1..=4).map(|fill| body(fill, MAX_BYTES / 4)).collect();
    keep(&mut *journal, &bodies);
    assert!(kept(&*journal) == bodies, "exactly the limit");
    let small = body(9, 1);
    keep(&mut *journal, std::slice::from_ref(&small));
    assert!(kept(&*journal) == [&bodies[1..], &[small]].concat());
    keep(&mut *journal, &[body(7, MAX_BYTES + 1)]);
    assert!(kept(&*journal).is_empty(), "one body above the limit");
}

pub(super) fn deleted_bodies_are_those_with_the_given_numbers_and_numbers_are_not_used_again(world: &dyn World) {
    let mut journal = world.open();
    let bodies: Vec<_> = (1..=3).map(|fill| vec![fill, 0]).collect();
    keep(&mut *journal, &bodies);
    let bodies = journal.unrecognized().unwrap();
    let numbers: Vec<_> = bodies.iter().map(|kept| kept.number).collect();
    assert_eq!(journal.kept_body(numbers[1]).unwrap().as_ref(), Some(&bodies[1]));
    let newest = journal.newest_unrecognized(numbers[2], 1).unwrap();
    assert_eq!(newest.iter().map(|kept| (kept.number, kept.size)).collect::<Vec<_>>(), [(numbers[1], 2)]);
    assert_eq!(journal.newest_unrecognized(u64::MAX, 9).unwrap().len(), 3);
    let mut append = journal.begin(BatchId::random()).unwrap();
    append.forget_unrecognized(&[numbers[0], numbers[2], 99]).unwrap();
    append.commit().unwrap();
    assert_eq!(kept(&*journal), [[2, 0]]);
    assert_eq!(journal.kept_body(numbers[0]).unwrap(), None);
    keep(&mut *journal, &[vec![4]]);
    assert!(journal.unrecognized().unwrap()[1].number > numbers[2]);
}

pub(super) fn snapshot_stays_as_it_is(world: &dyn World) {
    let mut journal = world.open();
    append(&mut *journal, &mut [record(1)]).unwrap();
    let reader = world.open_to_read();
    let snapshot = reader.snapshot().unwrap();
    append(&mut *journal, &mut [record(2)]).unwrap();
    journal.save_documents(&[("a", Some("1"))]).unwrap();
    assert_eq!((all(&*reader).len(), reader.newest_position().unwrap(), reader.documents().unwrap().len()), (1, 1, 0));
    drop(snapshot);
    assert_eq!((all(&*reader).len(), reader.newest_position().unwrap(), reader.documents().unwrap().len()), (2, 2, 1));
}
