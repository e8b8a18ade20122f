//! Journals with a history, as the exporter writes them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use stream_live_exporter::event::{
    ErrorClass, ErrorCode, ErrorDetail, Event, EventKind, InputId, Origin, Record, RecordKind,
};
use stream_live_exporter::journal::{DATABASE_FILE, SqliteJournal};

use crate::interrupt;
use crate::payload::{Cycle, history_began, input_id};
use crate::server::{Kind, Server};
use crate::setup::Setup;

const BATCH: u64 = 10_000;

/// A working folder whose journal has these inputs with this number of events each and no checkpoint. It is kept for
/// the whole run.
pub fn filled(setup: &Setup, inputs: u64, events_per_input: u64) -> anyhow::Result<PathBuf> {
    let folder = setup.work().join(format!("journal-{inputs}-{events_per_input}"));
    if folder.exists() {
        return Ok(folder);
    }
    let unfinished = setup.work().join("unfinished");
    // Left over from an interrupted run.
    let _ = fs::remove_dir_all(&unfinished);
    let mut journal = SqliteJournal::open(&unfinished.join("data"))?;
    let events = inputs * events_per_input;
    let began = history_began(events);
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        interrupt::check()?;
        let record = |number: u64| {
            let updated_at = began.plus(Duration::from_millis(10 * number));
            let turn = number / inputs;
            let kind = kind(turn % Cycle::EveryKind.events());
            let input_id = InputId::from_bytes(input_id(number % inputs));
            let event = Event {
                input_id,
                kind,
                updated_at,
                sent_at: Some(updated_at),
                received_at: updated_at,
                origin: Origin::default(),
            };
            let record = Record::new(RecordKind::Event(event, None));
            Record { recorded_at: updated_at, shown_until: updated_at, ..record }
        };
        let mut records: Vec<_> = (first..(first + BATCH).min(events)).map(record).collect();
        journal.append(&mut records)?;
        journal.checkpoint_wal_if_large()?;
    }
    journal.close()?;
    fs::rename(unfinished, &folder)?;
    Ok(folder)
}

/// A working folder whose journal the exporter has written from one cycle of notifications for each input, with an
/// up-to-date checkpoint. It is kept for the whole run.
pub fn settled(setup: &Setup, inputs: u64, cycle: Cycle) -> anyhow::Result<PathBuf> {
    Ok(ingested(setup, Kind::Ours, inputs, cycle.events(), cycle)?.0)
}

/// The same for any build and number of events, also for a build with another schema. Also returns the resident memory
/// in megabytes before the shutdown.
pub fn ingested(
    setup: &Setup,
    kind: Kind,
    inputs: u64,
    events_per_input: u64,
    cycle: Cycle,
) -> anyhow::Result<(PathBuf, f64)> {
    let folder = setup.work().join(format!("ingested-{kind:?}-{inputs}-{events_per_input}-{cycle:?}"));
    let is_new = !folder.exists();
    fs::create_dir_all(&folder)?;
    let mut server = Server::start(setup, kind, &folder, None)?;
    if is_new {
        server.ingest(inputs, events_per_input, cycle)?;
    }
    let memory = server.memory()?;
    server.stop()?;
    Ok((folder, memory))
}

/// Size of the database in bytes.
pub fn size(folder: &std::path::Path) -> anyhow::Result<u64> {
    Ok(folder.join("data").join(DATABASE_FILE).metadata()?.len())
}

fn kind(turn: u64) -> EventKind {
    let errored = |code| EventKind::Errored(Box::new(ErrorDetail { code, ..ErrorDetail::default() }));
    match turn {
        0 => EventKind::Connected,
        8 => EventKind::Disconnected,
        7 => errored(ErrorCode::default()),
        _ => errored(ErrorCode::from(ErrorClass::ALL[(turn - 1) as usize].label())),
    }
}
