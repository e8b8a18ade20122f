//! Corrections of inputs, of a running and of a stopped recorder.

use super::housekeeping::{check_crash, idle_recorder};
use super::*;
use crate::event::{Corrected, Correction};
use crate::schedule::{Configured, Expectation};

fn correction(input: u8, to: Corrected) -> Correction {
    let input_id = InputId::from_bytes([input; 16]);
    Correction { input_id, to, at: clock::now(), user: Some("anna".into()), reason: None }
}

/// Corrects an input of a recorder whose loop does not run.
pub(super) fn correct(recorder: &mut Recorder, input: u8, to: Corrected) -> Option<CorrectionOutcome> {
    let (answer_tx, answer) = oneshot::channel();
    recorder.correct(correction(input, to), answer_tx);
    answer.blocking_recv().unwrap()
}

/// Whether each input is connected.
fn states(state: &State) -> Vec<Option<bool>> {
    state.inputs().values().map(|entry| entry.input.evidence().map(|evidence| evidence.connected)).collect()
}

#[test]
fn answered_correction_is_in_the_journal_and_repeating_it_records_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    submit(&running, event(1, EventKind::Connected, 50)).unwrap();
    let correct = |input, to| running.handle.correct(correction(input, to)).unwrap().blocking_recv().unwrap();
    let last = || SqliteJournal::open_to_read(folder.path()).unwrap().last_position();
    let before = last();
    for (to, outcome, records, states_after) in [
        (Corrected::Connected, CorrectionOutcome::Unchanged, 0, vec![Some(true)]),
        (Corrected::Disconnected, CorrectionOutcome::Recorded, 1, vec![Some(false)]),
        (Corrected::Disconnected, CorrectionOutcome::Unchanged, 1, vec![Some(false)]),
        (Corrected::Connected, CorrectionOutcome::Recorded, 2, vec![Some(true)]),
        (Corrected::Forgotten, CorrectionOutcome::Recorded, 3, vec![]),
        (Corrected::Forgotten, CorrectionOutcome::Unchanged, 3, vec![]),
        (Corrected::Connected, CorrectionOutcome::UnknownInput, 3, vec![]),
    ] {
        assert_eq!(correct(1, to), Some(outcome), "{to:?}");
        assert_eq!((last() - before, states(&view(&running).state)), (records, states_after), "{to:?}");
    }
    assert_eq!(view(&running).journal_events, 1, "corrections are no events");
    finish(running);
}

#[test]
fn corrections_and_forgotten_inputs_are_counted_by_what_they_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    recorder.record_deliveries(vec![(delivery(event(1, EventKind::Connected, 50)), oneshot::channel().0)]);
    for to in [Corrected::Disconnected, Corrected::Disconnected, Corrected::Forgotten, Corrected::Forgotten] {
        correct(&mut recorder, 1, to).unwrap();
    }
    let corrections = |to: &str| recorder.metrics.corrections.with_label_values(&["operator", to]).get();
    assert_eq!(Corrected::LABELS.map(corrections), [0, 1, 1]);
    let forgotten = |reason: &str| recorder.metrics.inputs_forgotten.with_label_values(&[reason]).get();
    assert_eq!(["silent", "operator", "deleted"].map(forgotten), [0, 1, 0]);
}

#[test]
fn configured_input_that_is_known_only_by_a_correction_survives_a_crash_with_and_without_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let input_id = InputId::from_bytes([1; 16]);
    let configured = Configured { name: "name".into(), expectation: Expectation::Always };
    let rules = Rules { configured: [input_id].into(), ..rules() };
    let limits = Limits { rules, configured: [(input_id, configured)].into(), ..limits() };
    let mut recorder = idle_recorder(folder.path(), limits);
    for (to, connected) in
        [(Corrected::Connected, Some(true)), (Corrected::Forgotten, None), (Corrected::Disconnected, Some(false))]
    {
        assert_eq!(correct(&mut recorder, 1, to), Some(CorrectionOutcome::Recorded));
        assert_eq!(states(recorder.fold.state()), [connected]);
        check_crash(folder.path(), &recorder);
        recorder.save_checkpoint().unwrap();
        check_crash(folder.path(), &recorder);
    }
}

#[test]
fn correction_that_cannot_be_made_durable_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    recorder.record_deliveries(vec![(delivery(event(1, EventKind::Connected, 50)), oneshot::channel().0)]);
    let blocker = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(
        (correct(&mut recorder, 1, Corrected::Disconnected), states(recorder.fold.state())),
        (None, vec![Some(true)])
    );
    blocker.execute_batch("ROLLBACK").unwrap();
    assert_eq!(correct(&mut recorder, 1, Corrected::Disconnected), Some(CorrectionOutcome::Recorded));
}

#[test]
fn correction_in_the_journal_of_a_stopped_recorder_is_found_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    submit(&running, event(1, EventKind::Connected, 50)).unwrap();
    submit(&running, event(2, EventKind::Connected, 50)).unwrap();
    finish(running);
    let before = SqliteJournal::open_to_read(folder.path()).unwrap().last_position();
    for (input, to, outcome) in [
        (1, Corrected::Disconnected, CorrectionOutcome::Recorded),
        (1, Corrected::Disconnected, CorrectionOutcome::Unchanged),
        (2, Corrected::Forgotten, CorrectionOutcome::Recorded),
        (3, Corrected::Connected, CorrectionOutcome::UnknownInput),
    ] {
        let mut journal = SqliteJournal::open(folder.path()).unwrap();
        // The rules of the journal count, not these.
        let other = Rules { max_inputs: 7, ..rules() };
        assert_eq!(correct_stopped(&mut journal, &other, correction(input, to)).unwrap(), outcome, "{to:?}");
        journal.close().unwrap();
    }
    let running = recorder(folder.path());
    assert_eq!(states(&view(&running).state), [Some(false)]);
    finish(running);
    assert_eq!(SqliteJournal::open_to_read(folder.path()).unwrap().last_position(), before + 2);
}
