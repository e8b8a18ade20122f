//! The notification history: how a page is requested, and the events in its entries.
//!
//! An entry is an object with `alert_type`, `alert_body`, `policy_id` and `sent`. `alert_body` is documented as a text, shown
//! as an object, and has the notification that was sent or only its `data`. Each form is turned into the body of a
//! notification, so that [`accept::read`] decides what it says, as for deliveries.

use serde_json::{Map, Value, json};

use super::Request;
use super::request::Endpoint;
use crate::accept;
use crate::event::{AccountId, Event, EventSource, IgnoredReason, Notification, Timestamp};

/// Number of entries of a page: the maximum that the API allows.
pub const PER_PAGE: usize = 1000;

/// A part of the history, by the time at which notifications were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its begin.
    pub since: Timestamp,
    /// Its end.
    pub before: Timestamp,
}

/// Why an entry is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It is not an object, or has no `alert_body`.
    WithoutBody,
    /// `alert_body` is a text for people. Its times and ids are not reliable.
    Prose,
    /// A test message.
    Test,
    /// The notification would be ignored as a delivery, too.
    Ignored(IgnoredReason),
}

impl Unusable {
    /// Its name in the API and in the output of the command.
    pub fn label(self) -> &'static str {
        match self {
            Self::WithoutBody => "no_body",
            Self::Prose => "prose",
            Self::Test => "test",
            Self::Ignored(reason) => reason.label(),
        }
    }
}

/// The request for a page of the history, from 1 on.
pub fn request(account_id: AccountId, Period { since, before }: Period, page: usize) -> Request {
    let path = format!("/accounts/{account_id}/alerting/v3/history");
    Request::get(Endpoint::History, format!("{path}?since={since}&before={before}&page={page}&per_page={PER_PAGE}"))
}

/// The event of an entry that was read at this time.
///
/// # Errors
///
/// The entry has no event, or not all that an event needs.
pub fn event(entry: &Value, account_id: AccountId, now: Timestamp) -> Result<Event, Unusable> {
    let member = |name| entry.get(name).and_then(Value::as_str);
    if member("alert_type").is_some_and(|alert_type| alert_type != "stream_live_notifications") {
        return Err(Unusable::Ignored(IgnoredReason::AlertType));
    }
    let body = match entry.get("alert_body") {
        Some(Value::Object(body)) => envelope(body.clone(), entry),
        // Text that is not strict JSON may be a notification that is read leniently.
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(Value::Object(body)) => envelope(body, entry),
            _ => text.clone().into_bytes(),
        },
        _ => return Err(Unusable::WithoutBody),
    };
    let reading = accept::read(&body, now).map_err(|_| Unusable::Prose)?;
    let mut event = match reading.notification {
        Notification::Event(event) => event,
        Notification::Test => return Err(Unusable::Test),
        Notification::Ignored(reason) => return Err(Unusable::Ignored(reason)),
        Notification::NotJson => return Err(Unusable::Prose),
    };
    event.origin.source = EventSource::History;
    event.origin.account_id.get_or_insert(account_id);
    if event.origin.policy_id.is_none() {
        event.origin.policy_id = member("policy_id").and_then(|id| id.parse().ok());
    }
    Ok(event)
}

/// The notification that a body has, completed by the time of its entry.
fn envelope(mut body: Map<String, Value>, entry: &Value) -> Vec<u8> {
    if let Some(Value::String(text)) = body.get("data")
        && let Ok(data @ Value::Object(_)) = serde_json::from_str(text)
    {
        body.insert("data".to_owned(), data);
    }
    let only_data = !body.contains_key("data") && body.contains_key("event_type");
    let mut envelope = if only_data { Map::from_iter([("data".to_owned(), Value::Object(body))]) } else { body };
    if envelope.contains_key("data") && !envelope.get("ts").is_some_and(Value::is_i64) {
        let sent = entry.get("sent").and_then(Value::as_str).and_then(|sent| sent.parse::<Timestamp>().ok());
        envelope.insert("ts".to_owned(), json!(sent.map(|sent| sent.as_nanos() / 1_000_000_000)));
    }
    Value::Object(envelope).to_string().into_bytes()
}

#[cfg(test)]
mod tests;
