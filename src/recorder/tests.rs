//! The recorder on a real journal.

mod api_facts;
mod corrections;
mod exceptions;
mod housekeeping;
mod shared;

use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::handle::Queue;
use super::run_loop::Recorder;
use super::state_reader::{Published, ScrapeWait};
use super::*;
use crate::clock;
use crate::event::{Event, EventKind, Origin};
use crate::journal::{DATABASE_FILE, SqliteJournal};
use crate::live::{PendingChange, State, View};
use crate::metrics::Exporter;

fn rules() -> Rules {
    Rules {
        reconnect_window: Duration::from_secs(60),
        reorder_window: Duration::from_secs(300),
        max_inputs: 100,
        configured: BTreeSet::new(),
    }
}

fn limits() -> Limits {
    Limits {
        rules: rules(),
        retention: Duration::from_secs(86_400),
        forget_after: Duration::ZERO,
        accounts: BTreeMap::new(),
        configured: BTreeMap::new(),
        secrets: ["default".to_owned()].into(),
    }
}

fn recorder(folder: &Path) -> Running {
    let metrics = Arc::new(Exporter::new(clock::now(), false));
    let journal = SqliteJournal::open(folder).unwrap();
    let mut running = start(journal, limits(), 64, metrics).unwrap();
    running.restored.blocking_recv().unwrap();
    running.restored = oneshot::channel().1;
    running
}

fn delivery(notification: Notification) -> Delivery {
    let body = Bytes::from_static(b"{}");
    let (received_at, reservation) = (clock::now(), Reservation::default());
    Delivery { received_at, peer: None, secret: "default".into(), notification, body, kept: None, reservation }
}

fn event(input: u8, kind: EventKind, seconds_ago: u64) -> Notification {
    let now = clock::now();
    Notification::Event(Event {
        input_id: InputId::from_bytes([input; 16]),
        kind,
        updated_at: now.minus(Duration::from_secs(seconds_ago)),
        sent_at: Some(now),
        received_at: now,
        origin: Origin::default(),
    })
}

fn submit(running: &Running, notification: Notification) -> Option<Outcome> {
    running.handle.record(delivery(notification)).unwrap().blocking_recv().unwrap()
}

fn view(running: &Running) -> View {
    running.handle.state_reader().view().unwrap()
}

fn scrape(running: &Running) -> View {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(running.handle.state_reader().scrape()).unwrap()
}

fn finish(running: Running) {
    running.handle.finish();
    running.thread.join().unwrap().unwrap();
}

#[test]
fn answered_event_is_in_the_journal_and_in_the_view() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    let connected = event(1, EventKind::Connected, 0);
    assert_eq!(submit(&running, connected.clone()), Some(Outcome::Recorded));
    assert_eq!(submit(&running, connected), Some(Outcome::Duplicate));
    assert_eq!(submit(&running, Notification::Test), Some(Outcome::Test));
    let ignored = IgnoredReason::NoData;
    assert_eq!(submit(&running, Notification::Ignored(ignored)), Some(Outcome::Ignored(ignored)));
    assert_eq!(SqliteJournal::open_to_read(folder.path()).unwrap().events(), 1);
    let view = view(&running);
    assert_eq!((view.journal_events, view.state.inputs().len()), (1, 1));
    let deliveries = view.state.last_seen();
    assert!(deliveries.last_test.is_some() && deliveries.last >= deliveries.last_test);
    assert_eq!(deliveries.by_secret.keys().collect::<Vec<_>>(), ["default"]);
    let outcomes: Vec<_> =
        running.handle.state_reader().recent_deliveries(3).unwrap().iter().map(|newest| newest.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ignored(ignored), Outcome::Test, Outcome::Duplicate]);
    finish(running);
}

#[test]
fn restart_finds_the_same_state_with_and_without_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    for input in 1..=9 {
        submit(&running, event(input, EventKind::Connected, u64::from(input) * 50)).unwrap();
        submit(&running, event(input, EventKind::Disconnected, u64::from(input) * 10)).unwrap();
    }
    // It has no event, but its time is recorded.
    submit(&running, Notification::Test).unwrap();
    let before = view(&running);
    // A crash leaves the files as they are now.
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    finish(running);
    for (folder, replayed) in [(folder.path(), 0), (crashed.path(), 18)] {
        let restored = restore(&SqliteJournal::open_to_read(folder).unwrap(), &rules()).unwrap();
        assert_eq!(restored.replayed, replayed);
        let running = recorder(folder);
        let view = view(&running);
        assert_eq!(view.state.inputs(), before.state.inputs());
        assert_eq!(view.state.totals(), before.state.totals());
        assert_eq!(view.state.last_seen(), before.state.last_seen());
        assert_eq!((view.restored_inputs, view.journal_events), (9, 18));
        assert_eq!(running.handle.state_reader().recent_deliveries(100).unwrap().len(), 18);
        finish(running);
    }
}

#[test]
fn backlog_counts_by_event_time_unless_a_scrape_has_shown_more() {
    let connected_seconds = |scraped: bool| {
        let folder = tempfile::tempdir().unwrap();
        let running = recorder(folder.path());
        submit(&running, event(1, EventKind::Connected, 5000)).unwrap();
        view(&running);
        if scraped {
            scrape(&running);
        }
        submit(&running, event(1, EventKind::Disconnected, 4000)).unwrap();
        let view = scrape(&running);
        finish(running);
        view.state
            .inputs()
            .values()
            .map(|entry| entry.input.counters(view.as_of, view.state.rules()).connected_time.as_secs())
            .sum::<u64>()
    };
    assert!((1000..1060).contains(&connected_seconds(false)), "views for people do not count");
    assert!((5000..5060).contains(&connected_seconds(true)));
}

#[test]
fn events_of_one_batch_count_by_event_time() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    let both = [(EventKind::Connected, 50), (EventKind::Disconnected, 45)];
    let answers = both.map(|(kind, ago)| running.handle.queue(delivery(event(1, kind, ago))).unwrap());
    running.handle.wake();
    for answer in answers {
        assert_eq!(answer.blocking_recv().unwrap(), Some(Outcome::Recorded));
    }
    let view = scrape(&running);
    finish(running);
    let seconds = |entry: &Arc<crate::live::InputEntry>| {
        entry.input.counters(view.as_of, view.state.rules()).connected_time.as_secs_f64()
    };
    assert_eq!(view.state.inputs().values().map(seconds).sum::<f64>().round(), 5.0);
}

#[test]
fn full_queue_rejects_deliveries_and_keeps_accepted_ones() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    // The recorder waits for the lock with the first batch.
    let blocker = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut answers = Vec::new();
    let refused =
        (0..1000u64).find_map(|second| match running.handle.record(delivery(event(1, EventKind::Connected, second))) {
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
    assert_eq!(SqliteJournal::open_to_read(folder.path()).unwrap().events(), recorded);
}

#[test]
fn deliveries_that_are_queued_before_a_wake_up_share_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    let events = (0..60).map(|input| delivery(event(input, EventKind::Connected, 0)));
    let answers: Vec<_> = events.map(|event| running.handle.queue(event).unwrap()).collect();
    running.handle.wake();
    assert!(answers.into_iter().all(|answer| answer.blocking_recv().unwrap() == Some(Outcome::Recorded)));
    finish(running);
    let entries = SqliteJournal::open_to_read(folder.path()).unwrap().newest_events(60).unwrap();
    assert!(entries.iter().all(|entry| entry.recorded_at == entries[0].recorded_at), "a batch has one time");
}

#[test]
fn view_is_absent_until_the_state_is_restored() {
    let published = Published::default();
    assert!(published.scrape(clock::now(), clock::wall()).is_none());
    published.restored(3, std::iter::empty(), clock::now());
    assert!(published.scrape(clock::now(), clock::wall()).is_none());
    published.set_journal_size(5, None);
    published.change(clock::now(), None, 7, &[], State::default);
    let view = published.scrape(clock::now(), clock::wall()).unwrap();
    assert_eq!((view.restored_inputs, view.journal_events, view.journal_size_bytes), (3, 7, 5));
}

#[test]
fn scrape_waits_for_the_batch_and_shows_it() {
    let reader = StateReader::default();
    reader.published.change(clock::now(), None, 1, &[], State::default);
    let shown_until = reader.published.begin_change();
    let batch = async {
        let version = *reader.version().borrow();
        reader.published.change(clock::now(), None, 2, &[], State::default);
        assert_ne!(*reader.version().borrow(), version);
        // The next batch begins before the scrape continues.
        reader.published.begin_change()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (view, next) = runtime.block_on(futures_util::future::join(reader.scrape(), batch));
    let view = view.unwrap();
    assert_eq!((view.journal_events, view.as_of), (2, next));
    assert!(next > shown_until, "the end of the batch advanced the shown time");
}

#[test]
fn pending_change_is_not_shown_unless_the_disk_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    let change = PendingChange { connected: false, updated_at: clock::now() };
    running.handle.state_reader().note_pending(InputId::from_bytes([1; 16]), change);
    assert!(view(&running).pending.is_empty() && scrape(&running).pending.is_empty());
    finish(running);
}

#[test]
fn rules_take_effect_only_once_they_are_durable() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = housekeeping::idle_recorder(folder.path(), limits());
    let blocker = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let other = Rules { max_inputs: 7, ..rules() };
    recorder.adopt(Limits { rules: other.clone(), ..limits() });
    assert_eq!((recorder.fold.state().rules(), recorder.rules_pending), (&rules(), true));
    blocker.execute_batch("ROLLBACK").unwrap();
    recorder.change_rules();
    assert_eq!((recorder.fold.state().rules(), recorder.rules_pending), (&other, false));
    let restored = restore(&SqliteJournal::open_to_read(folder.path()).unwrap(), &rules()).unwrap();
    assert_eq!(restored.fold.state().rules(), &other);
}

proptest! {
    #[test]
    fn scrape_times_increase_except_while_a_change_is_in_progress(
        steps in proptest::collection::vec((0u8..6, 0i64..1000), 1..100)
    ) {
        let published = Published::default();
        published.change(Timestamp::EPOCH, None, 0, &[], State::default);
        let (mut changing_at, mut latest) = (None, Timestamp::EPOCH);
        for (step, nanos) in steps {
            let now = Timestamp::from_nanos(nanos);
            match step {
                0 => {
                    let shown_until = published.begin_change();
                    prop_assert!(shown_until >= latest);
                    changing_at.get_or_insert(shown_until);
                }
                1 => {
                    let waiting = published.lock().request_scrape() == ScrapeWait::Batch;
                    prop_assert_eq!(waiting, changing_at.is_some());
                }
                2 => {
                    published.end_change(now);
                    changing_at = None;
                }
                _ => {
                    let as_of = published.scrape(now, now).unwrap().as_of;
                    match changing_at {
                        Some(shown_until) => prop_assert_eq!(as_of, shown_until),
                        None => prop_assert!(as_of > latest && as_of >= now),
                    }
                    latest = as_of;
                }
            }
        }
    }
}
