//! Records as rows of SQLite, and back.

use rusqlite::{CachedStatement, Row};

use crate::event::{ErrorDetail, Event, EventKind, InputId, Origin, Record, RecordKind, Timestamp};
use crate::journal::columns::{
    CLOCK_SET_BACK, Columns, correction_data, exception_data, observation_data, origin_data, rules_data,
};

pub(in crate::journal) const INSERT_RECORD: &str = "INSERT INTO records \
    (position, recorded_at, shown_until, received_at, sent_at, updated_at, input_id, kind, note, code, message, \
    video_codec, audio_codec, data) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

pub(in crate::journal) const SELECT_RECORDS: &str = "SELECT \
    position, recorded_at, shown_until, received_at, sent_at, updated_at, input_id, kind, note, code, message, \
    video_codec, audio_codec, data \
    FROM records WHERE position > ?1 ORDER BY position";

/// Inserts a record. Columns without a value are not bound and stay null, which saves a tenth of the instructions for
/// an event.
pub(in crate::journal) fn insert_record(insert: &mut CachedStatement<'_>, record: &Record) -> rusqlite::Result<()> {
    insert.clear_bindings();
    insert.raw_bind_parameter(1, record.position)?;
    insert.raw_bind_parameter(2, record.recorded_at.as_nanos())?;
    insert.raw_bind_parameter(3, record.shown_until.as_nanos())?;
    match &record.kind {
        RecordKind::Event(event, note) => {
            bind_event(insert, event)?;
            if let Some(note) = note {
                insert.raw_bind_parameter(9, note.label())?;
            }
        }
        RecordKind::Forgotten(input_id) => {
            bind_input_id(insert, *input_id)?;
            insert.raw_bind_parameter(8, "forgotten")?;
        }
        RecordKind::ClockSetBack => insert.raw_bind_parameter(8, CLOCK_SET_BACK)?,
        RecordKind::Rules(rules) => {
            insert.raw_bind_parameter(8, "rules")?;
            insert.raw_bind_parameter(14, rules_data(rules))?;
        }
        RecordKind::Correction(correction) => {
            bind_input_id(insert, correction.input_id)?;
            insert.raw_bind_parameter(8, "correction")?;
            insert.raw_bind_parameter(14, correction_data(correction))?;
        }
        RecordKind::Exception(exception) => {
            bind_input_id(insert, exception.input_id)?;
            insert.raw_bind_parameter(8, "exception")?;
            insert.raw_bind_parameter(14, exception_data(exception))?;
        }
        RecordKind::Observation(observation) => {
            bind_input_id(insert, observation.input_id)?;
            insert.raw_bind_parameter(8, "observation")?;
            insert.raw_bind_parameter(14, observation_data(observation))?;
        }
    }
    insert.raw_execute().map(drop)
}

fn bind_input_id(insert: &mut CachedStatement<'_>, input_id: InputId) -> rusqlite::Result<()> {
    let digits = input_id.digits();
    insert.raw_bind_parameter(7, std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII"))
}

fn bind_event(insert: &mut CachedStatement<'_>, event: &Event) -> rusqlite::Result<()> {
    insert.raw_bind_parameter(4, event.received_at.as_nanos())?;
    insert.raw_bind_parameter(5, event.sent_at.map(Timestamp::as_nanos))?;
    insert.raw_bind_parameter(6, event.updated_at.as_nanos())?;
    bind_input_id(insert, event.input_id)?;
    insert.raw_bind_parameter(8, event.kind.name())?;
    if let EventKind::Errored(detail) = &event.kind {
        let ErrorDetail { code, message, video_codec, audio_codec } = detail.as_ref();
        insert.raw_bind_parameter(10, Some(code.as_str()).filter(|code| !code.is_empty()))?;
        insert.raw_bind_parameter(11, message)?;
        insert.raw_bind_parameter(12, video_codec)?;
        insert.raw_bind_parameter(13, audio_codec)?;
    }
    if event.origin != Origin::default() {
        insert.raw_bind_parameter(14, origin_data(&event.origin))?;
    }
    Ok(())
}

impl Columns for Row<'_> {
    fn integer(&self, column: usize) -> Result<Option<i64>, &'static str> {
        self.get(column).map_err(|_| "a number is not a number")
    }

    fn text(&self, column: usize) -> Result<Option<&str>, &'static str> {
        let text = self.get_ref(column).ok().and_then(|value| value.as_str_or_null().ok());
        text.ok_or("a text is not a text")
    }
}
