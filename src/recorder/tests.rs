//! The recorder on a real journal.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::published::Published;
use super::unsaved::Slice;
use super::*;
use crate::event::{Event, EventKind};
use crate::journal::DATABASE_FILE;
use crate::metrics::LabelValues;

fn limits() -> Limits {
    let rules = Rules { reconnect_window: Duration::from_secs(60), max_inputs: 100 };
    let day = Duration::from_secs(86_400);
    Limits {
        rules,
        retention: day,
        forget_after: Duration::ZERO,
        configured: BTreeMap::new(),
        secrets: ["default".to_owned()].into(),
    }
}

fn recorder(folder: &Path) -> Running {
    let values = LabelValues { outcomes: &Outcome::NAMES, rejections: &[] };
    let metrics = Arc::new(Exporter::new(clock::now(), false, values));
    let mut running = start(Journal::open(folder).unwrap(), limits(), 64, metrics).unwrap();
    running.restored.blocking_recv().unwrap();
    running.restored = oneshot::channel().1;
    running
}

fn delivery(notification: Notification) -> Delivery {
    let body = Bytes::from_static(b"{}");
    Delivery { received_at: clock::now(), secret: "default".into(), notification, body }
}

fn event(input: u8, kind: EventKind, seconds_ago: u64) -> Notification {
    let now = clock::now();
    Notification::Event(Event {
        input_id: InputId::from_bytes([input; 16]),
        kind,
        updated_at: now.minus(Duration::from_secs(seconds_ago)),
        sent_at: Some(now),
        received_at: now,
    })
}

fn submit(running: &Running, notification: Notification) -> Option<Outcome> {
    running.handle.submit(delivery(notification)).unwrap().blocking_recv().unwrap()
}

fn finish(running: Running) {
    running.handle.finish();
    running.thread.join().unwrap().unwrap();
}

#[test]
fn whoever_is_answered_finds_the_event_in_the_journal_and_in_the_view() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    let connected = event(1, EventKind::Connected, 0);
    assert_eq!(submit(&running, connected.clone()), Some(Outcome::Recorded));
    assert_eq!(submit(&running, connected), Some(Outcome::Duplicate));
    assert_eq!(submit(&running, Notification::Test), Some(Outcome::Test));
    let ignored = IgnoredReason::NoData;
    assert_eq!(submit(&running, Notification::Ignored(ignored)), Some(Outcome::Ignored(ignored)));
    assert_eq!(Journal::open_to_read(folder.path()).unwrap().events(), 1);
    let view = running.handle.watch().view();
    assert_eq!((view.journal_events, view.state.inputs().len()), (1, 1));
    let deliveries = view.state.deliveries();
    assert!(deliveries.last_test.is_some() && deliveries.last >= deliveries.last_test);
    assert_eq!(deliveries.by_secret.keys().collect::<Vec<_>>(), ["default"]);
    let outcomes: Vec<_> = running.handle.watch().newest_deliveries(3).iter().map(|newest| newest.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ignored(ignored), Outcome::Test, Outcome::Duplicate]);
    finish(running);
}

#[test]
fn a_restart_finds_the_same_state_with_and_without_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    for input in 1..=9 {
        submit(&running, event(input, EventKind::Connected, u64::from(input) * 50)).unwrap();
        submit(&running, event(input, EventKind::Disconnected, u64::from(input) * 10)).unwrap();
    }
    // No event, and seen all the same.
    submit(&running, Notification::Test).unwrap();
    let before = running.handle.watch().view();
    // What a crash leaves: the files as they are now.
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    finish(running);
    for (folder, replayed) in [(folder.path(), 0), (crashed.path(), 18)] {
        let restored = restore(&Journal::open_to_read(folder).unwrap(), limits().rules).unwrap();
        assert_eq!(restored.replayed, replayed);
        let running = recorder(folder);
        let view = running.handle.watch().view();
        assert_eq!(view.state.inputs(), before.state.inputs());
        assert_eq!(view.state.totals(), before.state.totals());
        assert_eq!(view.state.deliveries(), before.state.deliveries());
        assert_eq!((view.restored_inputs, view.journal_events), (9, 18));
        assert_eq!(running.handle.watch().newest_deliveries(100).len(), 18);
        finish(running);
    }
}

#[test]
fn a_backlog_counts_as_it_was_unless_somebody_has_seen_more_of_it_meanwhile() {
    let connected_seconds = |looked: bool| {
        let folder = tempfile::tempdir().unwrap();
        let running = recorder(folder.path());
        submit(&running, event(1, EventKind::Connected, 5000)).unwrap();
        if looked {
            running.handle.watch().view();
        }
        submit(&running, event(1, EventKind::Disconnected, 4000)).unwrap();
        let view = running.handle.watch().view();
        finish(running);
        view.state.inputs().values().map(|known| known.input.connected_time(view.as_of).as_secs()).sum::<u64>()
    };
    assert!((1000..1060).contains(&connected_seconds(false)));
    assert!((5000..5060).contains(&connected_seconds(true)));
}

#[test]
fn a_full_queue_refuses_and_loses_nothing_that_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    // Somebody else holds the database: the recorder waits for it with the first batch in hand.
    let blocker = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut answers = Vec::new();
    let refused =
        (0..1000u64).find_map(|second| match running.handle.submit(delivery(event(1, EventKind::Connected, second))) {
            Ok(answer) => {
                answers.push(answer);
                None
            }
            Err(refused) => Some(refused),
        });
    assert_eq!(refused, Some(Overloaded));
    blocker.execute_batch("ROLLBACK").unwrap();
    let recorded = answers.into_iter().filter_map(|answer| answer.blocking_recv().unwrap()).count() as u64;
    finish(running);
    assert_eq!(Journal::open_to_read(folder.path()).unwrap().events(), recorded);
}

/// A recorder that nobody runs, on a new journal.
fn idle_recorder(folder: &Path, limits: Limits) -> Recorder {
    let journal = Journal::open(folder).unwrap();
    let watch = Watch { published: Arc::default(), readiness: Arc::default(), folder: folder.into() };
    let metrics = Arc::new(Exporter::new(clock::now(), false, LabelValues { outcomes: &[], rejections: &[] }));
    Recorder::restored(journal, limits, sync_channel(1).1, watch, metrics).unwrap()
}

#[test]
fn what_is_past_its_time_goes_once_the_checkpoint_has_it_and_what_it_amounts_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let moment = Duration::from_nanos(1);
    let limits = Limits { retention: moment, forget_after: moment, ..limits() };
    let mut recorder = idle_recorder(folder.path(), limits.clone());
    for (input, kind) in [(1, EventKind::Connected), (2, EventKind::Disconnected)] {
        recorder.take(Message::Deliver(delivery(event(input, kind, 30)), oneshot::channel().0));
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

/// The next slice of two inputs.
fn small_slice(recorder: &Recorder) -> Slice {
    recorder.unsaved.next_slice(2, |_| 1)
}

#[test]
fn a_change_of_rules_is_saved_with_everything_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    for input in 1..=5 {
        let connected = event(input, EventKind::Connected, 30);
        recorder.take(Message::Deliver(delivery(connected), oneshot::channel().0));
    }
    recorder.unsaved.begin_round();
    recorder.save(small_slice(&recorder)).unwrap();
    assert_eq!(small_slice(&recorder), Slice::Round(2));
    recorder.unsaved.change_rules();
    assert_eq!(small_slice(&recorder), Slice::Everything);
    recorder.save(small_slice(&recorder)).unwrap();
    assert!(recorder.unsaved.is_empty() && !recorder.unsaved.round_under_way());
}

#[test]
fn a_slice_is_as_small_as_it_may_be_and_has_one_input_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    for input in 1..=5 {
        let connected = event(input, EventKind::Connected, 30);
        recorder.take(Message::Deliver(delivery(connected), oneshot::channel().0));
    }
    let slice = |recorder: &Recorder, limit| recorder.unsaved.next_slice(limit, |_| 10);
    assert_eq!(slice(&recorder, 100), Slice::Round(0), "no checkpoint was begun");
    recorder.unsaved.begin_round();
    for (limit, count) in [(0, 1), (10, 1), (29, 2), (30, 3), (1000, 5)] {
        assert_eq!(slice(&recorder, limit), Slice::Round(count), "{limit}");
    }
}

#[test]
fn a_reload_that_changes_no_rules_leaves_the_checkpoint_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    recorder.take(Message::Deliver(delivery(event(1, EventKind::Connected, 30)), oneshot::channel().0));
    recorder.adopt(Limits { retention: Duration::from_secs(60), ..limits() });
    assert!(!recorder.unsaved.is_empty());
}

#[test]
fn a_clock_that_has_jumped_ahead_makes_nothing_old() {
    let folder = tempfile::tempdir().unwrap();
    let moment = Duration::from_nanos(1);
    let mut recorder = idle_recorder(folder.path(), Limits { retention: moment, forget_after: moment, ..limits() });
    recorder.take(Message::Deliver(delivery(event(1, EventKind::Disconnected, 30)), oneshot::channel().0));
    recorder.save_checkpoint().unwrap();
    // To a calendar of an hour ago it is as if the clock had jumped to now.
    recorder.calendar = Calendar::new(clock::now().minus(Duration::from_secs(3600)));
    assert_eq!((recorder.expire().unwrap(), recorder.forget_silent_inputs()), (0, 0));
    recorder.calendar = Calendar::new(clock::now());
    assert_eq!((recorder.expire().unwrap(), recorder.forget_silent_inputs()), (1, 1));
}

#[test]
fn what_is_forgotten_is_so_before_it_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { forget_after: Duration::from_nanos(1), ..limits() };
    let mut recorder = idle_recorder(folder.path(), limits);
    recorder.take(Message::Deliver(delivery(event(1, EventKind::Disconnected, 30)), oneshot::channel().0));
    recorder.save_checkpoint().unwrap();
    assert_eq!(recorder.forget_silent_inputs(), 1);
    check_crash(folder.path(), &recorder);
}

/// A recorder on whose checkpoint there are so many silent inputs, by number, and they are to be forgotten.
fn with_silent_inputs(folder: &Path, count: u16) -> Recorder {
    let rules = Rules { max_inputs: 5000, ..limits().rules };
    let mut recorder = idle_recorder(folder, Limits { rules, forget_after: Duration::from_secs(60), ..limits() });
    for number in 0..count {
        recorder.take(numbered(number, EventKind::Disconnected, 90));
    }
    recorder.save_checkpoint().unwrap();
    recorder
}

fn numbered(number: u16, kind: EventKind, seconds_ago: u64) -> Message {
    let Notification::Event(event) = event(0, kind, seconds_ago) else { unreachable!("it is an event") };
    let mut input_id = [0; 16];
    input_id[..2].copy_from_slice(&number.to_be_bytes());
    let event = Event { input_id: InputId::from_bytes(input_id), ..event };
    Message::Deliver(delivery(Notification::Event(event)), oneshot::channel().0)
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
        recorder.take(numbered(3000, EventKind::Connected, 0));
        recorder.pause = Duration::ZERO;
        if recorder.unsaved.round_under_way() {
            recorder.do_duties();
        } else {
            recorder.forget_silent_inputs();
        }
        most = most.max(recorder.unsaved.gone_count());
        check_crash(folder.path(), &recorder);
    }
    assert_eq!(most, 500);
}

#[test]
fn nothing_waits_longer_for_the_next_probe_of_a_failing_journal_because_the_last_one_took_long() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), limits());
    recorder.do_duties();
    assert!(!recorder.pause.is_zero());
    recorder.watch.readiness.set_obstacle(Some(journal::Obstacle::Held));
    recorder.pause = Duration::ZERO;
    recorder.do_duties();
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
                0 => recorder.unsaved.begin_round(),
                1..4 => recorder.save(recorder.unsaved.next_slice(1, |_| 1)).unwrap(),
                4 => recorder.save_checkpoint().unwrap(),
                5 | 6 => {
                    recorder.limits.forget_after = Duration::from_secs(seconds_ago.max(1));
                    recorder.forget_silent_inputs();
                    recorder.save(recorder.unsaved.next_slice(1, |_| 1)).unwrap();
                }
                _ => {
                    let kind = if step % 2 == 0 { EventKind::Connected } else { EventKind::Disconnected };
                    recorder.take(Message::Deliver(delivery(event(input, kind, seconds_ago)), oneshot::channel().0));
                }
            }
            check_crash(folder.path(), &recorder);
        }
    }

    #[test]
    fn time_in_views_never_goes_back_and_stands_still_while_a_change_is_under_way(
        steps in proptest::collection::vec((0u8..4, 0i64..1000, any::<bool>()), 1..100)
    ) {
        let published = Published::default();
        let (mut frozen_at, mut latest) = (None, Timestamp::EPOCH);
        for (step, nanos, indifferent) in steps {
            let now = Timestamp::from_nanos(nanos);
            match step {
                0 if frozen_at.is_none() => {
                    let shown_until = published.freeze(now, indifferent);
                    prop_assert!(shown_until >= latest);
                    prop_assert!(!indifferent || shown_until >= now);
                    frozen_at = Some(shown_until);
                }
                1 => {
                    published.abandon();
                    frozen_at = None;
                }
                _ => {
                    let as_of = published.view(now).as_of;
                    prop_assert!(as_of >= latest);
                    prop_assert_eq!(as_of, frozen_at.unwrap_or(latest.max(now).max(as_of)));
                    latest = as_of;
                }
            }
        }
    }
}
