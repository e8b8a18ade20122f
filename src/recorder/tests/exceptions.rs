//! Exceptions to schedules, of a running and of a stopped recorder.

use super::housekeeping::{check_crash, idle_recorder};
use super::*;
use crate::event::{AccountId, Corrected, ScheduleException, Timestamp};
use crate::live::{Inventory, Listed};

const HOUR: Duration = Duration::from_secs(3600);

fn input_id(input: u8) -> InputId {
    InputId::from_bytes([input; 16])
}

/// A decision of this time: expected or not for an hour, or to end the exception.
fn exception(input: u8, expected: Option<bool>, at: Timestamp) -> ScheduleException {
    let user = Some("anna".into());
    ScheduleException { input_id: input_id(input), expected, until: at.plus(HOUR), at, user, reason: None }
}

/// Decides in a recorder whose loop does not run.
fn except_at(recorder: &mut Recorder, input: u8, expected: Option<bool>, at: Timestamp) -> CorrectionOutcome {
    let (answer_tx, answer) = oneshot::channel();
    recorder.except(exception(input, expected, at), answer_tx);
    answer.blocking_recv().unwrap().unwrap()
}

pub(super) fn except(recorder: &mut Recorder, input: u8, expected: Option<bool>) -> CorrectionOutcome {
    except_at(recorder, input, expected, clock::now())
}

fn connect(recorder: &mut Recorder, input: u8) {
    let connected = delivery(event(input, EventKind::Connected, 50));
    recorder.record_deliveries(vec![(connected, oneshot::channel().0)]);
}

fn set_inventory(recorder: &mut Recorder, input: u8) {
    let listed = Listed { name: "Chapel".into(), enabled: None };
    let inputs = [(input_id(input), listed)].into();
    recorder.fold.set_inventory(Inventory { account_id: AccountId::from_bytes([0xac; 16]), inputs });
}

fn is_expected(state: &State, input: u8) -> bool {
    state.expected(&input_id(input), clock::now())
}

#[test]
fn answered_exception_is_durable_and_visible_and_no_correction_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    submit(&running, event(1, EventKind::Connected, 50)).unwrap();
    let last = || SqliteJournal::open_to_read(folder.path()).unwrap().last_position();
    let before = last();
    for (input, expected, outcome, records) in [
        (1, None, CorrectionOutcome::Unchanged, 0),
        (1, Some(true), CorrectionOutcome::Recorded, 1),
        (1, Some(false), CorrectionOutcome::Recorded, 2),
        (1, None, CorrectionOutcome::Recorded, 3),
        (1, None, CorrectionOutcome::Unchanged, 3),
        (2, Some(true), CorrectionOutcome::UnknownInput, 3),
    ] {
        let answer = running.handle.except(exception(input, expected, clock::now())).unwrap();
        assert_eq!(answer.blocking_recv().unwrap(), Some(outcome), "{input} {expected:?}");
        assert_eq!(last() - before, records, "{input} {expected:?}");
        assert_eq!(is_expected(&view(&running).state, 1), expected == Some(true) && input == 1, "{expected:?}");
    }
    assert_eq!(view(&running).journal_events, 1, "exceptions are no events");
    finish(running);
}

#[test]
fn exceptions_count_as_no_corrections() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    connect(&mut recorder, 1);
    except(&mut recorder, 1, Some(true));
    except(&mut recorder, 1, None);
    let count = |to: &str| recorder.metrics.corrections.with_label_values(&["operator", to]).get();
    assert_eq!(Corrected::LABELS.map(count), [0, 0, 0]);
}

#[test]
fn exception_of_an_input_without_records_survives_a_crash_with_and_without_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules { configured: [input_id(1)].into(), ..rules() };
    let mut recorder = idle_recorder(folder.path(), Limits { rules, ..limits() });
    set_inventory(&mut recorder, 2);
    for (input, expected) in
        [(1, Some(true)), (2, Some(true)), (1, Some(false)), (2, Some(false)), (1, None), (2, None), (2, Some(true))]
    {
        assert_eq!(except(&mut recorder, input, expected), CorrectionOutcome::Recorded);
        check_crash(folder.path(), &recorder);
        recorder.save_checkpoint().unwrap();
        check_crash(folder.path(), &recorder);
    }
    assert_eq!(recorder.journal.checkpoint().unwrap().unwrap().position, recorder.journal.last_position());
    assert_eq!([1, 2].map(|input| is_expected(recorder.fold.state(), input)), [false, true]);
}

#[test]
fn exception_of_a_forgotten_and_configured_input_survives_with_the_moment_of_forgetting() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules { configured: [input_id(1)].into(), ..rules() };
    let mut recorder = idle_recorder(folder.path(), Limits { rules, ..limits() });
    connect(&mut recorder, 1);
    except(&mut recorder, 1, Some(true));
    corrections::correct(&mut recorder, 1, Corrected::Forgotten);
    assert!(!is_expected(recorder.fold.state(), 1), "it is forgotten, too");
    except(&mut recorder, 1, Some(true));
    recorder.save_checkpoint().unwrap();
    check_crash(folder.path(), &recorder);
    assert!(recorder.fold.state().forgotten().get(&input_id(1)).is_some());
    assert!(is_expected(recorder.fold.state(), 1));
}

#[test]
fn exceptions_are_dropped_a_day_after_their_end_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    (1..=3).for_each(|input| connect(&mut recorder, input));
    let now = clock::now();
    for (input, hours_ago) in [(1, 0), (2, 24), (3, 30)] {
        except_at(&mut recorder, input, Some(true), now.minus(HOUR * hours_ago));
    }
    recorder.save_checkpoint().unwrap();
    recorder.drop_exceptions();
    let kept = |state: &State| [1, 2, 3].map(|input| state.exceptions().get(&input_id(input)).is_some());
    assert_eq!(kept(recorder.fold.state()), [true, true, false]);
    recorder.save_checkpoint().unwrap();
    check_crash(folder.path(), &recorder);
}

#[test]
fn exception_in_the_journal_of_a_stopped_recorder_is_found_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let account_id = AccountId::from_bytes([0xac; 16]);
    let with_account = Limits { accounts: [(account_id, "main".into())].into(), ..limits() };
    let running = recorder(folder.path());
    submit(&running, event(1, EventKind::Connected, 50)).unwrap();
    running.handle.adopt(with_account.clone());
    let mut version = running.handle.state_reader().version();
    version.mark_unchanged();
    let listed = Listed { name: "Chapel".into(), enabled: None };
    running.handle.set_inventory(Inventory { account_id, inputs: [(input_id(2), listed)].into() });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while view(&running).state.known_count() < 2 {
        runtime.block_on(version.changed()).unwrap();
    }
    finish(running);
    for (input, expected, outcome) in [
        (1, None, CorrectionOutcome::Unchanged),
        (1, Some(true), CorrectionOutcome::Recorded),
        (2, Some(true), CorrectionOutcome::Recorded),
        (3, Some(true), CorrectionOutcome::UnknownInput),
    ] {
        let mut journal = SqliteJournal::open(folder.path()).unwrap();
        let exception = exception(input, expected, clock::now());
        assert_eq!(except_stopped(&mut journal, &rules(), exception).unwrap(), outcome, "{input} {expected:?}");
        journal.close().unwrap();
    }
    let recorder = idle_recorder(folder.path(), with_account);
    assert_eq!([1, 2, 3].map(|input| is_expected(recorder.fold.state(), input)), [true, true, false]);
}

#[test]
fn clock_that_is_set_back_brings_an_exception_of_the_future_into_force_at_any_slice_of_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    (1..=3).for_each(|input| connect(&mut recorder, input));
    recorder.save_checkpoint().unwrap();
    let ahead = clock::now().plus(HOUR);
    (1..=3)
        .for_each(|input| assert_eq!(except_at(&mut recorder, input, Some(true), ahead), CorrectionOutcome::Recorded));
    assert!(!is_expected(recorder.fold.state(), 1));
    recorder.dirty_inputs.begin_checkpoint();
    let save = |recorder: &mut Recorder| recorder.save(recorder.dirty_inputs.next_slice(1, |_| 1)).unwrap();
    save(&mut recorder);
    // As after a start with a clock that was ahead.
    recorder.recorded_until = ahead;
    recorder.set_clock_back();
    assert_eq!([1, 2, 3].map(|input| is_expected(recorder.fold.state(), input)), [true; 3]);
    for _ in 0..3 {
        check_crash(folder.path(), &recorder);
        save(&mut recorder);
        recorder.dirty_inputs.begin_checkpoint();
    }
    check_crash(folder.path(), &recorder);
}
