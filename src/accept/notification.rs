//! What does this body say?
//!
//! Cloudflare sends an envelope whose members come and go between products and years; the facts are
//! in `data`. Only `data.input_id`, `data.event_type` and `data.updated_at` are needed. Nothing is
//! keyed on the envelope, because two policies send one fact in two envelopes, and the prose in
//! `text` is never read: in Cloudflare's own sample it names another input.
//!
//! A body that is not strict JSON is read once more with trailing commas, comments and the spaces of
//! Unicode allowed: Cloudflare documents a sample with a trailing comma, and people paste it into curl.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::object::{Nested, Raw, integer_in, object, text_in};
use crate::event::{ErrorDetail, Event, EventKind, IgnoredReason, Notification, Timestamp};

/// How far an event's time may lie ahead of our clock.
///
/// A single event from a clock that is far ahead would otherwise be the newest for ever.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// So much is kept of an error's texts, in characters. Cloudflare's are a sentence.
const LONGEST_TEXT: usize = 1000;

/// A notification, and whether it took leniency to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the body says.
    pub notification: Notification,
    /// The body was not strict JSON.
    pub lenient: bool,
}

/// The body is not a JSON object, even leniently. Says where parsing it as strict JSON failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a JSON object: line {line}, column {column}")]
pub struct NotJson {
    /// The line, counted from 1.
    pub line: usize,
    /// The number of bytes of that line that were read.
    pub column: usize,
}

/// Reads the body of an authenticated request that was received at `received_at`.
///
/// # Errors
///
/// [`NotJson`] if the body is not a JSON object, even leniently.
pub fn read(body: &[u8], received_at: Timestamp) -> Result<Reading, NotJson> {
    let refusal = match serde_json::from_slice(body) {
        Ok(envelope) => {
            return Ok(Reading { notification: interpret(&envelope, received_at), lenient: false });
        }
        Err(refusal) => refusal,
    };
    let repaired = repair(body).ok_or(NotJson { line: refusal.line(), column: refusal.column() })?;
    let envelope = serde_json::from_str(&repaired).expect("a serialized object is a JSON object");
    Ok(Reading { notification: interpret(&envelope, received_at), lenient: true })
}

/// The body as strict JSON, when it is an object but for what leniency allows.
fn repair(body: &[u8]) -> Option<String> {
    let leniency = jsonc_parser::ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let text = std::str::from_utf8(body).ok()?;
    let value: Value = jsonc_parser::parse_to_serde_value(text, &leniency).ok()?;
    value.is_object().then(|| value.to_string())
}

object! {
    /// The members of the envelope that tell what it is.
    Envelope {
        alert_type: Raw<'a> = "alert_type",
        data: Nested<Data<'a>> = "data",
        live_input_errored: Nested<Errored<'a>> = "live_input_errored",
        text: Raw<'a> = "text",
        ts: Raw<'a> = "ts",
        uid: Raw<'a> = "uid",
        ready_to_stream: Raw<'a> = "readyToStream",
    }
}

object! {
    /// `data`: the fact itself.
    Data {
        input_id: Raw<'a> = "input_id",
        event_type: Raw<'a> = "event_type",
        updated_at: Raw<'a> = "updated_at",
        live_input_errored: Nested<Errored<'a>> = "live_input_errored",
    }
}

object! {
    /// `live_input_errored`, in `data` or beside it: Cloudflare's prose and sample differ.
    Errored {
        error: Nested<Error<'a>> = "error",
        video_codec: Raw<'a> = "video_codec",
        audio_codec: Raw<'a> = "audio_codec",
    }
}

object! {
    /// `live_input_errored.error`.
    Error { code: Raw<'a> = "code", message: Raw<'a> = "message" }
}

/// Tells tests, strangers and facts apart.
fn interpret(envelope: &Envelope<'_>, received_at: Timestamp) -> Notification {
    let alert_type = text_in(envelope.alert_type);
    if envelope.uid.is_some() && envelope.ready_to_stream.is_some() {
        return Notification::Ignored(IgnoredReason::VideoWebhook);
    }
    if alert_type.as_ref().is_some_and(|alert_type| alert_type != "stream_live_notifications") {
        return Notification::Ignored(IgnoredReason::AlertType);
    }
    match envelope.data.as_ref().and_then(Nested::object) {
        Some(data) => event(envelope, data, received_at).map_or_else(Notification::Ignored, Notification::Event),
        // "Save and Test" sends a `text` and nothing else.
        None if alert_type.is_none() && envelope.data.is_none() && text_in(envelope.text).is_some() => {
            Notification::Test
        }
        None => Notification::Ignored(IgnoredReason::NoData),
    }
}

fn event(envelope: &Envelope<'_>, data: &Data<'_>, received_at: Timestamp) -> Result<Event, IgnoredReason> {
    let kind = match text_in(data.event_type).as_deref() {
        Some("live_input.connected") => EventKind::Connected,
        Some("live_input.disconnected") => EventKind::Disconnected,
        Some("live_input.errored") => {
            let errored = data.live_input_errored.as_ref().or(envelope.live_input_errored.as_ref());
            EventKind::Errored(Box::new(error_detail(errored)))
        }
        _ => return Err(IgnoredReason::EventType),
    };
    let input_id = parse(text_in(data.input_id)).ok_or(IgnoredReason::InputId)?;
    let updated_at = parse(text_in(data.updated_at)).ok_or(IgnoredReason::UpdatedAt)?;
    if updated_at > received_at.plus(FUTURE_TOLERANCE) {
        return Err(IgnoredReason::Future);
    }
    let sent_at = integer_in(envelope.ts).map(Timestamp::from_seconds);
    Ok(Event { input_id, kind, updated_at, sent_at, received_at })
}

fn error_detail(errored: Option<&Nested<Errored<'_>>>) -> ErrorDetail {
    let Some(errored) = errored.and_then(Nested::object) else { return ErrorDetail::default() };
    let error = errored.error.as_ref().and_then(Nested::object);
    ErrorDetail {
        code: kept(error.and_then(|error| error.code)).unwrap_or_default(),
        message: kept(error.and_then(|error| error.message)),
        video_codec: kept(errored.video_codec),
        audio_codec: kept(errored.audio_codec),
    }
}

/// What is kept of a text, unless it says nothing: cut where nobody reads any more.
fn kept<T: for<'t> From<&'t str>>(member: Option<Raw<'_>>) -> Option<T> {
    let text = text_in(member).filter(|text| !text.is_empty())?;
    let end = text.char_indices().nth(LONGEST_TEXT).map_or(text.len(), |(end, _)| end);
    Some(T::from(&text[..end]))
}

fn parse<T: std::str::FromStr>(text: Option<Cow<'_, str>>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests;
