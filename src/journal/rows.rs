//! Events as rows, and back.

use rusqlite::{CachedStatement, Row, Transaction, params};

use crate::event::{ErrorCode, ErrorDetail, Event, EventKind, IgnoredReason, Timestamp};

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1 and without gaps.
    pub seq: u64,
    /// When it was made durable; never before the entry before it.
    pub recorded_at: Timestamp,
    /// No view later than this had been shown when it was folded.
    pub shown_until: Timestamp,
    /// What was remarkable about it when it was recorded.
    pub note: Option<Box<str>>,
    /// The event.
    pub event: Event,
}

/// An authenticated body that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecognized {
    /// When it was received.
    pub received_at: Timestamp,
    /// Why it was not used.
    pub reason: IgnoredReason,
    /// The body, verbatim.
    pub body: Vec<u8>,
}

pub(super) const INSERT_EVENT: &str = "INSERT INTO events \
    (seq, recorded_at, shown_until, received_at, sent_at, updated_at, input_id, event, note, code, message, video_codec, audio_codec) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

pub(super) const SELECT_EVENTS_AFTER: &str = "SELECT \
    seq, recorded_at, shown_until, received_at, sent_at, updated_at, input_id, event, note, code, message, video_codec, audio_codec \
    FROM events WHERE seq > ?1 ORDER BY seq";

/// Inserts an event. What it does not have is not bound, and so null: that saves a tenth of what it costs.
pub(super) fn insert_event(insert: &mut CachedStatement<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let Entry { seq, recorded_at, shown_until, note, event } = entry;
    let digits = event.input_id.digits();
    insert.clear_bindings();
    insert.raw_bind_parameter(1, seq)?;
    insert.raw_bind_parameter(2, recorded_at.as_nanos())?;
    insert.raw_bind_parameter(3, shown_until.as_nanos())?;
    insert.raw_bind_parameter(4, event.received_at.as_nanos())?;
    insert.raw_bind_parameter(5, event.sent_at.map(Timestamp::as_nanos))?;
    insert.raw_bind_parameter(6, event.updated_at.as_nanos())?;
    insert.raw_bind_parameter(7, std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII"))?;
    insert.raw_bind_parameter(8, event.kind.name())?;
    if let Some(note) = note {
        insert.raw_bind_parameter(9, note)?;
    }
    if let EventKind::Errored(detail) = &event.kind {
        let ErrorDetail { code, message, video_codec, audio_codec } = detail.as_ref();
        insert.raw_bind_parameter(10, Some(code.as_str()).filter(|code| !code.is_empty()))?;
        insert.raw_bind_parameter(11, message)?;
        insert.raw_bind_parameter(12, video_codec)?;
        insert.raw_bind_parameter(13, audio_codec)?;
    }
    insert.raw_execute().map(drop)
}

/// Reads a row of [`SELECT_EVENTS_AFTER`]; the error says what is wrong with it.
pub(super) fn read_event(row: &Row<'_>) -> Result<Entry, &'static str> {
    let time =
        |column: usize| row.get::<_, i64>(column).map(Timestamp::from_nanos).map_err(|_| "a time is not a number");
    let text = |column: usize| row.get::<_, Option<Box<str>>>(column).map_err(|_| "a text is not a text");
    let input_id = row.get_ref(6).ok().and_then(|id| id.as_str().ok()).and_then(|id| id.parse().ok());
    let kind = match row.get_ref(7).ok().and_then(|event| event.as_str().ok()) {
        Some("connected") => EventKind::Connected,
        Some("disconnected") => EventKind::Disconnected,
        Some("errored") => EventKind::Errored(Box::new(ErrorDetail {
            code: ErrorCode::from(text(9)?),
            message: text(10)?,
            video_codec: text(11)?,
            audio_codec: text(12)?,
        })),
        _ => return Err("the event is none that is known"),
    };
    Ok(Entry {
        seq: row.get(0).map_err(|_| "the number is not a number")?,
        recorded_at: time(1)?,
        shown_until: time(2)?,
        note: text(8)?,
        event: Event {
            input_id: input_id.ok_or("the input id is not 32 hexadecimal digits")?,
            kind,
            updated_at: time(5)?,
            sent_at: row.get::<_, Option<i64>>(4).map_err(|_| "a time is not a number")?.map(Timestamp::from_nanos),
            received_at: time(3)?,
        },
    })
}

pub(super) fn insert_unrecognized(
    transaction: &Transaction<'_>,
    unrecognized: &[Unrecognized],
    kept: u64,
) -> rusqlite::Result<()> {
    let mut insert =
        transaction.prepare_cached("INSERT INTO unrecognized (received_at, reason, body) VALUES (?1, ?2, ?3)")?;
    for delivery in unrecognized {
        insert.execute(params![delivery.received_at.as_nanos(), delivery.reason.label(), delivery.body])?;
    }
    let mut trim =
        transaction.prepare_cached("DELETE FROM unrecognized WHERE seq <= (SELECT max(seq) FROM unrecognized) - ?1")?;
    trim.execute(params![kept]).map(drop)
}
