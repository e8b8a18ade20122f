mod bars;
mod reading;

use std::time::Duration;

use crate::event::{Event, EventKind, InputId, Origin, Record, RecordKind, Timestamp};

const INPUT: InputId = InputId::from_bytes([1; 16]);

/// A time on 2026-11-29.
fn at(clock: &str) -> Timestamp {
    format!("2026-11-29T{clock}Z").parse().unwrap()
}

/// A record of an event, recorded when it happened.
fn event(kind: EventKind, updated_at: Timestamp) -> Record {
    let event =
        Event { input_id: INPUT, kind, updated_at, sent_at: None, received_at: updated_at, origin: Origin::default() };
    Record { recorded_at: updated_at, ..Record::new(RecordKind::Event(event, None)) }
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}
