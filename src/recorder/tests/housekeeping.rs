//! What a recorder does between batches, done by hand.

use super::*;
use crate::recorder::dirty_inputs::Slice;

fn record(recorder: &mut Recorder, notification: Notification) {
    recorder.record(vec![(delivery(notification), oneshot::channel().0)]);
}

/// A recorder that nobody runs, on a new journal.
fn idle_recorder(folder: &Path, limits: Limits) -> Recorder {
    let journal = Journal::open(folder).unwrap();
    let state_reader = StateReader { published: Arc::default(), readiness: Arc::default(), folder: folder.into() };
    let metrics = Arc::new(Exporter::new(clock::now(), false));
    Recorder::restored(journal, limits, (sync_channel(1).1, sync_channel(1).1), state_reader, metrics).unwrap()
}

#[test]
fn what_is_past_its_time_goes_once_the_checkpoint_has_it_and_what_it_amounts_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let moment = Duration::from_nanos(1);
    let limits = Limits { retention: moment, forget_after: moment, ..limits() };
    let mut recorder = idle_recorder(folder.path(), limits.clone());
    for (input, kind) in [(1, EventKind::Connected), (2, EventKind::Disconnected)] {
        record(&mut recorder, event(input, kind, 30));
    }
    assert_eq!(recorder.expire().unwrap(), 0, "the checkpoint does not have them yet");
    recorder.save_checkpoint().unwrap();
    assert_eq!(recorder.expire().unwrap(), 2);
    recorder.forget_silent_inputs();
    recorder.save_checkpoint().unwrap();

    let known = |fold: &Fold| fold.state().inputs().keys().copied().collect::<Vec<_>>();
    let connected = InputId::from_bytes([1; 16]);
    assert_eq!((known(&recorder.fold), recorder.journal.events()), (vec![connected], 0));
    let restored = restore(&Journal::open_to_read(folder.path()).unwrap(), limits.rules).unwrap();
    assert_eq!(restored.fold.state().inputs(), recorder.fold.state().inputs());
}

#[test]
fn damaged_checkpoints_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    submit(&running, event(1, EventKind::Connected, 0)).unwrap();
    finish(running);
    let path = folder.path().join(DATABASE_FILE);
    let check = |damage: &str, expected: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        let error = restore(&Journal::open_to_read(folder.path()).unwrap(), limits().rules).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
    };
    let input = "input 01010101010101010101010101010101";
    check("UPDATE inputs SET identities = x'00'", &format!("{input} is damaged: its identities cannot be read"));
    check("UPDATE inputs SET state = '{'", &format!("{input} is damaged: its state cannot be read"));
    check("UPDATE checkpoint SET state = ''", "the checkpoint is damaged: its state cannot be read");
}

/// A recorder that knows five inputs, of which none is saved.
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
fn a_change_of_rules_is_saved_with_everything_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_five_inputs(folder.path());
    recorder.dirty_inputs.begin_checkpoint();
    recorder.save(small_slice(&recorder)).unwrap();
    assert_eq!(small_slice(&recorder), Slice::Partial(2));
    recorder.dirty_inputs.change_rules();
    assert_eq!(small_slice(&recorder), Slice::Everything);
    recorder.save(small_slice(&recorder)).unwrap();
    assert!(recorder.dirty_inputs.is_empty() && !recorder.dirty_inputs.checkpoint_in_progress());
}

#[test]
fn a_slice_is_as_small_as_it_may_be_and_has_one_input_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_five_inputs(folder.path());
    let slice = |recorder: &Recorder, limit| recorder.dirty_inputs.next_slice(limit, |_| 10);
    assert_eq!(slice(&recorder, 100), Slice::Partial(0), "no checkpoint was begun");
    recorder.dirty_inputs.begin_checkpoint();
    for (limit, count) in [(0, 1), (10, 1), (29, 2), (30, 3), (1000, 5)] {
        assert_eq!(slice(&recorder, limit), Slice::Partial(count), "{limit}");
    }
}

#[test]
fn a_reload_that_changes_no_rules_leaves_the_checkpoint_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    record(&mut recorder, event(1, EventKind::Connected, 30));
    recorder.adopt(Limits { retention: Duration::from_secs(60), ..limits() });
    assert!(!recorder.dirty_inputs.is_empty());
}

#[test]
fn a_clock_that_has_jumped_ahead_makes_nothing_old() {
    let folder = tempfile::tempdir().unwrap();
    let moment = Duration::from_nanos(1);
    let mut recorder = idle_recorder(folder.path(), Limits { retention: moment, forget_after: moment, ..limits() });
    record(&mut recorder, event(1, EventKind::Disconnected, 30));
    recorder.save_checkpoint().unwrap();
    // To a retention_clock of an hour ago it is as if the clock had jumped to now.
    recorder.retention_clock = RetentionClock::new(clock::now().minus(Duration::from_secs(3600)));
    assert_eq!((recorder.expire().unwrap(), recorder.forget_silent_inputs()), (0, 0));
    recorder.retention_clock = RetentionClock::new(clock::now());
    assert_eq!((recorder.expire().unwrap(), recorder.forget_silent_inputs()), (1, 1));
}

#[test]
fn what_is_forgotten_is_so_before_it_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { forget_after: Duration::from_nanos(1), ..limits() };
    let mut recorder = idle_recorder(folder.path(), limits);
    record(&mut recorder, event(1, EventKind::Disconnected, 30));
    recorder.save_checkpoint().unwrap();
    assert_eq!(recorder.forget_silent_inputs(), 1);
    check_crash(folder.path(), &recorder);
}

/// A recorder on whose checkpoint there are so many silent inputs, by number, and they are to be forgotten.
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
fn what_is_due_every_minute_is_done_in_parts_until_it_is_all_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_silent_inputs(folder.path(), 250);
    let parts: Vec<(bool, usize)> =
        (0..4).map(|_| (recorder.expire_or_forget(), recorder.fold.state().inputs().len())).collect();
    assert_eq!(parts, [(true, 150), (true, 50), (false, 0), (false, 0)]);
}

#[test]
fn a_checkpoint_names_few_of_the_many_that_are_forgotten_while_others_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = with_silent_inputs(folder.path(), 1000);
    let mut most = 0;
    while recorder.fold.state().inputs().len() > 1 {
        record(&mut recorder, numbered(3000, EventKind::Connected, 0));
        recorder.pause = Duration::ZERO;
        if recorder.dirty_inputs.checkpoint_in_progress() {
            recorder.run_due_task();
        } else {
            recorder.forget_silent_inputs();
        }
        most = most.max(recorder.dirty_inputs.gone_count());
        check_crash(folder.path(), &recorder);
    }
    assert_eq!(most, 500);
}

#[test]
fn nothing_waits_longer_for_the_next_probe_of_a_failing_journal_because_the_last_one_took_long() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    recorder.run_due_task();
    assert!(!recorder.pause.is_zero());
    recorder.state_reader.readiness.set_journal_error(Some(journal::JournalErrorKind::Busy));
    recorder.pause = Duration::ZERO;
    recorder.run_due_task();
    assert_eq!(recorder.pause, Duration::ZERO);
}

/// What a restart after a crash at this moment would know is what the recorder knows.
fn check_crash(folder: &Path, recorder: &Recorder) {
    let restored = restore(&Journal::open_to_read(folder).unwrap(), limits().rules).unwrap();
    let (found, known) = (restored.fold.state(), recorder.fold.state());
    assert_eq!(found.inputs(), known.inputs());
    assert_eq!(found.totals(), known.totals());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_crash_between_any_two_slices_of_a_checkpoint_loses_and_doubles_nothing(
        steps in proptest::collection::vec((0u8..14, 1u8..7, 0u64..500), 1..60)
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
                    recorder.save(recorder.dirty_inputs.next_slice(1, |_| 1)).unwrap();
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
