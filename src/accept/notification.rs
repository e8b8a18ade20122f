//! Parses the body of a notification.
//!
//! Cloudflare sends an envelope whose members vary between products and over the years. The facts are in `data`, and
//! only `data.input_id`, `data.event_type` and `data.updated_at` are required. Members of the envelope do not identify
//! an event, because two policies send the same event in two envelopes. The prose in `text` is not parsed: in
//! Cloudflare's own example it names another input.
//!
//! A body that is not strict JSON is read leniently, because a refused notification is lost. A byte order mark selects
//! the encoding and is skipped, bytes that are not valid UTF-8 are replaced, and trailing commas, comments and Unicode
//! white space are allowed: Cloudflare documents an example with a trailing comma, and people send it with curl.

use std::borrow::Cow;

use serde_json::Value;
use thiserror::Error;

use super::object::{Nested, Raw, integer_in, object, object_in, text_in};
use super::times::{Received, is_before_live_inputs};
use crate::event::{ErrorDetail, Event, EventKind, EventSource, IgnoredReason, Notification, Origin, Timestamp};

/// How the message of "Save and Test" begins. Its end differs.
const TEST_MESSAGE: &str = "Hello World! This is a test message sent from https://cloudflare.com";

/// Maximum length of a stored error text, in characters. Cloudflare's are one sentence.
const MAX_TEXT_LENGTH: usize = 1000;

/// A parsed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The content of the body.
    pub notification: Notification,
    /// Whether the body is not strict JSON in UTF-8.
    pub lenient: bool,
}

/// The body is not a JSON object, even leniently. Says where parsing its text as strict JSON failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a JSON object: line {line}, column {column}")]
pub struct NotJson {
    /// The line, counted from 1.
    pub line: usize,
    /// The number of bytes of that line that were read.
    pub column: usize,
}

/// Reads the body of an authenticated request.
///
/// # Errors
///
/// [`NotJson`] if the body is not a JSON object, even leniently.
pub fn read(body: &[u8], received: impl Into<Received>) -> Result<Reading, NotJson> {
    let received = received.into();
    // UTF-8, or UTF-16 if there is a byte order mark of UTF-16.
    let (decoded, ..) = encoding_rs::UTF_8.decode(body);
    let text = decoded.trim_start_matches('\u{feff}');
    let error = match serde_json::from_str(text) {
        Ok(envelope) => {
            let lenient = text.as_bytes() != body;
            return Ok(Reading { notification: interpret(&envelope, received), lenient });
        }
        Err(error) => error,
    };
    let strict = strict(text).ok_or(NotJson { line: error.line(), column: error.column() })?;
    let envelope = serde_json::from_str(&strict).expect("a serialized object is a JSON object");
    Ok(Reading { notification: interpret(&envelope, received), lenient: true })
}

/// The text as strict JSON, if it is a lenient JSON object.
fn strict(text: &str) -> Option<String> {
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
    let value: Value = jsonc_parser::parse_to_serde_value(text, &leniency).ok()?;
    value.is_object().then(|| value.to_string())
}

object! {
    /// The relevant members of the envelope, and whether it has others.
    Envelope and has_others {
        alert_type: Raw<'a> = "alert_type",
        data: Nested<Data<'a>> = "data",
        live_input_errored: Nested<Errored<'a>> = "live_input_errored",
        text: Raw<'a> = "text",
        ts: Raw<'a> = "ts",
        account_id: Raw<'a> = "account_id",
        policy_id: Raw<'a> = "policy_id",
        uid: Raw<'a> = "uid",
        ready_to_stream: Raw<'a> = "readyToStream",
    }
}

object! {
    /// `data`: the event.
    Data {
        input_id: Raw<'a> = "input_id",
        event_type: Raw<'a> = "event_type",
        updated_at: Raw<'a> = "updated_at",
        live_input_errored: Nested<Errored<'a>> = "live_input_errored",
    }
}

object! {
    /// `live_input_errored`, in `data` or next to it: Cloudflare's description and example differ.
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

/// Distinguishes events, tests and notifications of other kinds.
fn interpret(envelope: &Envelope<'_>, received: Received) -> Notification {
    let alert_type = text_in(envelope.alert_type);
    if envelope.uid.is_some() && envelope.ready_to_stream.is_some() {
        return Notification::Ignored(IgnoredReason::VideoWebhook);
    }
    if alert_type.as_ref().is_some_and(|alert_type| alert_type != "stream_live_notifications") {
        return Notification::Ignored(IgnoredReason::AlertType);
    }
    match object_in(envelope.data.as_ref()) {
        Some(data) if data.event_type.is_some() => {
            event(envelope, data, received).map_or_else(Notification::Ignored, Notification::Event)
        }
        _ if is_test(envelope) => Notification::Test,
        Some(_) => Notification::Ignored(IgnoredReason::EventType),
        None => Notification::Ignored(IgnoredReason::NoData),
    }
}

/// Whether it is the message of "Save and Test": a `text` and nothing else, or with other members Cloudflare's text.
/// Anything else without an event may be a notification in a form that this release does not know.
fn is_test(envelope: &Envelope<'_>) -> bool {
    let Envelope {
        alert_type,
        data,
        live_input_errored,
        text,
        ts,
        account_id,
        policy_id,
        uid,
        ready_to_stream,
        has_others,
    } = envelope;
    let Some(text) = text_in(*text) else { return false };
    let others = [alert_type, ts, account_id, policy_id, uid, ready_to_stream].into_iter().any(Option::is_some);
    let only_text = !(others || data.is_some() || live_input_errored.is_some() || *has_others);
    only_text || text.starts_with(TEST_MESSAGE)
}

fn event(envelope: &Envelope<'_>, data: &Data<'_>, received: Received) -> Result<Event, IgnoredReason> {
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
    let updated_at: Timestamp = parse(text_in(data.updated_at)).ok_or(IgnoredReason::UpdatedAt)?;
    if is_before_live_inputs(updated_at) {
        return Err(IgnoredReason::UpdatedAt);
    }
    if received.is_future(updated_at) {
        return Err(IgnoredReason::Future);
    }
    let sent_at = integer_in(envelope.ts).and_then(|seconds| received.sent_at(seconds, updated_at));
    Ok(Event { input_id, kind, updated_at, sent_at, received_at: received.at, origin: origin(envelope) })
}

fn origin(envelope: &Envelope<'_>) -> Origin {
    let (account_id, policy_id) = (parse(text_in(envelope.account_id)), parse(text_in(envelope.policy_id)));
    Origin { source: EventSource::Webhook, account_id, policy_id }
}

fn error_detail(errored: Option<&Nested<Errored<'_>>>) -> ErrorDetail {
    let Some(errored) = object_in(errored) else { return ErrorDetail::default() };
    let error = object_in(errored.error.as_ref());
    ErrorDetail {
        code: truncated(error.and_then(|error| error.code)).unwrap_or_default(),
        message: truncated(error.and_then(|error| error.message)),
        video_codec: truncated(errored.video_codec),
        audio_codec: truncated(errored.audio_codec),
    }
}

/// A text of at most `MAX_TEXT_LENGTH` characters, or `None` if it is empty.
fn truncated<T: for<'t> From<&'t str>>(member: Option<Raw<'_>>) -> Option<T> {
    let text = text_in(member).filter(|text| !text.is_empty())?;
    let end = text.char_indices().nth(MAX_TEXT_LENGTH).map_or(text.len(), |(end, _)| end);
    Some(T::from(&text[..end]))
}

fn parse<T: std::str::FromStr>(text: Option<Cow<'_, str>>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests;
