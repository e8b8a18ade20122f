//! The four stages, one at a time. Every function returns the number of units.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, ensure};
use stream_live_exporter::accept::{self, Secrets};
use stream_live_exporter::event::{
    ErrorClass, ErrorCode, ErrorDetail, Event, EventKind, InputId, Notification, Origin, Record, RecordKind, Rules,
    Timestamp,
};
use stream_live_exporter::journal::SqliteJournal;
use stream_live_exporter::live::{Fold, LastSeen, Verdict, View, apply};
use stream_live_exporter::metrics::{Exporter, Exposition, Format};
use stream_live_exporter::schedule::{Configured, Expectation};

pub const SECRET: &str = "0f5a7e5be0d34c7a9b1c6b9e7d0a4f21";
/// 2026-11-22, later than every fixture.
pub const NOW: i64 = 1_795_300_000;
const INPUTS: usize = 1000;
const BATCH: usize = 64;
/// When deliveries were last seen: every batch writes it.
const LAST_SEEN: &str =
    r#"{"last":1795300000000000000,"last_test":1795300000000000000,"by_secret":{"default":1795300000000000000}}"#;
/// Maximum number of repetitions.
const EVENTS: usize = 16_384;

pub fn rules() -> Rules {
    Rules {
        reconnect_window: Duration::from_secs(60),
        reorder_window: Duration::from_secs(300),
        max_inputs: 10_000,
        ..Rules::default()
    }
}

pub fn exporter() -> Exporter {
    Exporter::new(Timestamp::from_seconds(NOW), false)
}

/// Authenticates and parses a notification.
pub fn accept(body: &[u8], times: usize) -> anyhow::Result<usize> {
    let secrets = Secrets::new([("old", "1b0c3d55d3f9a2c8"), ("new", SECRET)]);
    let now = Timestamp::from_seconds(NOW);
    let notification = accept::read(body, now)?.notification;
    ensure!(matches!(notification, Notification::Event(_)), "the fixture is not an event");
    for _ in 0..times {
        black_box(secrets.identify(black_box(SECRET.as_bytes())).context("unknown secret")?);
        black_box(accept::read(black_box(body), now)?);
    }
    Ok(times)
}

/// Folds events of a thousand inputs in batches.
pub fn fold(times: usize) -> usize {
    let records: Vec<Record> = (0..EVENTS).map(|number| record(event(number))).collect();
    let mut fold = Fold::new(rules());
    for batch in records[..times].chunks(BATCH) {
        let (changes, verdicts) = apply(&fold, batch);
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Recorded(_))), "every event is new");
        fold.adopt(changes);
    }
    times
}

/// Appends batches to the journal.
pub fn append(times: usize) -> anyhow::Result<usize> {
    let folder = tempfile::tempdir()?;
    let mut journal = SqliteJournal::open(folder.path())?;
    journal.recover_wal()?;
    let at = Timestamp::from_seconds(NOW);
    let new = |number| Record { recorded_at: at, shown_until: at, ..record(event(number)) };
    let mut batch: Vec<Record> = (0..BATCH).map(new).collect();
    for _ in 0..times {
        let mut append = journal.begin()?;
        append.records(batch.iter_mut())?;
        append.last_seen(LAST_SEEN)?;
        append.commit()?;
    }
    Ok(times * BATCH)
}

/// Exposes a thousand inputs. `written` may compress the output.
pub fn expose<I: Iterator<Item: AsRef<[u8]>>>(
    format: Format,
    written: impl Fn(Exposition) -> I,
    times: usize,
) -> usize {
    let (view, exporter) = (view(), exporter());
    let expose = || Exposition::new(view.clone(), &exporter, format);
    let text: Vec<u8> = expose().flatten().collect();
    let samples = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
    for _ in 0..times {
        written(expose()).for_each(|chunk| drop(black_box(chunk)));
    }
    times * samples
}

/// A thousand inputs with every family and label value.
fn view() -> View {
    let mut fold = Fold::new(Rules { configured: (0..INPUTS).map(input_id).collect(), ..rules() });
    let configured = |number| {
        (input_id(number), Configured { name: format!("Stage {number}").into(), expectation: Expectation::Always })
    };
    fold.set_configured((0..INPUTS).map(configured).collect::<BTreeMap<_, _>>());
    let mut records = Vec::new();
    let codes = ErrorClass::ALL.map(|class| errored(class.label()));
    let kinds = [EventKind::Connected, EventKind::Disconnected].into_iter().cycle().take(13).chain(codes);
    for (step, kind) in kinds.enumerate() {
        for number in 0..INPUTS {
            let seconds = (step * 500 + number) as u64;
            let updated_at = Timestamp::from_seconds(NOW).plus(Duration::from_secs(seconds));
            // A scrape before each record.
            let record = record(input_event(number, kind.clone(), updated_at));
            records.push(Record { recorded_at: updated_at, shown_until: updated_at, ..record });
        }
    }
    let (changes, _) = apply(&fold, &records);
    fold.adopt(changes);
    let mut last_seen = LastSeen::default();
    for (secret, test) in [("old", true), ("new", false)] {
        last_seen.record(Timestamp::from_seconds(NOW), Some(secret), test);
    }
    fold.set_last_seen(last_seen);
    View {
        state: fold.state().clone(),
        gauges: None,
        as_of: Timestamp::from_seconds(NOW + 100_000),
        wall_clock: Timestamp::from_seconds(NOW + 100_000),
        journal_events: 20_000,
        journal_size_bytes: 4_000_000,
        oldest_event: None,
        committed_at: None,
        restored_inputs: INPUTS,
        downtime: None,
        pending: Default::default(),
        shared: None,
    }
}

fn record(event: Event) -> Record {
    Record::new(RecordKind::Event(event, None))
}

/// One event per second, inputs in turn: connected and disconnected alternate, every tenth event is an error.
fn event(number: usize) -> Event {
    let (input, turn) = (number % INPUTS, number / INPUTS);
    let kind = match (number % 10, turn % 2) {
        (9, _) => errored(ErrorClass::ALL[input % 6].label()),
        (_, 0) => EventKind::Connected,
        _ => EventKind::Disconnected,
    };
    input_event(input, kind, Timestamp::from_seconds(NOW).plus(Duration::from_secs(number as u64)))
}

fn input_event(input: usize, kind: EventKind, updated_at: Timestamp) -> Event {
    let sent_at = Some(updated_at.plus(Duration::from_secs(1)));
    let received_at = updated_at.plus(Duration::from_millis(1500));
    Event { input_id: input_id(input), kind, updated_at, sent_at, received_at, origin: Origin::default() }
}

fn errored(code: &str) -> EventKind {
    EventKind::Errored(Box::new(ErrorDetail {
        code: ErrorCode::from(code),
        message: Some("Input GOP size or keyframe interval is out of range.".into()),
        ..ErrorDetail::default()
    }))
}

/// Evenly distributed ids.
fn input_id(number: usize) -> InputId {
    InputId::from_bytes((number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes())
}
