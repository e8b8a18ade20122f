//! Records as arrays, one for each column, so that one statement inserts them all.

use tokio_postgres::types::{ToSql, Type};

use super::text::escape;
use crate::event::{ErrorDetail, Event, EventKind, InputId, Note, Origin, Record, RecordKind, Timestamp};
use crate::journal::columns::{
    CLOCK_SET_BACK, correction_data, exception_data, observation_data, origin_data, rules_data,
};

/// A parameter of a statement, with its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A statement with its parameters.
pub(super) type Statement<'a> = (String, Vec<Parameter<'a>>);

/// The types of the arrays, in the order of [`super::answer::RECORD_COLUMNS`].
pub(super) const UNNEST: &str = "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], \
    $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])";

/// The columns of records.
#[derive(Debug, Default)]
pub(super) struct RecordArrays {
    positions: Vec<i64>,
    recorded_at: Vec<i64>,
    shown_until: Vec<i64>,
    received_at: Vec<Option<i64>>,
    sent_at: Vec<Option<i64>>,
    updated_at: Vec<Option<i64>>,
    input_ids: Vec<Option<String>>,
    kinds: Vec<&'static str>,
    notes: Vec<Option<&'static str>>,
    codes: Vec<Option<String>>,
    messages: Vec<Option<String>>,
    video_codecs: Vec<Option<String>>,
    audio_codecs: Vec<Option<String>>,
    data: Vec<Option<String>>,
    events: u64,
}

impl RecordArrays {
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Number of records that are events.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Position of the newest record.
    pub(super) fn last_position(&self) -> Option<u64> {
        self.positions.last().map(|position| position.cast_unsigned())
    }

    /// `recorded_at` of the newest record.
    pub(super) fn recorded_until(&self) -> Timestamp {
        self.recorded_at.last().copied().map(Timestamp::from_nanos).unwrap_or_default()
    }

    pub(super) fn push(&mut self, record: &Record) {
        self.positions.push(record.position.cast_signed());
        self.recorded_at.push(record.recorded_at.as_nanos());
        self.shown_until.push(record.shown_until.as_nanos());
        match &record.kind {
            RecordKind::Event(event, note) => {
                self.notes.push(note.map(Note::label));
                self.push_event(event);
            }
            RecordKind::Forgotten(input_id) => self.push_other("forgotten", Some(*input_id), None),
            RecordKind::ClockSetBack => self.push_other(CLOCK_SET_BACK, None, None),
            RecordKind::Rules(rules) => self.push_other("rules", None, Some(&rules_data(rules))),
            RecordKind::Correction(correction) => {
                self.push_other("correction", Some(correction.input_id), Some(&correction_data(correction)));
            }
            RecordKind::Exception(exception) => {
                self.push_other("exception", Some(exception.input_id), Some(&exception_data(exception)));
            }
            RecordKind::Observation(observation) => {
                self.push_other("observation", Some(observation.input_id), Some(&observation_data(observation)));
            }
        }
    }

    fn push_event(&mut self, event: &Event) {
        self.events += 1;
        self.received_at.push(Some(event.received_at.as_nanos()));
        self.sent_at.push(event.sent_at.map(Timestamp::as_nanos));
        self.updated_at.push(Some(event.updated_at.as_nanos()));
        self.input_ids.push(Some(event.input_id.to_string()));
        self.kinds.push(event.kind.name());
        let detail = match &event.kind {
            EventKind::Errored(detail) => Some(detail.as_ref()),
            EventKind::Connected | EventKind::Disconnected => None,
        };
        let code = detail.map(|detail| detail.code.as_str()).filter(|code| !code.is_empty());
        self.codes.push(code.map(owned));
        let text =
            |part: fn(&ErrorDetail) -> &Option<Box<str>>| detail.and_then(|detail| part(detail).as_deref()).map(owned);
        self.messages.push(text(|detail| &detail.message));
        self.video_codecs.push(text(|detail| &detail.video_codec));
        self.audio_codecs.push(text(|detail| &detail.audio_codec));
        self.data.push((event.origin != Origin::default()).then(|| origin_data(&event.origin)));
    }

    fn push_other(&mut self, kind: &'static str, input_id: Option<InputId>, data: Option<&str>) {
        for times in [&mut self.received_at, &mut self.sent_at, &mut self.updated_at] {
            times.push(None);
        }
        for texts in [&mut self.codes, &mut self.messages, &mut self.video_codecs, &mut self.audio_codecs] {
            texts.push(None);
        }
        self.notes.push(None);
        self.input_ids.push(input_id.map(|input_id| input_id.to_string()));
        self.kinds.push(kind);
        self.data.push(data.map(owned));
    }

    /// The parameters of [`UNNEST`].
    pub(super) fn parameters(&self) -> [Parameter<'_>; 14] {
        const TIMES: Type = Type::INT8_ARRAY;
        const TEXTS: Type = Type::TEXT_ARRAY;
        [
            (&self.positions, TIMES),
            (&self.recorded_at, TIMES),
            (&self.shown_until, TIMES),
            (&self.received_at, TIMES),
            (&self.sent_at, TIMES),
            (&self.updated_at, TIMES),
            (&self.input_ids, TEXTS),
            (&self.kinds, TEXTS),
            (&self.notes, TEXTS),
            (&self.codes, TEXTS),
            (&self.messages, TEXTS),
            (&self.video_codecs, TEXTS),
            (&self.audio_codecs, TEXTS),
            (&self.data, TEXTS),
        ]
    }
}

fn owned(text: &str) -> String {
    escape(text).into_owned()
}
