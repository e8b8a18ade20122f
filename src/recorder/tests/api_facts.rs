//! What Cloudflare's API says, on a real journal.

use super::housekeeping::{check_crash, idle_recorder};
use super::*;
use crate::event::{AccountId, EventSource, Observation, Observed, Timestamp};
use crate::live::{Inventory, Listed};

const ACCOUNT: AccountId = AccountId::from_bytes([0xac; 16]);

fn with_account() -> Limits {
    Limits { accounts: [(ACCOUNT, "main".into())].into(), ..limits() }
}

fn input_id(input: u8) -> InputId {
    InputId::from_bytes([input; 16])
}

fn observation(recorder: &Recorder, input: u8, found: Observed) -> Observation {
    let input_id = input_id(input);
    let events = recorder.fold.state().inputs().get(&input_id).map_or(0, |entry| entry.input.event_count());
    Observation { input_id, found, at: clock::now(), events, account_id: ACCOUNT }
}

fn inventory(inputs: &[u8]) -> Inventory {
    let listed = |input: &u8| (input_id(*input), Listed { name: "Chapel".into(), enabled: Some(false) });
    Inventory { account_id: ACCOUNT, inputs: inputs.iter().map(listed).collect() }
}

fn connect(recorder: &mut Recorder, input: u8) {
    let connected = delivery(event(input, EventKind::Connected, 50));
    recorder.record_deliveries(vec![(connected, oneshot::channel().0)]);
}

#[test]
fn observations_are_durable_and_counted_if_they_change_something() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), with_account());
    connect(&mut recorder, 1);
    for found in [Observed::Connected, Observed::Disconnected, Observed::Disconnected, Observed::Deleted] {
        recorder.observe(observation(&recorder, 1, found));
        check_crash(folder.path(), &recorder);
    }
    let outdated = Observation { events: 3, ..observation(&recorder, 1, Observed::Connected) };
    recorder.observe(outdated);
    let count = |source: &str, to: &str| recorder.metrics.corrections.with_label_values(&[source, to]).get();
    assert_eq!(Observed::LABELS.map(|to| count("cloudflare", to)), [0, 1, 1]);
    assert_eq!(Observed::LABELS.map(|to| count("operator", to)), [0, 0, 0]);
    let forgotten = |reason: &str| recorder.metrics.inputs_forgotten.with_label_values(&[reason]).get();
    assert_eq!(["silent", "operator", "deleted"].map(forgotten), [0, 0, 1]);
    assert_eq!(recorder.journal.events(), 1, "observations are no events");
}

#[test]
fn deletion_of_an_input_without_records_survives_a_restart_from_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), with_account());
    recorder.observe(observation(&recorder, 1, Observed::Deleted));
    recorder.save_checkpoint().unwrap();
    let forgotten = recorder.fold.state().forgotten().clone();
    assert!(forgotten.get(&input_id(1)).is_some());
    let restored = restore(&SqliteJournal::open_to_read(folder.path()).unwrap(), &rules()).unwrap();
    assert_eq!(*restored.fold.state().forgotten(), forgotten);
}

#[test]
fn events_of_the_history_are_recorded_once_and_have_no_delivery_delay() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = idle_recorder(folder.path(), with_account());
    connect(&mut recorder, 1);
    let from_history = |input, kind, seconds_ago| {
        let Notification::Event(mut event) = event(input, kind, seconds_ago) else { unreachable!() };
        event.origin.source = EventSource::History;
        event
    };
    let known = recorder.journal.newest_events(1).unwrap()[0].event().unwrap().clone();
    let missed = [from_history(1, EventKind::Disconnected, 40), from_history(2, EventKind::Connected, 30)];
    let events: Vec<_> = std::iter::once(known).chain(missed).collect();
    for (new, known) in [(2, 1), (0, 3)] {
        let (answer_tx, answer) = oneshot::channel();
        recorder.record_history(events.clone(), answer_tx);
        let outcome = HistoryOutcome { new, known, ..HistoryOutcome::default() };
        assert_eq!(answer.blocking_recv(), Ok(Some(outcome)));
    }
    let recent = recorder.state_reader.recent_deliveries(10).unwrap();
    let sources = recent.iter().filter_map(|recent| Some(recent.event.as_ref()?.origin.source));
    assert_eq!(sources.collect::<Vec<_>>(), [EventSource::History, EventSource::History, EventSource::Webhook]);
    assert_eq!(recorder.journal.events(), 3);
    assert_eq!(recorder.metrics.appends.get(), 3);
    assert_eq!(recorder.fold.state().totals().delivery_delay.count(), 1);
    check_crash(folder.path(), &recorder);
}

#[test]
fn inventory_survives_a_restart_and_that_of_another_account_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let running = recorder(folder.path());
    running.handle.adopt(with_account());
    let mut version = running.handle.state_reader().version();
    version.mark_unchanged();
    running.handle.set_inventory(Inventory { account_id: AccountId::from_bytes([1; 16]), ..inventory(&[8]) });
    running.handle.set_inventory(inventory(&[3, 4]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while view(&running).state.known_count() < 2 {
        runtime.block_on(version.changed()).unwrap();
    }
    finish(running);
    let recorder = idle_recorder(folder.path(), with_account());
    let state = recorder.fold.state();
    assert_eq!(state.known(None).map(|(input_id, _)| input_id).collect::<Vec<_>>(), [input_id(3), input_id(4)]);
    assert_eq!((state.name(&input_id(3)), state.inventory(&ACCOUNT)), ("Chapel", Some(&inventory(&[3, 4]))));
    drop(recorder);
    let recorder = idle_recorder(folder.path(), limits());
    assert_eq!(recorder.fold.state().known_count(), 0, "the account is no longer configured");
}

#[test]
fn downtime_is_from_the_last_note_to_the_start_and_must_be_backfilled_once() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = idle_recorder(folder.path(), limits());
    assert_eq!(recorder.downtime, None, "it has not run before");
    let noted = clock::now();
    drop(recorder);
    let mut recorder = idle_recorder(folder.path(), limits());
    let downtime = recorder.downtime.unwrap();
    assert!(downtime.from <= noted && noted <= downtime.until, "{noted} {downtime:?}");
    assert_eq!(downtime.backfill_from, Some(downtime.from));
    // If it is not backfilled, the next one has to go back further.
    drop(recorder);
    recorder = idle_recorder(folder.path(), limits());
    let second = recorder.downtime.unwrap();
    assert!(second.from > downtime.from);
    assert_eq!(second.backfill_from, Some(downtime.from));
    recorder.end_backfill().unwrap();
    assert_eq!(recorder.state_reader.view().unwrap().downtime.unwrap().backfill_from, None::<Timestamp>);
    drop(recorder);
    let third = idle_recorder(folder.path(), limits()).downtime.unwrap();
    assert_eq!(third.backfill_from, Some(third.from));
}
