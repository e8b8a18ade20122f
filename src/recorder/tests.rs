//! The recorder on a real journal.

mod housekeeping;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::published::Published;
use super::*;
use crate::event::{Event, EventKind};
use crate::journal::DATABASE_FILE;

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
    let metrics = Arc::new(Exporter::new(clock::now(), false));
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
    let answer = running.handle.submit(delivery(notification)).unwrap();
    running.handle.wake();
    answer.blocking_recv().unwrap()
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
    let view = running.handle.state_reader().view();
    assert_eq!((view.journal_events, view.state.inputs().len()), (1, 1));
    let deliveries = view.state.last_seen();
    assert!(deliveries.last_test.is_some() && deliveries.last >= deliveries.last_test);
    assert_eq!(deliveries.by_secret.keys().collect::<Vec<_>>(), ["default"]);
    let outcomes: Vec<_> =
        running.handle.state_reader().recent_deliveries(3).iter().map(|newest| newest.outcome).collect();
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
    let before = running.handle.state_reader().view();
    // What a crash leaves: the files as they are now.
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    finish(running);
    for (folder, replayed) in [(folder.path(), 0), (crashed.path(), 18)] {
        let restored = restore(&Journal::open_to_read(folder).unwrap(), limits().rules).unwrap();
        assert_eq!(restored.replayed, replayed);
        let running = recorder(folder);
        let view = running.handle.state_reader().view();
        assert_eq!(view.state.inputs(), before.state.inputs());
        assert_eq!(view.state.totals(), before.state.totals());
        assert_eq!(view.state.last_seen(), before.state.last_seen());
        assert_eq!((view.restored_inputs, view.journal_events), (9, 18));
        assert_eq!(running.handle.state_reader().recent_deliveries(100).len(), 18);
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
            running.handle.state_reader().view();
        }
        submit(&running, event(1, EventKind::Disconnected, 4000)).unwrap();
        let view = running.handle.state_reader().view();
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
                running.handle.wake();
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

#[test]
fn what_is_submitted_before_it_is_woken_is_recorded_together() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    let events = (0..60).map(|input| delivery(event(input, EventKind::Connected, 0)));
    let answers: Vec<_> = events.map(|event| running.handle.submit(event).unwrap()).collect();
    running.handle.wake();
    assert!(answers.into_iter().all(|answer| answer.blocking_recv().unwrap() == Some(Outcome::Recorded)));
    finish(running);
    let entries = Journal::open_to_read(folder.path()).unwrap().newest(60).unwrap();
    assert!(entries.iter().all(|entry| entry.recorded_at == entries[0].recorded_at), "one batch has one time");
}

proptest! {
    #[test]
    fn time_in_views_never_goes_back_and_stands_still_while_a_change_is_under_way(
        steps in proptest::collection::vec((0u8..4, 0i64..1000, any::<bool>()), 1..100)
    ) {
        let published = Published::default();
        let (mut frozen_at, mut latest) = (None, Timestamp::EPOCH);
        for (step, nanos, advance) in steps {
            let now = Timestamp::from_nanos(nanos);
            match step {
                0 if frozen_at.is_none() => {
                    let shown_until = published.begin_change(now, advance);
                    prop_assert!(shown_until >= latest);
                    prop_assert!(!advance || shown_until >= now);
                    frozen_at = Some(shown_until);
                }
                1 => {
                    published.abandon();
                    frozen_at = None;
                }
                _ => {
                    let as_of = published.view(now, 0).as_of;
                    prop_assert!(as_of >= latest);
                    prop_assert_eq!(as_of, frozen_at.unwrap_or(latest.max(now).max(as_of)));
                    latest = as_of;
                }
            }
        }
    }
}
