//! Housekeeping tasks, called directly.

use super::*;
use crate::event::Corrected;
use crate::live::Fold;
use crate::recorder::dirty_inputs::Slice;
use crate::recorder::retention_clock::RetentionClock;

fn record(recorder: &mut Recorder, notification: Notification) {
    recorder.record_deliveries(vec![(delivery(notification), oneshot::channel().0)]);
}

/// A recorder on a new journal, whose loop does not run.
pub(super) fn idle_recorder(folder: &Path, limits: Limits) -> Recorder {
    let journal = SqliteJournal::open(folder).unwrap();
    let metrics = Arc::new(Exporter::new(clock::now(), false));
    let queue = Queue { queue_rx: sync_channel(1).1, wake_rx: sync_channel(1).1, control: Arc::default() };
    Recorder::new(Box::new(journal), limits, queue, StateReader::default(), metrics).restored().unwrap()
}

#[test]
fn old_records_are_deleted_once_the_checkpoint_has_them_and_the_state_stays() {
    let folder = tempfile::tempdir().unwrap();
    let moment = Duration::from_nanos(1);
    let limits = Limits { retention: moment, forget_after: moment, ..limits() };
    let mut recorder = idle_recorder(folder.path(), limits.clone());
    for (input, kind) in [(1, EventKind::Connected), (2, EventKind::Disconnected)] {
        record(&mut recorder, event(input, kind, 30));
    }
    assert_eq!(recorder.expire().unwrap(), 0, "the checkpoint does not have them yet");
    recorder.save_checkpoint().unwrap();
    assert_eq!(recorder.expire().unwrap(), 3, "two events and the rules");
    recorder.forget_silent_inputs();
    recorder.save_checkpoint().unwrap();

    let known = |fold: &Fold| fold.state().inputs().keys().copied().collect::<Vec<_>>();
    let connected = InputId::from_bytes([1; 16]);
    assert_eq!((known(&recorder.fold), recorder.journal.events()), (vec![connected], 0));
    let restored = restore(&SqliteJournal::open_to_read(folder.path()).unwrap(), &limits.rules).unwrap();
    assert_eq!(restored.fold.state().inputs(), recorder.fold.state().inputs());
}

#[test]
fn damaged_row_of_a_checkpoint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    submit(&running, event(1, EventKind::Connected, 0)).unwrap();
    finish(running);
    let path = folder.path().join(DATABASE_FILE);
    let check = |damage: &str, expected: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        let error = restore(&SqliteJournal::open_to_read(folder.path()).unwrap(), &rules()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), crate::journal::JournalErrorKind::Damaged);
    };
    let input = "input 01010101010101010101010101010101";
    check("UPDATE inputs SET seen = x'00'", input);
    check("UPDATE inputs SET state = '{'", input);
    check("UPDATE inputs SET version = 2", input);
    check("UPDATE checkpoint SET state = ''", "the checkpoint");
    check("UPDATE checkpoint SET version = 2", "the checkpoint");
    check("UPDATE rules SET data = '{}'", "the checkpoint");
}

/// A recorder with five dirty inputs.
fn with_five_inputs(folder: &Path) -> Recorder {
    let mut recorder = idle_recorder(folder, limits());
    (1..=5).for_each(|input| record(&mut recorder, event(input, EventKind::Connected, 30)));
    recorder
}

/// The next slice of two inputs.
fn small_slice(recorder: &Recorder) -> Slice {
    recorder.dirty_inputs.next_slice(2, |_| 1)
}

#[test]
fn rules_of_a_checkpoint_are_those_at_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_five_inputs(folder.path());
    recorder.dirty_inputs.begin_checkpoint();
    let other = Rules { reconnect_window: Duration::from_secs(5), ..rules() };
    recorder.adopt(Limits { rules: other.clone(), ..limits() });
    record(&mut recorder, event(1, EventKind::Disconnected, 20));
    let saved_rules = |recorder: &Recorder| recorder.journal.checkpoint().unwrap().unwrap().rules;
    recorder.save(small_slice(&recorder)).unwrap();
    assert_eq!(saved_rules(&recorder), rules());
    check_crash(folder.path(), &recorder);
    recorder.save_checkpoint().unwrap();
    assert_eq!(saved_rules(&recorder), other);
    check_crash(folder.path(), &recorder);
}

#[test]
fn slice_has_at_least_one_input_and_no_more_than_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_five_inputs(folder.path());
    let slice = |recorder: &Recorder, limit| recorder.dirty_inputs.next_slice(limit, |_| 10);
    assert_eq!(slice(&recorder, 100), Slice::Partial(0), "no checkpoint is in progress");
    recorder.dirty_inputs.begin_checkpoint();
    for (limit, count) in [(0, 1), (10, 1), (29, 2), (30, 3), (1000, 5)] {
        assert_eq!(slice(&recorder, limit), Slice::Partial(count), "{limit}");
    }
}

#[test]
fn reload_that_changes_no_rules_appends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    record(&mut recorder, event(1, EventKind::Connected, 30));
    let last = recorder.journal.last_position();
    recorder.adopt(Limits { retention: Duration::from_secs(60), ..limits() });
    assert_eq!(recorder.journal.last_position(), last);
}

#[test]
fn clock_jump_ahead_expires_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let moment = Duration::from_nanos(1);
    let mut recorder = idle_recorder(folder.path(), Limits { retention: moment, forget_after: moment, ..limits() });
    record(&mut recorder, event(1, EventKind::Disconnected, 30));
    recorder.save_checkpoint().unwrap();
    // For a retention clock of an hour ago, the wall clock has jumped ahead.
    let an_hour_ago = clock::now().minus(Duration::from_secs(3600));
    recorder.retention_clock = RetentionClock::new(clock::now(), an_hour_ago);
    assert_eq!((recorder.expire().unwrap(), recorder.forget_silent_inputs()), (0, 0));
    recorder.retention_clock = RetentionClock::new(clock::now(), clock::now());
    assert_eq!((recorder.expire().unwrap(), recorder.forget_silent_inputs()), (2, 1));
}

#[test]
fn forgotten_input_stays_forgotten_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { forget_after: Duration::from_nanos(1), ..limits() };
    let mut recorder = idle_recorder(folder.path(), limits);
    record(&mut recorder, event(1, EventKind::Disconnected, 30));
    recorder.save_checkpoint().unwrap();
    assert_eq!(recorder.forget_silent_inputs(), 1);
    check_crash(folder.path(), &recorder);
}

/// A recorder with this many silent inputs, by number, in its checkpoint.
fn with_silent_inputs(folder: &Path, count: u16) -> Recorder {
    let rules = Rules { max_inputs: 5000, ..limits().rules };
    let mut recorder = idle_recorder(folder, Limits { rules, forget_after: Duration::from_secs(60), ..limits() });
    for number in 0..count {
        record(&mut recorder, numbered(number, EventKind::Disconnected, 90));
    }
    recorder.save_checkpoint().unwrap();
    recorder
}

fn numbered(number: u16, kind: EventKind, seconds_ago: u64) -> Notification {
    let Notification::Event(event) = event(0, kind, seconds_ago) else { unreachable!("it is an event") };
    let mut input_id = [0; 16];
    input_id[..2].copy_from_slice(&number.to_be_bytes());
    Notification::Event(Event { input_id: InputId::from_bytes(input_id), ..event })
}

#[test]
fn expiry_runs_in_parts_until_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_silent_inputs(folder.path(), 250);
    let parts: Vec<(bool, usize)> =
        (0..4).map(|_| (recorder.expire_or_forget(), recorder.fold.state().inputs().len())).collect();
    assert_eq!(parts, [(true, 150), (true, 50), (false, 0), (false, 0)]);
}

#[test]
fn list_of_forgotten_inputs_is_bounded_by_the_maximum_number_of_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_silent_inputs(folder.path(), 250);
    while recorder.expire_or_forget() {}
    assert_eq!(recorder.fold.state().forgotten().len(), 250);
    recorder.adopt(Limits { rules: Rules { max_inputs: 100, ..rules() }, ..recorder.limits.clone() });
    while recorder.fold.state().forgotten().len() > 100 {
        recorder.expire().unwrap();
    }
    // An old event about an input that is no longer listed does not bring it back.
    let known = recorder.fold.state().inputs().len();
    record(&mut recorder, numbered(0, EventKind::Connected, 91));
    assert_eq!(recorder.fold.state().inputs().len(), known);
    recorder.save_checkpoint().unwrap();
    let restored = restore(&SqliteJournal::open_to_read(folder.path()).unwrap(), &rules()).unwrap();
    assert_eq!(restored.fold.state().forgotten(), recorder.fold.state().forgotten());
}

#[test]
fn failing_journal_is_probed_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    recorder.run_due_task();
    assert!(!recorder.timers.pause.is_zero());
    recorder.state_reader.readiness.set_journal_error(Some(crate::journal::JournalErrorKind::Busy));
    recorder.timers.pause = Duration::ZERO;
    recorder.run_due_task();
    assert_eq!(recorder.timers.pause, Duration::ZERO);
}

/// Asserts that a restart after a crash now restores the state of the recorder.
pub(super) fn check_crash(folder: &Path, recorder: &Recorder) {
    let restored = restore(&SqliteJournal::open_to_read(folder).unwrap(), &rules()).unwrap();
    let (found, known) = (restored.fold.state(), recorder.fold.state());
    assert_eq!(found.inputs(), known.inputs());
    assert_eq!(found.totals(), known.totals());
    assert_eq!(found.forgotten(), known.forgotten());
    assert_eq!(found.exceptions(), known.exceptions());
    assert_eq!(found.rules(), known.rules());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn crash_between_any_two_slices_of_a_checkpoint_loses_and_repeats_nothing(
        steps in proptest::collection::vec((0u8..20, 1u8..7, 0u64..500), 1..60)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = idle_recorder(folder.path(), limits());
        for (step, input, seconds_ago) in steps {
            match step {
                0 => recorder.dirty_inputs.begin_checkpoint(),
                1..4 => recorder.save(recorder.dirty_inputs.next_slice(1, |_| 1)).unwrap(),
                4 => recorder.save_checkpoint().unwrap(),
                5 | 6 => {
                    recorder.limits.forget_after = Duration::from_secs(seconds_ago.max(1));
                    recorder.forget_silent_inputs();
                }
                7 => {
                    let rules = Rules { reconnect_window: Duration::from_secs(seconds_ago / 100), ..rules() };
                    recorder.adopt(Limits { rules, ..recorder.limits.clone() });
                }
                17..20 => {
                    let expected = [Some(true), Some(false), None][usize::from(step - 17)];
                    exceptions::except(&mut recorder, input, expected);
                }
                15 | 16 => {
                    let to = Corrected::ALL[usize::from(input % 3)];
                    corrections::correct(&mut recorder, input, to);
                }
                _ => {
                    let kind = if step % 2 == 0 { EventKind::Connected } else { EventKind::Disconnected };
                    record(&mut recorder, event(input, kind, seconds_ago));
                }
            }
            check_crash(folder.path(), &recorder);
        }
    }
}
