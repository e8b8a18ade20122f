//! The rows of sessions, compared with timelines, and over all splits into batches and checkpoints.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::batches::{new_fold, records, restored};
use super::timeline::{record_all, steps, timeline};
use super::*;
use crate::event::SessionChange;
use crate::event::SessionState;

/// A table of sessions.
type Table = BTreeMap<(InputId, Timestamp), SessionState>;

const INPUTS: std::ops::Range<u8> = 1..5;

fn write(table: &mut Table, rows: &SessionRows, input_ids: impl Iterator<Item = InputId>) {
    for change in rows.of(input_ids) {
        let key = (change.input_id, change.started_at);
        match change.session {
            Some(session) => drop(table.insert(key, session)),
            None => drop(table.remove(&key)),
        }
    }
}

fn adopt(fold: &mut Fold, rows: &mut SessionRows, batch: &[Record]) -> Vec<Verdict> {
    let (changes, verdicts) = apply(fold, batch);
    rows.add(fold, &changes, batch.last().map_or(0, |record| record.position));
    fold.adopt(changes);
    verdicts
}

/// The table after these records, in batches of these lengths. It is written after some of the batches.
fn table_of(mut fold: Fold, records: &[Record], batches: &[(usize, bool)]) -> Table {
    let (mut table, mut rows, mut rest) = (Table::new(), SessionRows::default(), records);
    let last = std::iter::once((records.len(), true));
    for (length, written) in batches.iter().copied().chain(last) {
        let (batch, others) = rest.split_at(length.min(rest.len()));
        adopt(&mut fold, &mut rows, batch);
        rest = others;
        if written {
            write(&mut table, &rows, INPUTS.map(input_id));
            rows.saved(INPUTS.map(input_id));
            assert!(rows.is_empty());
        }
    }
    table
}

fn batches() -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((0usize..12, any::<bool>()), 0..8)
}

/// The same records at different instants. A session that begins when a forgotten input had one is the same row.
fn at_different_instants(mut records: Vec<Record>) -> Vec<Record> {
    for (nanos, record) in (0..).map(Duration::from_nanos).zip(&mut records) {
        match &mut record.kind {
            RecordKind::Event(event, _) => event.updated_at = event.updated_at.plus(nanos),
            RecordKind::Correction(correction) => correction.at = correction.at.plus(nanos),
            RecordKind::Observation(observation) => observation.at = observation.at.plus(nanos),
            RecordKind::Forgotten(_) | RecordKind::Exception(_) | RecordKind::Rules(_) | RecordKind::ClockSetBack => {}
        }
    }
    records
}

fn appended(mut fold: Fold, records: Vec<Record>) -> Vec<Record> {
    let mut appended = Vec::new();
    for mut record in records {
        let (changes, verdicts) = apply(&fold, std::slice::from_ref(&record));
        fold.adopt(changes);
        if let Verdict::Recorded(note) = verdicts[0] {
            record.position = appended.len() as u64 + 1;
            if let RecordKind::Event(_, noted) = &mut record.kind {
                *noted = note;
            }
            appended.push(record);
        }
    }
    appended
}

proptest! {
    #[test]
    fn rows_equal_the_sessions_of_the_timeline_over_the_whole_journal(steps in steps(1500), batches in batches()) {
        let (records, _) = record_all(&mut World::new(), &steps);
        let sessions = timeline(Timeline::complete(), &records).sessions(true, rules().reconnect_window);
        let sessions = sessions.into_iter().map(|Session { began, ended, reconnects }| {
            ((input_id(1), began.unwrap()), SessionState { ended_at: ended, reconnects })
        });
        let expected: Table = sessions.collect();
        prop_assert_eq!(table_of(Fold::new(rules()), &records, &batches), expected);
    }

    #[test]
    fn rows_do_not_depend_on_batches_also_with_new_windows(records in records(), batches in batches()) {
        let records = appended(new_fold(), at_different_instants(records));
        let alone: Vec<_> = records.iter().map(|_| (1, true)).collect();
        prop_assert_eq!(table_of(new_fold(), &records, &batches), table_of(new_fold(), &records, &alone));
    }

    #[test]
    fn restart_from_rows_of_different_moments_writes_the_same_sessions(
        records in records(),
        moments in prop::collection::vec(any::<prop::sample::Index>(), 3),
        row_moments in prop::collection::vec(0usize..3, 5),
    ) {
        let records = appended(new_fold(), at_different_instants(records));
        let mut moments: Vec<_> = moments.iter().map(|moment| moment.index(records.len() + 1)).collect();
        moments.sort_unstable();
        let row_moment = |input_id: &InputId| row_moments[usize::from(input_id.digits()[1] - b'0')];
        let folds = moments.iter().map(|moment| {
            let mut fold = Fold::new(rules());
            let (changes, _) = apply(&fold, &records[..*moment]);
            fold.adopt(changes);
            (*moment as u64, fold)
        });
        let folds: Vec<_> = folds.collect();
        // The sessions of an input are written with its row.
        let mut table = Table::new();
        for input_id in INPUTS.map(input_id) {
            let written = table_of(new_fold(), &records[..moments[row_moment(&input_id)]], &[]);
            table.extend(written.into_iter().filter(|((of, _), _)| *of == input_id));
        }
        let mut rows = SessionRows::default();
        restored(&folds, &records, row_moment, |fold, batch| drop(adopt(fold, &mut rows, batch)));
        write(&mut table, &rows, INPUTS.map(input_id));
        prop_assert_eq!(table, table_of(new_fold(), &records, &[]));
    }
}

#[test]
fn input_that_flaps_hundreds_of_times_between_two_writes_has_every_session() {
    let mut rows = SessionRows::default();
    let mut fold = Fold::new(rules());
    let flaps = (0..1000u64).flat_map(|flap| [("connected", flap * 200), ("disconnected", flap * 200 + 50)]);
    let records: Vec<_> = flaps
        .map(|(name, second)| record(RecordKind::Event(event(1, name, at(second), at(second)), None), at(0)))
        .collect();
    records.chunks(300).for_each(|batch| drop(adopt(&mut fold, &mut rows, batch)));
    let sessions: Vec<_> = rows.of([input_id(1)].into_iter()).collect();
    assert_eq!(sessions.len(), 1000);
    let lengths = sessions.iter().map(|change| change.session.unwrap().ended_at.unwrap().since(change.started_at));
    assert!(lengths.into_iter().all(|length| length == Some(Duration::from_secs(50))));
}

/// End and reconnects of a session.
type Ended = (Option<u64>, u32);

/// The changes of input 1 in seconds: begin, end and reconnects of each session.
fn changes_of(rows: &SessionRows) -> Vec<(u64, Option<Ended>)> {
    let seconds = |time: Timestamp| time.since(at(0)).unwrap().as_secs();
    let changes = rows.of([input_id(1)].into_iter()).map(|change| {
        let session = change.session.map(|session| (session.ended_at.map(seconds), session.reconnects));
        (seconds(change.started_at), session)
    });
    changes.collect()
}

fn with_window(seconds: u64) -> RecordKind {
    RecordKind::Rules(Arc::new(Rules { reconnect_window: Duration::from_secs(seconds), ..rules() }))
}

#[test]
fn reconnect_after_a_session_that_a_new_window_ended_is_the_first_of_a_new_row() {
    let mut rows = SessionRows::default();
    let mut world = play("0s connected; 100s disconnected; 120s connected; 200s disconnected");
    adopt(&mut world.fold, &mut rows, &[record(with_window(600), at(300))]);
    let connected = record(RecordKind::Event(event(1, "connected", at(400), at(400)), None), at(300));
    adopt(&mut world.fold, &mut rows, &[connected]);
    assert_eq!(changes_of(&rows), [(400, Some((None, 1)))]);
}

#[test]
fn restored_input_that_is_ahead_of_a_new_window_loses_a_session_that_the_old_window_did_not_have() {
    let event = |name, second| RecordKind::Event(event(1, name, at(second), at(second)), None);
    let found = Observation {
        input_id: input_id(1),
        found: Observed::Connected,
        at: at(150),
        events: 2,
        account_id: observations::ACCOUNT,
    };
    let kinds = [
        event("connected", 0),
        event("disconnected", 100),
        with_window(10),
        RecordKind::Observation(found),
        event("connected", 140),
    ];
    let records: Vec<_> =
        (1..).zip(kinds).map(|(position, kind)| Record { position, ..record(kind, at(100)) }).collect();
    let folds = [2, 4].map(|position| {
        let mut fold = Fold::new(rules());
        adopt(&mut fold, &mut SessionRows::default(), &records[..position]);
        (position as u64, fold)
    });
    let mut rows = SessionRows::default();
    restored(&folds, &records, |_| 1, |fold, batch| drop(adopt(fold, &mut rows, batch)));
    assert_eq!(changes_of(&rows), [(140, Some((None, 0))), (150, None)]);
}

#[test]
fn late_reconnect_joins_two_sessions_and_removes_the_row_of_the_second() {
    let mut rows = SessionRows::default();
    let mut world = play("10s connected; 100s disconnected; 180s connected; 400s disconnected");
    // The gap of 80 seconds becomes two of 40 seconds or less.
    for (name, second) in [("connected", 140), ("disconnected", 141)] {
        let record = record(RecordKind::Event(event(1, name, at(second), at(500)), None), at(0));
        adopt(&mut world.fold, &mut rows, &[record]);
    }
    assert_eq!(changes_of(&rows), [(10, Some((Some(400), 2))), (180, None)]);
}

#[test]
fn checkpoint_of_another_replica_leaves_later_changes_to_write() {
    let mut rows = SessionRows::default();
    let mut fold = Fold::new(rules());
    for (position, (name, second)) in (1..).zip([("connected", 0), ("disconnected", 50), ("connected", 200)]) {
        let kind = RecordKind::Event(event(1, name, at(second), at(second)), None);
        adopt(&mut fold, &mut rows, &[Record { position, ..record(kind, at(0)) }]);
    }
    let starts = |rows: &SessionRows| rows.of([input_id(1)].into_iter()).map(|row| row.started_at).collect::<Vec<_>>();
    rows.saved_until(1);
    assert_eq!(starts(&rows), [at(0), at(200)]);
    rows.saved_until(2);
    assert_eq!(starts(&rows), [at(200)]);
    rows.saved_until(3);
    assert!(rows.is_empty());
}

fn past(records: &[Record], state: &State) -> Vec<SessionChange> {
    let mut past = PastSessions::new(rules());
    records.chunks(7).for_each(|batch| past.add(batch));
    past.finish(state)
}

fn recorded(events: &[(&str, u64)]) -> (Vec<Record>, Fold) {
    let mut fold = Fold::new(rules());
    let records = events
        .iter()
        .map(|(name, second)| record(RecordKind::Event(event(1, name, at(*second), at(*second)), None), at(0)));
    let records: Vec<_> = records.collect();
    let (changes, _) = apply(&fold, &records);
    fold.adopt(changes);
    (records, fold)
}

#[test]
fn every_session_of_a_complete_journal_is_found() {
    let flaps = (0..500u64).flat_map(|flap| [("connected", flap * 200), ("disconnected", flap * 200 + 50)]);
    let (records, fold) = recorded(&flaps.collect::<Vec<_>>());
    let sessions = past(&records, fold.state());
    assert_eq!(sessions.len(), 500);
    for (flap, change) in (0..).zip(sessions) {
        let session = change.session.unwrap();
        assert_eq!((change.started_at, session.ended_at), (at(flap * 200), Some(at(flap * 200 + 50))));
    }
}

#[test]
fn session_that_began_before_the_first_kept_record_is_as_the_state_has_it() {
    let events =
        [("connected", 10), ("disconnected", 80), ("connected", 100), ("disconnected", 130), ("connected", 900)];
    let (records, fold) = recorded(&events);
    for expired in 0..=5 {
        let sessions = past(&records[expired..], fold.state());
        let sessions = sessions.iter().map(|change| (change.started_at, change.session.unwrap()));
        let expected = [
            (at(10), SessionState { ended_at: Some(at(130)), reconnects: 1 }),
            (at(900), SessionState { ended_at: None, reconnects: 0 }),
        ];
        assert_eq!(sessions.collect::<Vec<_>>(), expected, "{expired}");
    }
}
