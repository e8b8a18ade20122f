//! The columns of a record, the same in every database.
//!
//! An event has a column for each of its parts, and its origin in `data`: ids of account and policy, and the source, as
//! words. Other kinds are JSON with a version in `data`, so that new kinds and new fields need no migration.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{
    AccountId, Corrected, Correction, ErrorCode, ErrorDetail, Event, EventKind, EventSource, InputId, Note,
    Observation, Observed, Origin, PolicyId, Record, RecordKind, Rules, ScheduleException, Timestamp,
};

/// Rules in `data`, version 1.
#[derive(Serialize, Deserialize)]
struct RulesData {
    version: u32,
    reconnect_window: Duration,
    #[serde(default = "first_reorder_window")]
    reorder_window: Duration,
    max_inputs: usize,
    configured: BTreeSet<InputId>,
}

const RULES_VERSION: u32 = 1;

pub(super) const CLOCK_SET_BACK: &str = "clock_set_back";

/// Rules of earlier releases have no reorder window. This is the default of the release that introduced it.
fn first_reorder_window() -> Duration {
    Duration::from_secs(300)
}

/// A correction in `data`, version 1, without its input, which is a column.
#[derive(Serialize, Deserialize)]
struct CorrectionData {
    version: u32,
    to: Box<str>,
    at: Timestamp,
    user: Option<Box<str>>,
    reason: Option<Box<str>>,
}

const CORRECTION_VERSION: u32 = 1;

/// An exception in `data`, version 1, without its input, which is a column.
#[derive(Serialize, Deserialize)]
struct ExceptionData {
    version: u32,
    expected: Option<bool>,
    until: Timestamp,
    at: Timestamp,
    user: Option<Box<str>>,
    reason: Option<Box<str>>,
}

const EXCEPTION_VERSION: u32 = 1;

/// An observation in `data`, version 1, without its input, which is a column.
#[derive(Serialize, Deserialize)]
struct ObservationData {
    version: u32,
    found: Box<str>,
    at: Timestamp,
    events: u64,
    account_id: AccountId,
}

const OBSERVATION_VERSION: u32 = 1;

/// In the origin of an event: the envelope had no such id.
const NO_ID: &str = "-";

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It has a value that no version writes.
    Damaged(&'static str),
    /// It has a kind, or a version of one, that this version does not know.
    Unknown(&'static str),
}

impl Unreadable {
    pub(super) fn problem(self) -> &'static str {
        match self {
            Self::Damaged(problem) | Self::Unknown(problem) => problem,
        }
    }
}

impl From<&'static str> for Unreadable {
    fn from(problem: &'static str) -> Self {
        Self::Damaged(problem)
    }
}

/// The columns of a row of `records`.
pub(super) trait Columns {
    /// The integer in a column, if any.
    fn integer(&self, column: usize) -> Result<Option<i64>, &'static str>;
    /// The text in a column, if any.
    fn text(&self, column: usize) -> Result<Option<&str>, &'static str>;

    fn time(&self, column: usize) -> Result<Option<Timestamp>, &'static str> {
        match self.integer(column)? {
            Some(..0) => Err("a time is before 1970"),
            nanos => Ok(nanos.map(Timestamp::from_nanos)),
        }
    }

    fn required_time(&self, column: usize) -> Result<Timestamp, &'static str> {
        self.time(column)?.ok_or("a time is missing")
    }

    fn boxed(&self, column: usize) -> Result<Option<Box<str>>, &'static str> {
        Ok(self.text(column)?.map(Box::from))
    }
}

/// Reads the record at this position.
pub(super) fn read_record(position: u64, columns: &impl Columns) -> Result<Record, Unreadable> {
    let input_id = || {
        let input_id = columns.text(6)?.and_then(|id| id.parse().ok());
        input_id.ok_or("the input id is not 32 hexadecimal digits")
    };
    let kind = match columns.text(7)?.unwrap_or_default() {
        "forgotten" => RecordKind::Forgotten(input_id()?),
        CLOCK_SET_BACK => RecordKind::ClockSetBack,
        "rules" => RecordKind::Rules(Arc::new(read_rules(columns.text(13)?.unwrap_or_default())?)),
        "correction" => RecordKind::Correction(read_correction(input_id()?, columns.text(13)?.unwrap_or_default())?),
        "exception" => RecordKind::Exception(read_exception(input_id()?, columns.text(13)?.unwrap_or_default())?),
        "observation" => RecordKind::Observation(read_observation(input_id()?, columns.text(13)?.unwrap_or_default())?),
        kind => {
            let kind = match kind {
                "connected" => EventKind::Connected,
                "disconnected" => EventKind::Disconnected,
                "errored" => EventKind::Errored(Box::new(ErrorDetail {
                    code: ErrorCode::from(columns.boxed(9)?),
                    message: columns.boxed(10)?,
                    video_codec: columns.boxed(11)?,
                    audio_codec: columns.boxed(12)?,
                })),
                _ => return Err(Unreadable::Unknown("its kind is unknown to this version")),
            };
            let (received_at, sent_at) = (columns.required_time(3)?, columns.time(4)?);
            let (input_id, updated_at) = (input_id()?, columns.required_time(5)?);
            let origin =
                columns.text(13)?.map(|data| read_origin(data).ok_or("the origin of the event cannot be read"));
            let origin = origin.transpose()?.unwrap_or_default();
            let event = Event { input_id, kind, updated_at, sent_at, received_at, origin };
            let note = columns
                .text(8)?
                .map(|note| Note::from_label(note).ok_or(Unreadable::Unknown("its note is unknown to this version")));
            RecordKind::Event(event, note.transpose()?)
        }
    };
    Ok(Record { position, recorded_at: columns.required_time(1)?, shown_until: columns.required_time(2)?, kind })
}

/// Encodes rules for a record or the checkpoint.
pub(super) fn rules_data(rules: &Rules) -> String {
    let Rules { reconnect_window, reorder_window, max_inputs, configured } = rules.clone();
    let data = RulesData { version: RULES_VERSION, reconnect_window, reorder_window, max_inputs, configured };
    serde_json::to_string(&data).expect("plain data serializes")
}

/// Decodes the output of [`rules_data`]. The error describes the problem.
pub(super) fn read_rules(data: &str) -> Result<Rules, Unreadable> {
    let RulesData { version, reconnect_window, reorder_window, max_inputs, configured } =
        serde_json::from_str(data).map_err(|_| "the rules cannot be read")?;
    if version > RULES_VERSION {
        return Err(Unreadable::Unknown("the rules are from a newer version"));
    }
    Ok(Rules { reconnect_window, reorder_window, max_inputs, configured })
}

pub(super) fn correction_data(correction: &Correction) -> String {
    let Correction { to, at, user, reason, .. } = correction.clone();
    let data = CorrectionData { version: CORRECTION_VERSION, to: to.label().into(), at, user, reason };
    serde_json::to_string(&data).expect("plain data serializes")
}

fn read_correction(input_id: InputId, data: &str) -> Result<Correction, Unreadable> {
    let CorrectionData { version, to, at, user, reason } =
        serde_json::from_str(data).map_err(|_| "the correction cannot be read")?;
    if version > CORRECTION_VERSION {
        return Err(Unreadable::Unknown("the correction is from a newer version"));
    }
    let to = Corrected::from_label(&to).ok_or(Unreadable::Unknown("the correction is unknown to this version"))?;
    Ok(Correction { input_id, to, at, user, reason })
}

pub(super) fn exception_data(exception: &ScheduleException) -> String {
    let ScheduleException { expected, until, at, user, reason, .. } = exception.clone();
    let data = ExceptionData { version: EXCEPTION_VERSION, expected, until, at, user, reason };
    serde_json::to_string(&data).expect("plain data serializes")
}

fn read_exception(input_id: InputId, data: &str) -> Result<ScheduleException, Unreadable> {
    let ExceptionData { version, expected, until, at, user, reason } =
        serde_json::from_str(data).map_err(|_| "the exception cannot be read")?;
    if version > EXCEPTION_VERSION {
        return Err(Unreadable::Unknown("the exception is from a newer version"));
    }
    Ok(ScheduleException { input_id, expected, until, at, user, reason })
}

pub(super) fn observation_data(observation: &Observation) -> String {
    let Observation { found, at, events, account_id, .. } = *observation;
    let data = ObservationData { version: OBSERVATION_VERSION, found: found.label().into(), at, events, account_id };
    serde_json::to_string(&data).expect("plain data serializes")
}

fn read_observation(input_id: InputId, data: &str) -> Result<Observation, Unreadable> {
    let ObservationData { version, found, at, events, account_id } =
        serde_json::from_str(data).map_err(|_| "the observation cannot be read")?;
    if version > OBSERVATION_VERSION {
        return Err(Unreadable::Unknown("the observation is from a newer version"));
    }
    let found =
        Observed::from_label(&found).ok_or(Unreadable::Unknown("the observation is unknown to this version"))?;
    Ok(Observation { input_id, found, at, events, account_id })
}

pub(super) fn origin_data(origin: &Origin) -> String {
    let Origin { source, account_id, policy_id } = origin;
    let mut data = String::with_capacity(80);
    push_id(&mut data, account_id.map(|id| id.digits()));
    data.push(' ');
    push_id(&mut data, policy_id.map(|id| id.digits()));
    if *source != EventSource::Webhook {
        data.push(' ');
        data.push_str(source.label());
    }
    data
}

fn push_id(data: &mut String, digits: Option<[u8; 32]>) {
    match &digits {
        Some(digits) => data.push_str(std::str::from_utf8(digits).expect("hexadecimal digits are ASCII")),
        None => data.push_str(NO_ID),
    }
}

/// Decodes the output of [`origin_data`].
fn read_origin(data: &str) -> Option<Origin> {
    let mut words = data.split(' ');
    let account_id = optional_id::<AccountId>(words.next()?)?;
    let policy_id = optional_id::<PolicyId>(words.next()?)?;
    let source = words.next().map_or(Some(EventSource::Webhook), EventSource::from_label)?;
    Some(Origin { source, account_id, policy_id })
}

fn optional_id<T: std::str::FromStr>(word: &str) -> Option<Option<T>> {
    if word == NO_ID { Some(None) } else { word.parse().ok().map(Some) }
}
